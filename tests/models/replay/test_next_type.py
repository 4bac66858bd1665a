"""The type of the next event is asked where the model has a head for it, and only of what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.events import EVENT_TYPES
from models.replay.dataset import Sequences
from models.replay.evaluate import Choices, evaluate
from models.replay.history import DAY_MS
from models.replay.next_type import next_type
from models.replay.predicted import Predicted
from models.replay.source import Interval
from models.replay.splits import by_time
from models.replay.targets import targets
from models.survival import SURVIVAL_DAYS
from models.tasks import NEXT_TYPES
from tests.models.replay.shop import START, event, sequences

GAP = 1800.0
FIT = Interval(START, START + 30 * DAY_MS)
SCORED = Interval(FIT.stop, START + 60 * DAY_MS)


def shop() -> Sequences:
    rng = np.random.default_rng(0)
    return sequences(
        [
            event(f"shopper {number}", START + day * DAY_MS + step * 60_000, event_type=kind)
            for number in range(12)
            for day in range(60)
            for step, kind in enumerate(["item_view", "purchase"] if rng.random() < 0.4 else ["item_view"])
        ]
    )


def saying(of: Sequences, scores: np.ndarray) -> Predicted:
    """scores (N, T) of all rows, at every moment."""
    at = np.flatnonzero(of.last)
    curve = np.full((len(at), len(SURVIVAL_DAYS)), 0.5, np.float32)
    said = Predicted(of.shopper[at], of.events["time"][at], curve, np.zeros((len(at), 5), np.uint32))
    return replace(said, scores=scores[at].astype(np.float32), tasks=NEXT_TYPES)


SHOP = shop()
TRUTH = targets(SHOP, NEXT_TYPES, SCORED.stop, GAP)


def test_who_knows_the_next_type_is_right_and_the_constant_ranks_nothing() -> None:
    said = saying(SHOP, TRUTH.values)
    found = evaluate(SHOP, said, FIT, SCORED, choices=Choices(boosted=False)).next_type
    assert found is not None
    model, constant = found.predictors["model"], found.predictors["constant"]
    assert (model.accuracy, model.auc, model.average_precision) == (1.0, 1.0, 1.0)
    assert model.log_loss == pytest.approx(0.0)
    assert constant.auc == 0.5
    assert constant.accuracy < 1.0
    times = SHOP.events["time"]
    rows = SHOP.last & (times >= SCORED.start) & TRUTH.known[:, 0]
    came = TRUTH.values[rows].argmax(1)
    assert model.rows == rows.sum()
    assert np.array_equal(np.array(model.confusion), np.diag(np.bincount(came, minlength=len(EVENT_TYPES))))


def test_the_constant_knows_the_shares_of_what_was_learnt_from_alone() -> None:
    asked = next_type(SHOP, saying(SHOP, TRUTH.values), by_time(FIT, SCORED), GAP)
    assert asked is not None
    learnt = targets(SHOP, NEXT_TYPES, FIT.stop, GAP)
    rows = SHOP.last & learnt.known[:, 0]
    counts = learnt.values[rows].sum(0) + 1
    np.testing.assert_allclose(asked.scores["constant"][0], counts / counts.sum())


def test_without_the_head_it_is_not_asked() -> None:
    said = replace(saying(SHOP, TRUTH.values), tasks=())
    assert next_type(SHOP, said, by_time(FIT, SCORED), GAP) is None
