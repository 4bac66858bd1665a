"""Training is repeatable, learns only from before its end, and learns something."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.architecture import Architecture
from models.featurizer import FeatureSpec
from models.replay.history import DAY_MS
from models.replay.source import SourceProblem
from models.replay.train import Recipe, Trained, train
from models.tasks import split
from tests.models.replay.shop import START, event, rows, sequences

RECIPE = Recipe(
    architecture=Architecture(sizes=(8, 8), head=8, memory=8, item=2, category=2, type=2, device=2),
    features=FeatureSpec(item_buckets=16, category_buckets=64),
    categories=12,
    epochs=3,
    lanes=8,
    rounds=16,
    rate=1e-2,
    average=0.9,
)
EVENTS = rows(shoppers=60, days=60)
UNTIL = START + 50 * DAY_MS


def trained(seed: int = 0, recipe: Recipe = RECIPE) -> Trained:
    return train(sequences(EVENTS), UNTIL, recipe, seed)


def same(one: Trained, other: Trained) -> bool:
    return all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_one_seed_gives_one_result_and_another_seed_another() -> None:
    first = trained()
    assert same(first, trained())
    assert first.calibration == trained().calibration
    assert not same(first, trained(seed=1))


def test_what_happens_after_the_end_is_not_learnt() -> None:
    early = [row for row in EVENTS if row["event_time"] < UNTIL]
    late = [event(str(row["user_id"]), UNTIL + at, category_id="new") for at, row in enumerate(early[:30])]
    assert same(train(sequences(early), UNTIL, RECIPE, 0), train(sequences(early + late), UNTIL, RECIPE, 0))


def test_the_loss_on_held_out_shoppers_falls() -> None:
    epochs = trained(recipe=replace(RECIPE, epochs=5)).epochs
    assert min(epoch.held_out_loss for epoch in epochs[1:]) < epochs[0].held_out_loss


def test_too_few_shoppers_are_refused() -> None:
    with pytest.raises(SourceProblem, match="1 shoppers are too few"):
        train(sequences([event("a", START), event("a", START + DAY_MS)]), UNTIL, RECIPE, 0)


def test_tasks_with_a_head_of_their_own_are_learnt_and_calibrated() -> None:
    log = [
        *EVENTS,
        *(event(str(row["user_id"]), row["event_time"] - 60_000, event_type="item_view") for row in EVENTS),
    ]
    log.sort(key=lambda row: (row["event_time"], row["user_id"]))
    recipe = replace(RECIPE, tasks=("buy_7d", "session_buy", "orders_7d", "spend_7d", "next_type"))
    found = train(sequences(log), UNTIL, recipe, 0)
    extra = split(found.tasks).extra
    assert found.weights["extra.weight"].shape == (len(extra), 8)
    assert len(found.calibration.extra_scale) == len(extra)
    # Amounts start at their mean and are shifted to sum up right: about as many orders a week as there are.
    weekly = np.exp(found.weights["extra.bias"][extra.index("orders_7d")])
    assert 0.2 < weekly < 5
    assert same(found, train(sequences(log), UNTIL, recipe, 0))
