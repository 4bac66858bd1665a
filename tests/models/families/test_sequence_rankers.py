"""GRU4Rec and SASRec: carried state, what they learn, that one seed gives one result, and what is wrong is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.families.gru4rec import GRU4Rec
from models.families.interface import Floats
from models.families.markov import Markov
from models.families.popularity import Popularity
from models.families.rankers import load
from models.families.sasrec import SASRec
from models.families.sequence_ranker import SequenceRanker
from models.families.sessions import latest, questions, sessions_of
from models.ranking_metrics import places
from tests.models.families.shop import N_ITEMS, browsed

SMALL = {"width": 16, "epochs": 1, "cells": 128}
KINDS = [
    (GRU4Rec, {}),
    (GRU4Rec, {"layers": 2, "hidden": 24}),
    (GRU4Rec, {"sharpness": 8.0}),
    (SASRec, {"window": 4}),
    (SASRec, {"window": 3, "layers": 1, "heads": 4, "sharpness": 8.0}),
]
kinds = pytest.mark.parametrize(("kind", "shape"), KINDS)
FITTED: dict[int, SequenceRanker] = {}


def fitted(number: int) -> SequenceRanker:
    if number not in FITTED:
        kind, shape = KINDS[number]
        FITTED[number] = kind(**SMALL, **shape).fit(browsed())
    return FITTED[number]


def scored(model: Any, asked: list[list[int]]) -> Floats:
    return np.concatenate(list(model.predict(sessions_of(asked, N_ITEMS))))


@settings(max_examples=40)
@given(
    st.integers(0, len(KINDS) - 1),
    st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=11), min_size=1, max_size=5),
)
def test_carried_state_equals_the_whole_session(number: int, asked: list[list[int]]) -> None:
    """Of a sliding window too: a position sees its window only, in a whole session as well."""
    model = fitted(number)
    whole = scored(model, asked)
    for row, session in enumerate(asked):
        state = np.zeros((1, model.state_size), np.float32)
        for item in session:
            scores, state = model.step(np.array([item]), state)
        np.testing.assert_allclose(scores[0], whole[row], atol=1e-5)


@kinds
def test_sessions_step_beside_each_other(kind: type[SequenceRanker], shape: dict[str, Any]) -> None:
    model = fitted(KINDS.index((kind, shape)))
    state = np.zeros((3, model.state_size), np.float32)
    for items in ([1, 2, 3], [4, 5, 6], [7, 7, 8]):
        scores, state = model.step(np.array(items), state)
    np.testing.assert_allclose(scores, scored(model, [[1, 4, 7], [2, 5, 7], [3, 6, 8]]), atol=1e-5)


@kinds
def test_loaded_is_equal_and_one_seed_gives_one_result(
    kind: type[SequenceRanker], shape: dict[str, Any], tmp_path: Path
) -> None:
    model = fitted(KINDS.index((kind, shape)))
    asked = [[1], [2, 3, 4, 5, 6], [9, 9]]
    model.export(tmp_path)
    assert (scored(load(tmp_path), asked) == scored(model, asked)).all()
    assert (scored(kind(**SMALL, **shape).fit(browsed()), asked) == scored(model, asked)).all()
    assert (scored(kind(**SMALL, **shape).fit(browsed(), seed=5), asked) != scored(model, asked)).any()


@pytest.mark.parametrize("negatives", [None, 20])
@pytest.mark.parametrize("kind", [GRU4Rec, SASRec])
def test_it_learns_what_follows(kind: type[SequenceRanker], negatives: int | None) -> None:
    rest, held = latest(browsed(800), 0.1)
    asked, targets = questions(held)
    model = kind(width=16, epochs=12, cells=256, rate=0.01, negatives=negatives).fit(rest)
    got, markov, popular = (
        places(one.predict(asked), targets).reciprocal_rank(20)
        for one in (model, Markov().fit(rest), Popularity().fit(rest))
    )
    assert got > 0.95 * markov > 1.5 * popular


def test_it_stops_when_held_out_sessions_say_so() -> None:
    """On noise nothing can be gained, so training ends long before its last epoch, and with the best weights."""
    noise = sessions_of(np.random.default_rng(0).integers(0, N_ITEMS, (100, 4)).tolist(), N_ITEMS)
    model = GRU4Rec(
        width=16, epochs=60, cells=64, rate=0.01, held_out=0.2, patience=3, dropout_in=0, dropout_out=0
    )
    model.fit(noise)
    assert model.speed["epochs"] < 40


def test_speed_is_noted() -> None:
    speed = fitted(0).speed
    assert speed["train_events_per_s"] > 0
    assert 0 < speed["loader_share"] < 1
    assert speed["epochs"] == 1


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="gru4rec: no setting 'windows'"):
        GRU4Rec(windows=3)
    with pytest.raises(ValueError, match="no next item to learn"):
        GRU4Rec(**SMALL).fit(sessions_of([[1], [2]], 3))
    with pytest.raises(ValueError, match="item 30 at 1 is not within 0 … 29"):
        fitted(0).step(np.array([1, N_ITEMS]), np.zeros((2, 16), np.float32))
    with pytest.raises(ValueError, match=r"state: shape \(2, 3\); want \(2, 16\)"):
        fitted(0).step(np.array([1, 2]), np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"diverged in epoch 0.*lower rate"):
        GRU4Rec(**SMALL, rate=1e38).fit(browsed())


def test_torch_is_not_left_recording() -> None:
    assert torch.is_grad_enabled()
