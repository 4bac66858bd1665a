"""The next-item head: the best items as a sort of all would have them, and its files beside a release's weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models import item_head, release
from models.events import EVENT, TYPE_CODE, hash_names
from models.item_head import ItemHead, largest, load, repeats
from models.network import weights_of
from models.release import ReleaseProblem
from tests.models.heads import ITEMS, head, trunk_size, with_head
from tests.models.releases import card, untrained, written

TRUNK = 5
SCORES = arrays.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),  # few values, so that many are equal
)


def events(*items: str, kind: str = "purchase") -> np.ndarray:
    found = np.zeros(len(items), EVENT)
    found["item"], found["type"] = hash_names(list(items)), TYPE_CODE[kind]
    return found


@given(SCORES, st.integers(1, 11))
def test_the_largest_are_those_that_a_sort_puts_first(scores: np.ndarray, count: int) -> None:
    line = scores.tolist()
    assert largest(scores, count).tolist() == sorted(range(len(line)), key=lambda at: (-line[at], at))[:count]


@given(st.lists(st.tuples(st.integers(-1, 3), st.booleans()), min_size=1, max_size=8))
def test_repeats_count_an_item_once_at_its_newest_event(line: list[tuple[int, bool]]) -> None:
    items = np.array([[item for item, _ in line]])
    kinds = np.array([[TYPE_CODE["purchase" if bought else "item_view"] for _, bought in line]])
    bias = np.arange(len(line), dtype=np.float32)[None]
    expected = np.zeros((len(line), item_head.REPEATS))
    for at, (item, _) in enumerate(line):
        if item >= 0 and item not in [later for later, _ in line[at + 1 :]]:
            bought = sum(1 for other, was in line if other == item and was)
            viewed = sum(1 for other, was in line if other == item and not was)
            expected[at] = 1, np.log1p(bought), np.log1p(viewed), np.log(len(line) - at), at
    np.testing.assert_allclose(repeats(items, kinds, bias)[0], expected, rtol=1e-6)


def scores_by_hand(of: ItemHead, trunk: np.ndarray, recent: np.ndarray) -> np.ndarray:
    inner = np.maximum(of.inner @ trunk + of.inner_bias, 0)
    scores = of.vectors @ inner + of.bias
    names = hash_names(list(of.items)).tolist()
    told = recent[["item", "type"]].tolist()
    known = [(names.index(code) if code in names else -1, kind) for code, kind in told]
    for back, (at, _) in enumerate(reversed(known), 1):
        if at < 0 or at in [later for later, _ in known[len(known) - back + 1 :]]:
            continue
        mine = [kind == TYPE_CODE["purchase"] for item, kind in known if item == at]
        said = [1, np.log1p(sum(mine)), np.log1p(len(mine) - sum(mine)), np.log(back), of.bias[at]]
        scores[at] += np.dot(said, of.repeat) + of.again[at]
    return scores


def test_the_best_items_have_the_softmax_over_all_items_as_their_probability(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of, rng = head(TRUNK), np.random.default_rng(1)
    trunk = rng.normal(size=(5, TRUNK)).astype(np.float32)
    recent = [
        events(),
        events("item-3", "elsewhere", "item-3", "item-7"),
        events("item-0", kind="item_view"),
        events("elsewhere"),
        events(*ITEMS[:5]),
    ]
    monkeypatch.setattr(item_head, "AT_ONCE", 2 * len(ITEMS))  # in three goes
    for row, found in enumerate(of.best(trunk, recent, 4)):
        scores = scores_by_hand(of, trunk[row], recent[row])
        shares = np.exp(scores) / np.exp(scores).sum()
        order = np.argsort(-scores)[:4]
        assert [one.item for one in found] == [ITEMS[at] for at in order]
        assert [one.category for one in found] == [of.categories[at] for at in order]
        np.testing.assert_allclose([one.probability for one in found], shares[order], rtol=1e-4)


def test_what_may_not_be_shown_takes_no_place() -> None:
    of = head(TRUNK)
    trunk = np.zeros((1, TRUNK), np.float32)
    (every,) = of.best(trunk, [events()], len(ITEMS))
    hidden = {one.item for one in every[:6]}
    allowed = np.array([item not in hidden for item in ITEMS])
    (found,) = of.best(trunk, [events()], 4, allowed)
    assert found[:] == every[6:10]  # four all the same, and probabilities are over all items
    assert len(of.best(trunk, [events()], 9, allowed)[0]) == 6
    assert len(of.best(trunk, [events()], 4, np.zeros(len(ITEMS), bool))[0]) == 0
    assert sum(one.probability for one in every) == pytest.approx(1)


def test_a_release_gives_its_head_back(tmp_path: Path) -> None:
    kept = with_head(tmp_path / "releases")
    found = load(release.read(kept.uri))
    assert found is not None
    expected = head(trunk_size(card()))
    assert (found.items, found.categories) == (expected.items, expected.categories)
    for name in ("inner", "inner_bias", "vectors", "bias", "again", "repeat"):
        assert (getattr(found, name) == getattr(expected, name)).all()


def test_an_older_release_has_none(tmp_path: Path) -> None:
    assert load(release.read(written(tmp_path).uri)) is None


def test_what_does_not_belong_to_the_release_is_refused(tmp_path: Path) -> None:
    of = card()
    weights, size = weights_of(untrained(of)), trunk_size(of)
    sha = release.write(str(tmp_path / "plain"), of, weights).weights_sha256
    whole = head(size).to_bytes(sha)
    told = json.loads(whole[item_head.ITEMS_FILE])
    broken = {
        "fitted on other weights": head(size).to_bytes("0" * 64),
        "next_item.json is missing": {item_head.WEIGHTS_FILE: whole[item_head.WEIGHTS_FILE]},
        "another SHA-256": {
            **whole,
            item_head.WEIGHTS_FILE: head(size, seed=1).to_bytes(sha)[item_head.WEIGHTS_FILE],
        },
        "want finite float32": head(size + 1).to_bytes(sha),
        "this code reads 1": {**whole, item_head.ITEMS_FILE: json.dumps(told | {"format": 2}).encode()},
    }
    for number, (message, files) in enumerate(broken.items()):
        made = release.write(str(tmp_path / str(number)), of, weights, beside=files)
        with pytest.raises(ReleaseProblem, match=message):
            load(made)
