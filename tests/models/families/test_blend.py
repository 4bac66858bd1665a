"""Blend: its weights come from sessions nobody learned from, and it is its members' weighted sum."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from models.families.blend import Blend
from models.families.gru4rec import GRU4Rec
from models.families.markov import Markov
from models.families.popularity import Popularity
from models.families.rankers import load, ranker
from models.families.sessions import latest, questions
from models.ranking_metrics import places
from tests.models.families.shop import N_ITEMS, browsed


def entropy(blend: Blend) -> float:
    asked, targets = questions(browsed(100, seed=9))
    scores = log_softmax(np.concatenate(list(blend.predict(asked))), 1)
    return -float(np.take_along_axis(scores, targets[:, None].astype(int), 1).mean())


def test_scores_are_the_weighted_sum_of_log_probabilities() -> None:
    sessions = browsed()
    markov, gru = Markov().fit(sessions), GRU4Rec(width=8, epochs=1).fit(sessions)
    asked, _ = questions(browsed(20, seed=1))
    got = np.concatenate(list(Blend([markov, gru], [0.3, 2.0], floor=0.1).predict(asked)))
    counted, learned = (np.concatenate(list(one.predict(asked))) for one in (markov, gru))
    wanted = 0.3 * np.log(0.9 * counted + 0.1 / N_ITEMS) + 2.0 * log_softmax(learned, 1)
    np.testing.assert_allclose(log_softmax(got, 1), log_softmax(wanted, 1), rtol=1e-4, atol=1e-5)


def test_weights_are_the_best_there_are() -> None:
    """On the sessions they were chosen on; a member that knows nothing gets next to none."""
    sessions = browsed(400)
    members = [
        Markov().fit(sessions),
        Popularity(within_session=True).fit(sessions),
        Popularity().fit(sessions),
    ]
    blend = Blend(members).weigh(*questions(browsed(100, seed=9)))
    best = entropy(blend)
    assert blend.weights is not None
    for member in range(3):
        for change in (-0.1, 0.1):
            weights = blend.weights.copy()
            weights[member] = max(0.0, weights[member] + change)
            assert entropy(Blend(members, weights.tolist())) >= best - 1e-6
    assert blend.weights[2] < 0.2 < blend.weights[0]


def test_fit_is_no_worse_than_any_member() -> None:
    rest, held = latest(browsed(800), 0.2)
    asked, targets = questions(held)
    members = [Markov(), Popularity(within_session=True)]
    blend = Blend(members, held_out=0.2).fit(rest)
    got, *alone = (places(one.predict(asked), targets).reciprocal_rank(20) for one in (blend, *members))
    assert got > max(alone)


def test_loaded_is_equal(tmp_path: Path) -> None:
    sessions = browsed()
    blend = Blend([Markov(), GRU4Rec(width=8, epochs=1)], [0.5, 0.5]).fit(sessions)
    blend.export(tmp_path)
    asked, _ = questions(sessions)
    for wanted, got in zip(blend.predict(asked), load(tmp_path).predict(asked), strict=True):
        assert (wanted == got).all()


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 members and weights"):
        Blend([Markov(), Markov()], [1.0])
    blend = Blend([Markov().fit(browsed())])
    with pytest.raises(ValueError, match="no weights"):
        next(blend.predict(browsed()))
    with pytest.raises(ValueError, match="no weights"):
        blend.export(tmp_path)
    with pytest.raises(ValueError, match="'markoff' is no ranker; want one of popularity"):
        ranker({"family": "markoff"})
