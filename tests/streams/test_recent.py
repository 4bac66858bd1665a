"""What a list is looked up by, in the pass itself: the shopper's last events, wherever batches were cut."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.events import hash_names
from models.item_head import ItemHead
from streams.compiled import CompiledPolicy
from tests.models.heads import with_head
from tests.models.releases import CATEGORIES
from tests.streams.decide_cases import compiled, document
from tests.streams.live import CODECS, RING, Partition, event, records, release

LOG = st.lists(
    st.tuples(
        st.sampled_from(["purchase", "purchase", "click", "click", "search", "erasure", "double"]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=25,
)

BEST = ItemHead.best


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return with_head(tmp_path_factory.mktemp("release") / "releases").uri


def lists() -> CompiledPolicy:
    """A list after every click, whatever the scores."""
    source = document()
    source["campaigns"] = [source["campaigns"][2]]
    source["campaigns"][0]["trigger"] |= {"at_least": 0.0, "at_most": 1.0}
    source["campaigns"][0]["value"] |= {"minimum": -1.0}
    return compiled(source)


def interventions(partition: Partition) -> list[dict[str, Any]]:
    found = [value for name, value in partition.published if name == "intervention"]
    return CODECS.intervention.decode_rows(found)


@settings(max_examples=25)
@given(LOG, st.lists(st.integers(1, 9), min_size=25, max_size=25))
def test_lists_are_looked_up_by_the_last_events_wherever_batches_are_cut(
    uri: str, drawn: list[tuple[str, int]], cuts: list[int]
) -> None:
    rows: list[dict[str, Any]] = []
    held: dict[int, list[str]] = {user: [] for user in range(3)}
    expected = []
    for at, (kind, user) in enumerate(drawn):
        mine = [row for row in rows if row["user_id"] == f"user-{user}"]
        if kind == "double" and mine and mine[-1]["event_type"] not in ("erasure", "click"):
            rows.append(mine[-1])
            continue
        row = event(user, at, event_type="search" if kind == "double" else kind)
        rows.append(row)
        if kind == "erasure":
            held[user] = []
        else:
            held[user].append(row["item_id"])
        if kind == "click":
            expected.append(hash_names(held[user][-RING:]).tolist())
    log = records(rows)
    told = []
    for sizes in ([1] * len(log), [len(log)], cuts):
        asked: list[list[int]] = []

        def noted(self: ItemHead, trunk: Any, recent: Any, *rest: Any, asked: list[list[int]] = asked) -> Any:
            asked.extend(one["item"].tolist() for one in recent)
            return BEST(self, trunk, recent, *rest)

        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
            patched.setattr(ItemHead, "best", noted)
            partition, start = Partition(Path(folder), uri, policy=lists()), 0
            for size in sizes:
                if log[start : start + size]:
                    partition.process(log[start : start + size])
                start += size
            partition.store.close()
        assert asked == expected
        told.append([one["rerank"]["items"] for one in interventions(partition)])
    assert told[0] == told[1] == told[2]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Item hashes of each history that the head is asked with."""
    found: list[list[int]] = []

    def noted(self: ItemHead, trunk: Any, recent: Any, *rest: Any) -> Any:
        found.extend(one["item"].tolist() for one in recent)
        return BEST(self, trunk, recent, *rest)

    monkeypatch.setattr(ItemHead, "best", noted)
    return found


def named(*items: int) -> list[int]:
    return hash_names([f"item-{at}" for at in items]).tolist()


@pytest.mark.parametrize("sizes", [(4,), (3, 1)])
def test_an_event_that_comes_late_stands_where_it_belongs(
    uri: str, tmp_path: Path, asked: list[list[int]], sizes: tuple[int, ...]
) -> None:
    log = records(
        [event(0, 0), event(0, 5), event(0, 2, event_type="search"), event(0, 6, event_type="click")]
    )
    partition, start = Partition(tmp_path, uri, policy=lists()), 0
    for size in sizes:
        partition.process(log[start : start + size])
        start += size
    assert asked == [named(0, 2, 5, 6)]


def test_an_erasure_that_is_redone_takes_nothing_twice(
    uri: str, tmp_path: Path, asked: list[list[int]]
) -> None:
    erasure = event(0, 1, event_type="erasure")
    log = records([event(0, 0), erasure, event(0, 2), event(0, 3), event(0, 4, event_type="click")])
    partition = Partition(tmp_path, uri, policy=lists())
    partition.process(log[:1])
    partition.process(log[1:4])
    partition.crash()
    partition.process(log[1:5])
    assert asked == [named(2, 3, 4)]


def test_the_reason_is_that_of_the_release_in_use(uri: str, tmp_path: Path) -> None:
    """A release without a head, then one with it, then none again: lists go on and say what they are made of."""
    plain = release(tmp_path / "plain", popular=dict.fromkeys(CATEGORIES, ("first", "second")))
    partition = Partition(tmp_path / "worker", plain, policy=lists())
    for at, of in enumerate((plain, uri, plain)):
        partition.use(of)
        partition.process(records([event(at, at, event_type="click")], first=at))
    reasons = [one["reason"].split("; ")[1] for one in interventions(partition)]
    assert reasons[1] == "list of 3 items, those most likely next"
    assert "popular items from" in reasons[0]
    assert "popular items from" in reasons[2]


def test_two_partitions_in_one_pass_have_their_own_lists(uri: str, tmp_path: Path) -> None:
    logs = [
        records([event(user, at, event_type="click" if at % 2 else "purchase") for at in range(6)])
        for user in (1, 2)
    ]
    for record in logs[1]:
        record.partition = 1
    together = [Partition(tmp_path / f"together-{at}", uri, policy=lists()) for at in range(2)]
    works = together[0].passing.process([(p.shoppers, log) for p, log in zip(together, logs, strict=True)])
    for at, (partition, log, work) in enumerate(zip(together, logs, works, strict=True)):
        partition.finish(work)
        alone = Partition(tmp_path / f"alone-{at}", uri, policy=lists())
        alone.process(log)
        ours, theirs = (
            [(one["user_id"], one["rerank"]["items"]) for one in interventions(p)] for p in (partition, alone)
        )
        assert ours == theirs
        assert len(ours) == 3
        np.testing.assert_equal([user for user, _ in ours], [f"user-{at + 1}"] * 3)
