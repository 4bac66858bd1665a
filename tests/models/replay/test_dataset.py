"""The training set is what the live path sees, event by event, and its labels are what came later."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.context import CONTEXT, advance, context_within
from models.events import pack
from models.featurizer import FeatureSpec, featurize
from models.replay.dataset import build
from models.replay.history import DAY_MS
from models.replay.labels import LAPSE_DAYS, Bought, label, vocabulary
from models.replay.source import SourceProblem
from tests.models.replay.shop import RING, START, batch, event, rows, sequences

SPEC = FeatureSpec()
EVENTS = rows(shoppers=12, days=40)


def live(events: list[dict[str, object]], cuts: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """ids and dense by user, as the live featurizer makes them from batches that end at `cuts`."""
    users = sorted({str(row["user_id"]) for row in events})
    state = np.zeros(len(users), CONTEXT)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {user: [] for user in users}
    for first, stop in pairwise([0, *sorted(set(cuts)), len(events)]):
        part = events[first:stop]
        shopper = np.array([users.index(str(row["user_id"])) for row in part])
        order = np.argsort(shopper, kind="stable")
        packed = pack(batch(part).events)[order]
        context = context_within(shopper[order], packed, state, SPEC)
        state = advance(shopper[order], packed, context, state, SPEC)
        features = featurize(packed, context, SPEC)
        for at, who in enumerate(shopper[order].tolist()):
            found[users[who]].append((features.ids[at], features.dense[at]))
    return {user: tuple(map(np.stack, zip(*parts, strict=True))) for user, parts in found.items()}  # type: ignore[misc]


@settings(max_examples=15)
@given(st.lists(st.integers(1, len(EVENTS) - 1), max_size=12))
def test_training_tensors_equal_live_features_to_the_last_bit(cuts: list[int]) -> None:
    built = sequences(EVENTS)
    features = built.features(SPEC)
    for number, user in enumerate(built.users.to_pylist()):
        mine = slice(built.bounds[number], built.bounds[number + 1])
        ids, dense = live(EVENTS, cuts)[user]
        assert (features.ids[mine] == ids).all()
        assert features.dense[mine].tobytes() == dense.tobytes()


def test_doubles_within_the_ring_go_and_are_counted() -> None:
    first = event("a", START)
    later = [event("a", START + minute * 60_000) for minute in range(1, RING + 1)]
    dropped: Counter[str] = Counter()
    assert len(build([batch([first, first, *later])], RING, dropped)) == RING + 1
    assert dropped == {"double": 1}
    # Pushed out of the ring it is not recognised again, and as the oldest event it comes too late.
    assert len(build([batch([first, *later, first])], RING, dropped)) == RING + 1
    assert dropped == {"double": 1, "too_late": 1}


def test_late_events_stay_in_the_order_of_the_log() -> None:
    built = sequences([event("a", START + DAY_MS), event("a", START), event("a", START + 2 * DAY_MS)])
    assert (built.events["time"] - START).tolist() == [DAY_MS, 0, 2 * DAY_MS]


def test_the_log_orders_a_shopper_not_the_order_of_reading() -> None:
    late = batch([event("a", START)], first=5)
    early = batch([event("a", START + DAY_MS)], first=2)
    assert (build([late, early], RING, Counter()).events["time"] - START).tolist() == [DAY_MS, 0]


def test_an_empty_interval_says_what_to_do() -> None:
    with pytest.raises(SourceProblem, match="choose another"):
        build([], RING, Counter())


def test_labels_are_the_next_purchase_strictly_later_and_before_the_end() -> None:
    events = [event("a", START, item_id=str(line)) for line in range(2)]
    events += [event("a", START + 4 * DAY_MS, category_id="bread"), event("a", START + 50 * DAY_MS)]
    built = sequences(events)
    words = vocabulary(Bought.of(built), 10)
    found = label(built, words, START + 40 * DAY_MS)
    assert found.days[:3].tolist() == [4, 4, np.inf]  # a line of the same basket is not "later"
    assert found.bought[:3].tolist() == [True, True, False]
    assert found.survived[:3].tolist() == [3, 3, 9]  # 36 of the days after the third are seen: 30 whole ones
    assert [words.names[code] for code in found.codes[found.starts[found.basket[0]] :][:1]] == ["bread"]
    assert found.basket[2] == -1


def test_a_label_does_not_change_with_what_happens_after_the_end() -> None:
    until = START + 20 * DAY_MS
    early = [row for row in EVENTS if row["event_time"] < until]
    known, all_ = sequences(early), sequences(EVENTS).before(until)
    words = vocabulary(Bought.of(known), 10)
    for one, other in zip(
        label(known, words, until).__dict__.values(), label(all_, words, until).__dict__.values(), strict=True
    ):
        assert np.array_equal(one, other)


def test_a_lapse_can_be_asked_about_until_the_next_event_and_only_where_it_is_decided() -> None:
    built = sequences([event("a", START), event("a", START + 5 * DAY_MS)])
    found = label(built, vocabulary(Bought.of(built), 10), START + (8 + LAPSE_DAYS) * DAY_MS)
    assert found.quiet_days.tolist() == [5, 3]


def test_a_share_of_the_shoppers_keeps_theirs_whole() -> None:
    whole = sequences(EVENTS)
    part = whole.share(0.5, seed=1)
    assert 0 < len(part.users) < len(whole.users)
    for number, user in enumerate(part.users.to_pylist()):
        at = whole.users.to_pylist().index(user)
        assert np.array_equal(
            part.events[part.bounds[number] : part.bounds[number + 1]],
            whole.events[whole.bounds[at] : whole.bounds[at + 1]],
        )
