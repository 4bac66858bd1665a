"""The index of purchases answers as a plain loop over each shopper's purchases does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.replay.history import DAY_MS, NEVER, Purchases


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 45)), min_size=1, max_size=20),
)
def test_past_and_future_of_any_moment(bought: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    day = 1_500_000_000_000 + np.arange(-5, 46) * DAY_MS
    purchases = Purchases(4, np.array([who for who, _ in bought]), day[[at + 5 for _, at in bought]])
    shopper, moment = np.array([who for who, _ in asked]), day[[at + 5 for _, at in asked]]
    for row, (who, at) in enumerate(asked):
        days = sorted({when for one, when in bought if one == who})
        after = [when for when in days if when > at]
        assert purchases.next_time(shopper, moment)[row] == (day[after[0] + 5] if after else NEVER)
        assert purchases.count(shopper, moment)[row] == sum(when <= at for when in days)
        assert purchases.count(shopper, moment, 7)[row] == sum(at - 7 < when <= at for when in days)
        before = purchases.before(shopper, moment)[row] - purchases.first[who]
        assert before == sum(when < at for when in days)
