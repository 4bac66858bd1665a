"""Popularity, Markov and V-SKNN against versions that walk through the sessions; each exports and loads."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.families.interface import Floats, Ranker
from models.families.markov import Markov
from models.families.popularity import Popularity
from models.families.rankers import load
from models.families.sessions import sessions_of
from models.families.vsknn import VSKNN, Neighbourhood
from tests.models.families.shop import browsed

N = 6
Lists = list[list[int]]
lists = st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=6), min_size=1, max_size=9)


def scored(model: Ranker, asked: Lists) -> Floats:
    return np.concatenate(list(model.predict(sessions_of(asked, model.n_items))))


def test_popularity_counts_and_the_session_comes_first() -> None:
    seen = sessions_of([[0, 1, 1], [1, 2]], 4)
    assert scored(Popularity().fit(seen), [[0], [2]]).tolist() == pytest.approx(
        np.tile([0.2, 0.6, 0.2, 0], (2, 1))
    )
    within = scored(Popularity(within_session=True).fit(seen), [[3, 0, 3]])
    assert within[0].tolist() == pytest.approx([1.2, 0.6, 0.2, 2])


@given(lists, lists, st.integers(1, 4))
def test_markov_is_what_followed(seen: Lists, asked: Lists, reach: int) -> None:
    followed: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for one in seen:
        for at, item in enumerate(one):
            for step in range(1, reach + 1):
                if at + step < len(one):
                    followed[item][one[at + step]] += 1 / step
    wanted = np.zeros((len(asked), N))
    for row, one in enumerate(asked):
        after = followed[one[-1]]
        for item, count in after.items():
            wanted[row, item] = count / sum(after.values())
    got = scored(Markov(reach).fit(sessions_of(seen, N)), asked)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def naive_neighbours(seen: Lists, asked: list[int], how: Neighbourhood) -> Floats:
    """V-SKNN session by session. Every training session counts here, so `recent` must be out of reach."""

    def decay(distance: float, reach: float | None) -> float:
        return 1.0 if reach is None else math.exp(-distance / reach)

    met = [max(1, sum(item in one for one in seen)) for item in range(N)]
    back = {item: len(asked) - 1 - at for at, item in enumerate(asked)}  # of the last time
    found = []
    for place, one in enumerate(seen):
        shared = [item for item in back if item in one]
        if not shared:
            continue
        likeness = sum(
            decay(back[item], how.items) * math.log1p(len(seen) / met[item]) ** how.rare for item in shared
        )
        likeness *= decay((len(seen) - 1 - place) / len(seen), how.age) / math.sqrt(len(one))
        latest = min(shared, key=lambda item: back[item])
        found.append((-likeness, -place, one, len(one) - 1 - one[::-1].index(latest)))
    scores = np.zeros(N)
    for likeness, _, one, at in sorted(found)[: how.neighbours]:
        for place, item in enumerate(one):
            ahead = place - at
            scores[item] -= likeness * (decay(ahead - 1, how.ahead) if ahead > 0 else decay(-ahead, how.back))
    return scores.astype(np.float32)


reaches = st.sampled_from([None, 0.7, 2.0])


@settings(max_examples=100)
@given(
    lists,
    lists,
    st.builds(
        Neighbourhood,
        st.just(99),
        st.just(99),
        reaches,
        reaches,
        reaches,
        reaches,
        st.sampled_from([0.0, 1.0]),
    ),
)
def test_neighbours_vote_as_session_by_session(seen: Lists, asked: Lists, how: Neighbourhood) -> None:
    got = scored(VSKNN(**vars(how)).fit(sessions_of(seen, N)), asked)
    wanted = np.stack([naive_neighbours(seen, one, how) for one in asked])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_only_the_nearest_neighbours_vote() -> None:
    seen = [[0, 1, 2], [0, 1, 3], [4, 0], [5]]
    how = Neighbourhood(neighbours=2, items=None)
    got = scored(VSKNN(**vars(how)).fit(sessions_of(seen, N)), [[0, 1]])
    np.testing.assert_allclose(got[0], naive_neighbours(seen, [0, 1], how), rtol=1e-5)
    assert got[0][4] == 0


def test_of_an_item_only_recent_sessions_are_looked_at() -> None:
    model = VSKNN(recent=1).fit(sessions_of([[0, 1], [0, 2]], N))
    assert scored(model, [[0]])[0].nonzero()[0].tolist() == [0, 2]


def test_an_item_never_met_has_no_neighbours() -> None:
    assert not scored(VSKNN().fit(sessions_of([[0, 1]], N)), [[3]]).any()


@pytest.mark.parametrize("setting", ["neighbours", "recent", "items", "age", "ahead", "back"])
def test_vsknn_refuses_what_is_not_above_zero(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting}: 0"):
        VSKNN(**{setting: 0})
    with pytest.raises(ValueError, match="reach: 0"):
        Markov(0)


@pytest.mark.parametrize(
    "model", [Popularity(), Popularity(True), Markov(), Markov(3), VSKNN(age=0.3, rare=1.0)]
)
def test_loaded_is_equal(model: Ranker, tmp_path: Path) -> None:
    asked = [[1], [2, 3], [5, 5, 9]]
    model.fit(browsed()).export(tmp_path)
    assert (scored(load(tmp_path), asked) == scored(model, asked)).all()


def test_a_folder_without_a_model_or_with_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no model"):
        Markov.load(tmp_path)
    Popularity().fit(browsed()).export(tmp_path)
    with pytest.raises(ValueError, match="holds a popularity, not a markov"):
        Markov.load(tmp_path)
    (tmp_path / "arrays.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match="cannot be read"):
        Popularity.load(tmp_path)
