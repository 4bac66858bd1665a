"""Which events count in replay is what would be in a live row."""

from collections import Counter

import numpy as np

from models.replay.doubles import ERASURE, not_erased


def test_what_a_shopper_had_erased_is_gone_with_the_erasure_and_nothing_else_is() -> None:
    shopper = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    types = np.array([1, ERASURE, 3, 1, 1, 1, ERASURE, 2, 2])
    dropped: Counter[str] = Counter()
    assert not_erased(shopper, types, dropped).tolist() == [2, 3, 4, 7, 8]
    assert dropped == {"erased": 4}
