"""One pass over a batch: each event scored once, state a pure function of the log, crashes and cuts invisible."""

from __future__ import annotations

import itertools
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.live import CODECS, RING, Partition, event, records, release


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release(tmp_path_factory.mktemp("release"))


def same(one: np.void, other: np.void) -> None:
    assert one["meta"] == other["meta"]
    assert (one["ids"] == other["ids"]).all()
    assert (one["ring"] == other["ring"]).all() or one["ring"].tobytes() == other["ring"].tobytes()
    np.testing.assert_allclose(one["hidden"].astype("f4"), other["hidden"].astype("f4"), atol=1e-5)


def log_of(seed: int, events: int, users: int) -> list[dict[str, object]]:
    """Events in time order but for some late ones and some doubles."""
    rng = random.Random(seed)
    rows: list[dict[str, object]] = []
    for at in range(events):
        kind = rng.random()
        if rows and kind < 0.1:
            rows.append(dict(rng.choice(rows[-8:])))
        else:
            rows.append(event(rng.randrange(users), at if kind > 0.2 else max(0, at - rng.randrange(20))))
    return rows


def test_every_event_is_predicted_once_and_names_its_release(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri)
    rows = [event(user, at) for at in range(4) for user in range(3)]
    partition.process(records(rows))
    predictions = partition.predictions()
    assert [p["event_id"] for p in predictions] == [row["event_id"] for row in rows]
    assert {p["release"] for p in predictions} == {partition.model.engine.release_id}
    assert all(set(p["scores"]) == set(partition.model.engine.tasks) for p in predictions)
    assert all(np.all(np.diff(p["survival"]) <= 1e-6) for p in predictions)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 59), max_size=6))
def test_where_batches_are_cut_changes_nothing(uri: str, seed: int, cuts: list[int]) -> None:
    raw = records(log_of(seed, 60, 4))
    edges = sorted({0, 60, *cuts})
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole, cut = Partition(Path(one), uri), Partition(Path(other), uri)
        whole.process(raw)
        for start, stop in itertools.pairwise(edges):
            cut.process(raw[start:stop])
        for user in range(4):
            same(whole.row(user), cut.row(user))
        mine, theirs = whole.predictions(), cut.predictions()
        assert [p["prediction_id"] for p in mine] == [p["prediction_id"] for p in theirs]
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a["survival"], b["survival"], atol=1e-5)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), rows=st.sampled_from([24, 64]))
def test_crashes_at_any_commit_lose_and_double_nothing(uri: str, seed: int, rows: int) -> None:
    """Random cuts, crashes before and after the local write, evictions: rows and published set as undisturbed."""
    rng, raw = random.Random(seed), records(log_of(seed, 120, 30))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        calm, hurt = Partition(Path(one), uri), Partition(Path(other), uri, rows)
        calm.process(raw)
        position = 0
        while position < len(raw):
            size = rng.randrange(1, 12)
            crash = rng.random() < 0.3
            hurt.process(raw[position : position + size], local_write=not (crash and rng.random() < 0.5))
            position += size
            if crash:
                position = hurt.crash()
        for user in range(30):
            same(calm.row(user), hurt.row(user))
        assert [p["prediction_id"] for p in calm.predictions()] == [
            p["prediction_id"] for p in hurt.predictions()
        ]


def test_a_double_is_not_scored_again_and_is_counted(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri)
    rows = [event(1, 0), event(1, 1), event(1, 0)]
    work = partition.process(records(rows))
    assert len(partition.predictions()) == 2
    assert work.reasons == {"double": 1}


def test_a_late_event_goes_to_its_place_and_the_state_is_as_if_it_had_come_in_time(
    tmp_path: Path, uri: str
) -> None:
    late, timely = Partition(tmp_path / "late", uri), Partition(tmp_path / "timely", uri)
    late.process(records([event(1, 0), event(1, 9), event(1, 4)]))
    timely.process(records([event(1, 0), event(1, 4), event(1, 9)]))
    ordered = late.row(1)["ring"]["time"][:3]
    assert (np.diff(ordered) > 0).all()
    np.testing.assert_allclose(
        late.row(1)["hidden"].astype("f4"), timely.row(1)["hidden"].astype("f4"), atol=1e-6
    )
    assert late.row(1)["meta"]["context"] == timely.row(1)["meta"]["context"]
    assert len(late.predictions()) == 3


def test_an_event_older_than_a_full_ring_is_predicted_but_not_applied(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri)
    work = partition.process(records([*(event(1, at) for at in range(10, 10 + RING)), event(1, 1)]))
    assert work.applied is not None
    assert work.applied.too_late == 1
    assert len(partition.predictions()) == RING + 1
    assert partition.row(1)["ring"]["time"].min() == event(1, 10)["event_time"]


def test_another_release_rebuilds_rows_from_the_ring(tmp_path: Path, uri: str) -> None:
    other = release(tmp_path / "other", seed=3)
    swapped, fresh = Partition(tmp_path / "a", uri), Partition(tmp_path / "b", other)
    first, second = records([event(1, 0), event(1, 1)]), records([event(1, 2)], first=2)
    swapped.process(first)
    swapped.use(other)
    work = swapped.process(second)
    fresh.process(first)
    fresh.process(second)
    assert work.applied is not None
    assert work.applied.rebuilt == 1
    assert [p["release"] for p in swapped.predictions()][-1] == fresh.predictions()[-1]["release"]
    np.testing.assert_allclose(
        swapped.predictions()[-1]["survival"], fresh.predictions()[-1]["survival"], atol=1e-5
    )


BAD = {
    "null_value": lambda record: setattr(record, "value", None),
    "undecodable": lambda record: setattr(record, "value", b"\x00\x00\x00\x00\x01nonsense"),
    "unknown_schema": lambda record: setattr(record, "value", b"\x00\x7f\xff\xff\xff" + record.value[5:]),
    "oversized": lambda record: setattr(record, "value", record.value + b"x" * (2 << 20)),
    "key_mismatch": lambda record: setattr(record, "key", b"somebody else"),
}
BAD_ROWS = {
    "missing_user": {"user_id": ""},
    "absurd_time": {"event_time": 99},
    "bad_number": {"price": float("nan")},
    "bad_id": {"event_id": ""},
}


@pytest.mark.parametrize("reason", [*BAD, *BAD_ROWS])
def test_a_bad_record_is_buried_whole_and_the_others_are_scored(
    tmp_path: Path, uri: str, reason: str
) -> None:
    partition = Partition(tmp_path, uri)
    raw = records([event(1, 0), event(2, 1, **BAD_ROWS.get(reason, {})), event(3, 2)])
    raw[1].headers = (("trace", b"abc"),)
    if reason in BAD:
        BAD[reason](raw[1])
    original = raw[1].value
    work = partition.process(raw)
    (letter,) = CODECS.dead_letter.decode_rows(
        [v for name, v in partition.published if name == "dead_letter"]
    )
    assert (letter["reason"], letter["offset"], letter["partition"]) == (reason, 1, 0)
    assert letter["value"] == original
    assert letter["headers"] == [{"name": "trace", "value": b"abc"}]
    assert "Traceback" not in letter["message"]
    assert letter["message"]
    assert work.reasons == {reason: 1}
    assert len(partition.predictions()) == 2


def test_an_event_without_a_finite_score_is_a_dead_letter_and_leaves_the_state_of_its_row(
    tmp_path: Path,
) -> None:
    made = Partition(tmp_path / "one", release(tmp_path / "releases"))
    log = [event(at % 3, at) for at in range(12)]
    made.process(records(log[:6]))
    step = made.model.engine.step

    def bad_at_the_first(ids: Any, dense: Any, hidden: Any) -> Any:
        trunk, after = step(ids, dense, hidden)
        trunk[0], after[0] = np.nan, np.nan
        return trunk, after

    before = made.row(0)["hidden"].copy()
    engine = made.model.engine
    sizes = {"trunk_size": engine.trunk_size, "state_size": engine.state_size}
    made.shoppers.sequences.use(SimpleNamespace(step=bad_at_the_first, release_id=engine.release_id, **sizes))
    made.process(records(log[6:9], 6))
    letters = CODECS.dead_letter.decode_rows([v for name, v in made.published if name == "dead_letter"])
    assert [(letter["offset"], letter["reason"]) for letter in letters] == [(6, "not_finite")]
    assert len(made.predictions()) == 8
    np.testing.assert_array_equal(made.row(0)["hidden"], before)
    assert np.isfinite(made.row(1)["hidden"]).all()


def test_an_erasure_empties_row_and_contact_and_leaves_tombstones(tmp_path: Path) -> None:
    consent = {"event_type": "consent", "properties": {"channel": "push", "granted": "yes"}}
    log = [
        event(1, 1),
        event(1, 2, **consent),
        event(2, 3),
        event(2, 4, **consent),
        event(1, 5, event_type="erasure"),
    ]
    made = Partition(tmp_path / "one", release(tmp_path / "releases"))
    made.process(records(log[:4]))
    made.idle(4)
    assert made.store.sequences([b"user-1"]) != [None]
    made.process(records(log[4:], 4))
    made.idle(5)
    assert made.row(1)["meta"]["length"] == 0
    assert not made.row(1)["hidden"].any()
    assert made.row(2)["meta"]["length"] == 2
    assert made.store.sequences([b"user-1"]) == [None]
    assert made.store.contacts(["user-1"]) == [None]
    assert made.store.contacts(["user-2"]) != [None]
    assert dict(made.sequences_log.records.values())[b"user-1"] is None
    assert len(made.predictions()) == 4  # an erasure is carried out, not scored
    made.process(records([event(1, 6)], 5))
    assert made.row(1)["meta"]["length"] == 1


def test_what_was_erased_stays_erased_after_a_crash(tmp_path: Path) -> None:
    log = [event(1, 1), event(1, 2), event(1, 3, event_type="erasure"), event(1, 4)]
    made = Partition(
        tmp_path / "one", release(tmp_path / "releases"), interval=1e9
    )  # no checkpoint: all is redone
    for at, record in enumerate(records(log)):
        made.process([record])
        begin = made.crash()
        for before in records(log)[begin : at + 1]:
            made.process([before])
    assert made.row(1)["meta"]["length"] == 1
