"""Slices part the rows, and say nothing where there is too little."""

import numpy as np

from models.evaluation.asked import BASELINE, MODEL, Asked
from models.evaluation.slices import deciles, sliced


def asked(rows: int, device: np.ndarray) -> Asked:
    rng = np.random.default_rng(0)
    labels = rng.random(rows) < 0.5
    scores = {MODEL: np.where(labels, 0.8, 0.2), BASELINE: rng.random(rows)}
    said = {name: values > 0.5 for name, values in scores.items()}
    return Asked("q", "q", np.arange(rows) % 40, labels, scores, said, {}, 0, {"device": device})


def test_every_row_is_in_one_slice_and_the_lead_is_over_the_baseline() -> None:
    device = np.where(np.arange(400) % 4 == 0, "mobile", "desktop")
    found = sliced(asked(400, device))
    assert [one.value for one in found] == ["desktop", "mobile"]
    assert sum(one.model.rows for one in found) == 400
    for one in found:
        assert one.lead is not None
        assert one.lead.low > 0.2
        assert one.to_json()["model"]["auc"] == 1.0


def test_a_slice_of_few_has_no_auc() -> None:
    device = np.array(["app"] * 5 + ["desktop"] * 195)
    small, large = sliced(asked(200, device))
    assert not small.told
    assert large.told


def test_deciles_are_tenths_by_number_and_keep_equals_together() -> None:
    found = deciles(np.arange(100))
    assert len(np.unique(found)) == 10
    assert found[0] == "1 (0–9)"
    assert found[99] == "10 (90–99)"
    assert set(deciles(np.full(50, 7)).tolist()) == {"1 (7–7)"}
    assert len(deciles(np.empty(0))) == 0


def test_a_slicing_into_one_part_is_left_out() -> None:
    assert sliced(asked(200, np.full(200, "store"))) == ()
