"""Fitting the next-item head: its targets, its loss, and that it finds a pattern that was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import engine
from models.engine import Engine
from models.replay import item_fit
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.item_fit import Moments, Network, fit, moments, next_items, vocabulary
from tests.models.heads import ITEMS
from tests.models.releases import card, written
from tests.models.replay.shop import RING, START, event, sequences

SPEC = card().features


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return engine.load(written(tmp_path_factory.mktemp("release")).uri, "onnx", "cpu", 1)


def circle(shoppers: int, steps: int) -> Sequences:
    """Who was at item n views item n + 1 next, beginning anywhere; nobody sees an item twice."""
    log = [
        event(
            f"user-{user}",
            START + at * DAY_MS + user,
            event_type="item_view",
            item_id=ITEMS[(user * 5 + at) % len(ITEMS)],
            category_id=f"category {(user * 5 + at) % len(ITEMS) % 2}",
        )
        for at in range(steps)
        for user in range(shoppers)
    ]
    return sequences(log)


@pytest.mark.parametrize("full", [item_fit.FULL, 4])
def test_a_planted_order_of_items_is_found(
    served: Engine, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    """By the softmax over all items, and by one of four draws."""
    monkeypatch.setattr(item_fit, "FULL", full)
    monkeypatch.setattr(item_fit, "EPOCHS", 30)
    monkeypatch.setattr(item_fit, "BATCH", 32)
    monkeypatch.setattr(item_fit, "RATE", 1e-2)
    monkeypatch.setattr(item_fit, "DECAY", 0.0)
    monkeypatch.setattr(item_fit, "DROPOUT", 0.0)
    monkeypatch.setattr(item_fit, "PATIENCE", 30)
    log = circle(shoppers=48, steps=9)
    found = fit(log, served, SPEC, 100, RING, 0)
    assert found is not None
    head, said = found
    assert said["items"] == len(ITEMS)
    asked = circle(shoppers=24, steps=5)
    rows = asked.bounds[1:] - 1
    recent = [asked.events[a:b] for a, b in zip(asked.bounds[:-1], asked.bounds[1:], strict=True)]
    trunk = item_fit.trunks_at(asked, served, SPEC, rows)
    hits = [
        best[0].item == ITEMS[(ITEMS.index(asked.item_names[int(code)]) + 1) % len(ITEMS)]
        for best, code in zip(head.best(trunk, recent, 1), asked.events["item"][rows], strict=True)
    ]
    assert np.mean(hits) > 0.8  # chance: one in twelve
    assert dict(zip(head.items, head.categories, strict=True))["item-3"] == "category 1"


def test_the_same_again_with_one_seed(served: Engine) -> None:
    one, two = (fit(circle(40, 9), served, SPEC, 100, RING, 3) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one[0].to_bytes("") == two[0].to_bytes("")


def test_without_items_or_moments_there_is_no_head(served: Engine) -> None:
    nameless = [event("u", START + at * DAY_MS, item_id=None) for at in range(300)]
    assert fit(sequences(nameless), served, SPEC, 100, RING, 0) is None
    assert fit(circle(4, 9), served, SPEC, 100, RING, 0) is None


def test_the_vocabulary_is_what_shoppers_turned_to_most() -> None:
    log = [
        event("u", START + at, item_id=item, event_type=kind, event_id=str(at))
        for at, (item, kind) in enumerate(
            [("a", "purchase"), ("b", "item_view"), ("b", "click"), *[("c", "impression")] * 3]
        )
    ]
    made = sequences(log)
    names = [made.item_names[code] for code in vocabulary(made, 5).tolist()]
    assert names == ["b", "a"]
    assert len(vocabulary(made, 1)) == 1


def test_the_target_is_every_item_of_the_next_moment_that_has_any() -> None:
    """Against a search of what stands later, with late events and others between."""
    rng = np.random.default_rng(0)
    log = [
        event(
            f"user-{rng.integers(3)}",
            START + int(rng.integers(12)) * 60_000,
            item_id=f"item-{rng.integers(6)}",
            event_type=str(rng.choice(["purchase", "item_view", "search", "impression"])),
            event_id=str(at),
        )
        for at in range(80)
    ]
    made = sequences(log)
    turned = np.where(item_fit.turned_to(made.events), made.events["item"].astype(np.int64), -1)
    first, stop, items = next_items(made, turned)
    for row in range(len(made)):
        mine = made.shopper == made.shopper[row]
        later = mine & (turned >= 0) & (made.events["time"] > made.events["time"][row])
        soonest = made.events["time"][later].min(initial=np.iinfo(np.int64).max)
        expected = sorted(turned[later & (made.events["time"] == soonest)].tolist())
        assert sorted(items[first[row] : stop[row]].tolist()) == expected


def test_moments_hold_the_last_events_as_a_row_would(served: Engine) -> None:
    log = circle(3, 9)
    words = vocabulary(log, 100)
    found = moments(log, words, served, SPEC, 4, 0)
    assert len(found) == 3 * 8  # the last of each shopper has none to come
    for at, (shopper, recent) in enumerate(zip(found.shopper.tolist(), found.recent.tolist(), strict=True)):
        mine = log.events["item"][log.shopper == shopper]
        place = at % 8
        expected = [words.tolist().index(code) for code in mine[max(0, place - 3) : place + 1].tolist()]
        assert recent == [-1] * (4 - len(expected)) + expected
        assert words[found.items[found.starts[at]]] == mine[place + 1]


def test_with_every_item_drawn_the_sampled_loss_is_the_full_one() -> None:
    rng = np.random.default_rng(0)
    size, rows = 9, np.arange(6)
    found = Moments(
        rng.normal(size=(6, 5)).astype(np.float32),
        rng.integers(-1, size, (6, 7)),
        rng.choice([2, 8], (6, 7)).astype(np.uint8),
        np.arange(0, 21, 3),
        rng.integers(0, size, 18),
        rows,
    )
    torch.manual_seed(0)
    network = Network(found.trunk, rng.random(size), size).eval()
    everything = torch.arange(size), torch.zeros(size)
    full, sampled = (
        item_fit._loss(network, found, rows, np.random.default_rng(1), drawn) for drawn in (None, everything)
    )
    assert full.item() == pytest.approx(sampled.item(), rel=1e-5)


def test_the_network_that_learnt_and_its_head_say_the_same() -> None:
    rng = np.random.default_rng(0)
    trunk = (3 + 2 * rng.normal(size=(50, 5))).astype(np.float32)
    torch.manual_seed(0)
    network = Network(trunk, np.ones(12), 12).eval()
    head = network.folded(ITEMS, ("",) * 12)
    with torch.no_grad():
        expected = network(torch.from_numpy(trunk)) @ network.vectors.weight.T + network.bias.weight[:, 0]
    none = [circle(1, 1).events[:0]] * len(trunk)
    np.testing.assert_allclose(head.scores(trunk, none), expected.numpy(), atol=1e-5)
