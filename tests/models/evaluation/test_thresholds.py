"""The threshold of best F1 is what trying every score would find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from models.evaluation.thresholds import best_f1, choose


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1))
def test_no_other_threshold_has_a_better_f1(rows: list[tuple[int, bool]]) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    if not labels.any():
        with pytest.raises(ValueError, match="nothing came true"):
            best_f1(labels, scores)
        return
    tried = [f1_score(labels, scores >= threshold) for threshold in np.unique(scores)]
    assert f1_score(labels, scores >= best_f1(labels, scores)) == pytest.approx(max(tried))


def test_a_given_threshold_stands_and_the_rule_is_stated() -> None:
    labels, scores = np.array([True, False]), np.array([0.9, 0.1])
    assert choose(labels, scores, 0.3, "training").value == 0.3
    assert choose(labels, scores, None, "training").rule == "best F1 in training"
    assert choose(np.empty(0, bool), np.empty(0), None, "training").value == 0.5
