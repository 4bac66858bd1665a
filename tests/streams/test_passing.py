"""A pass over several partitions does to each what a pass over it alone does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import engine_onnx
from streams.shoppers import Work
from tests.streams.live import CODECS, Partition, event, records, release

USERS = (range(0, 7), range(7, 10), range(10, 40))
EVENTS = 50


def log_of(number: int) -> list[Any]:
    """Events of one partition's shoppers; some cannot be used, one shopper says what may be sent."""
    users = USERS[number]
    rows = [event(users[at % len(users)], at) for at in range(EVENTS)]
    rows[20] |= {"event_type": "consent", "properties": {"channel": "coupon", "granted": "no"}}
    rows[30] |= {"price": -1.0}
    made = records(rows)
    made[3 + number].value = b"rubbish"
    for record in made:
        record.partition = number
    return made


def partitions(folder: Path, uri: str) -> list[Partition]:
    return [Partition(folder / str(number), uri) for number in range(len(USERS))]


def told(work: Work) -> tuple[list[Any], list[float]]:
    """What is published, but for the clock's part in it: everything but numbers, and the numbers."""
    others: list[Any] = []
    numbers: list[float] = []

    def walk(value: Any) -> None:
        if isinstance(value, float):
            numbers.append(value)
        elif isinstance(value, dict):
            for key in sorted(value.keys() - {"scored_at", "decided_at", "failed_at"}):
                others.append(key)
                walk(value[key])
        elif isinstance(value, list):
            for entry in value:
                walk(entry)
        else:
            others.append(value)

    for name, found in sorted(work.records.items()):
        walk(getattr(CODECS, name).decode_rows([value for _, value in found]))
    return others, numbers


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return release(tmp_path / "releases")


@pytest.mark.parametrize("sizes", [(50, 50, 50), (50, 1, 7), (3, 50, 11)])
def test_several_partitions_in_one_pass_are_each_as_they_would_be_alone(
    sizes: tuple[int, ...], uri: str, tmp_path: Path
) -> None:
    together, alone = partitions(tmp_path / "together", uri), partitions(tmp_path / "alone", uri)
    logs = [log_of(number)[:size] for number, size in enumerate(sizes)]
    works = together[0].passing.process([(p.shoppers, log) for p, log in zip(together, logs, strict=True)])
    for partition, other, log, work in zip(together, alone, logs, works, strict=True):
        partition.finish(work)
        expected = other.process(log)
        assert (work.next_offset, work.events, work.reasons) == (
            expected.next_offset,
            expected.events,
            expected.reasons,
        )
        (others, numbers), (other_others, other_numbers) = told(work), told(expected)
        assert others == other_others
        np.testing.assert_allclose(numbers, other_numbers, atol=1e-5)
        assert work.contacts == expected.contacts
        for user in {int(record.key.decode().split("-")[1]) for record in log}:
            ours, theirs = partition.row(user), other.row(user)
            assert ours["ring"].tobytes() == theirs["ring"].tobytes()
            assert ours["meta"].tobytes() == theirs["meta"].tobytes()
            np.testing.assert_allclose(ours["hidden"], theirs["hidden"], atol=1e-5)


def test_offsets_of_several_partitions_that_look_like_one_run_are_each_partitions_own(
    uri: str, tmp_path: Path
) -> None:
    """The first is 0 and the last of three is 2: what is between is another partition's 7."""
    parts = partitions(tmp_path, uri)
    shares = [
        (partition.shoppers, records([event(number * 100, number)], first=first))
        for number, (partition, first) in enumerate(zip(parts, (0, 7, 2), strict=True))
    ]
    for number, (_, (record,)) in enumerate(shares):
        record.partition = number
    works = parts[0].passing.process(shares)
    assert [work.next_offset for work in works] == [1, 8, 3]
    for partition, work, number, applied in zip(parts, works, range(3), (0, 7, 2), strict=True):
        partition.finish(work)
        assert partition.row(number * 100)["meta"]["applied"] == applied


def test_a_partition_in_redo_publishes_nothing_while_the_others_do(uri: str, tmp_path: Path) -> None:
    first, second, _ = partitions(tmp_path, uri)
    first.shoppers.live_from = EVENTS
    redo, live = first.passing.process([(first.shoppers, log_of(0)), (second.shoppers, log_of(1))])
    assert "prediction" not in redo.records
    assert "dead_letter" not in redo.records
    assert len(live.records["prediction"]) == EVENTS - 2
    assert len(live.records["dead_letter"]) == 2


def test_events_without_finite_scores_are_buried_in_their_own_partition(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heads fail for the first event of the second partition alone."""
    first, second, _ = partitions(tmp_path, uri)
    heads = engine_onnx.EngineOnnx.heads

    def damaged(self: Any, trunk: Any) -> Any:
        scores = heads(self, trunk)
        scores.tasks[EVENTS - 2] = np.nan
        return scores

    monkeypatch.setattr(engine_onnx.EngineOnnx, "heads", damaged)
    one, other = first.passing.process([(first.shoppers, log_of(0)), (second.shoppers, log_of(1))])
    assert len(one.records["prediction"]) == EVENTS - 2
    assert "not_finite" not in one.reasons
    assert len(other.records["prediction"]) == EVENTS - 3
    assert other.reasons["not_finite"] == 1
    letters = CODECS.dead_letter.decode_rows([value for _, value in other.records["dead_letter"]])
    assert {letter["offset"] for letter in letters if letter["reason"] == "not_finite"} == {0}
