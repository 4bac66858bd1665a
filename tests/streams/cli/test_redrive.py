"""Dead letters go back, once."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.cli.contents import Contents
from streams.cli.log import Log, Record
from streams.cli.redriving import Progress
from tests.streams.cli.conftest import Run, put

NOW = 1_509_710_400_000
EVENTS, LETTERS = (Codec(FileRegistry(), name) for name in ("behavior_event", "dead_letter"))


def _event(number: int, **changes: Any) -> bytes:
    row = {"event_id": f"e{number}", "user_id": "718", "event_type": "purchase", "event_time": NOW} | changes
    (value,) = EVENTS.encode_rows([row])
    return value


def _letter(settings: Settings, reason: str, value: bytes | None, key: bytes | None = b"718") -> bytes:
    row = {
        "topic": Topics(settings).behavior_events,
        "partition": 0,
        "offset": 1,
        "timestamp": NOW,
        "key": key,
    }
    row |= {
        "value": value,
        "headers": [{"name": "trace", "value": b"\x01"}],
        "reason": reason,
        "message": "m",
    }
    (letter,) = LETTERS.encode_rows([row | {"failed_at": NOW}])
    return letter


def _write(settings: Settings, *letters: tuple[str, bytes | None], key: bytes | None = b"718") -> None:
    values = [(key, _letter(settings, reason, value, key)) for reason, value in letters]
    put(settings, Topics(settings).dead_letters, values, partition=0)


def _all(settings: Settings, topic: str) -> list[Record]:
    name = Contents(settings, topic).topic
    with Log(settings) as log:
        starts = {(name, number): 0 for number in log.partitions(name)}
        return [record for records in log.read(starts) for record in records]


@pytest.mark.kafka
def test_letters_go_back_as_they_were_and_only_once(run: Run, shop: Settings) -> None:
    value = _event(1)
    _write(shop, ("unknown_schema", value), ("undecodable", b"rubbish"), ("null_value", None))
    assert "dry run" in run("redrive", "--dry-run").output
    assert _all(shop, "behavior-events") == []
    output = run("redrive").output
    assert "1 put back into" in output
    back = _all(shop, "behavior-events")
    assert [record.value for record in back] == [value, b"rubbish", None]
    assert {(record.key, record.timestamp) for record in back} == {(b"718", NOW)}
    assert back[0].headers == [("trace", b"\x01")]
    assert "nothing to put back" in run("redrive").output
    assert len(_all(shop, "behavior-events")) == 3


@pytest.mark.kafka
def test_reasons_and_limits_leave_no_letter_out_and_send_none_twice(run: Run, shop: Settings) -> None:
    _write(shop, *((("bad_number", "oversized")[number % 2], _event(number)) for number in range(10)))
    assert "2 put back" in run("redrive", "--reason", "bad_number", "--limit", "2").output
    assert "5 put back" in run("redrive", "--reason", "oversized").output
    assert "1 put back" in run("redrive", "--limit", "1").output
    _write(shop, ("bad_number", _event(10)))
    run("redrive", "--reason", "bad_number")
    assert "nothing to put back" in run("redrive").output
    ids = [
        row["event_id"]
        for row in EVENTS.decode_rows([record.value for record in _all(shop, "behavior-events")])
    ]
    assert sorted(ids) == sorted(f"e{number}" for number in range(11))


@pytest.mark.kafka
def test_a_mended_letter_goes_to_its_shopper_and_an_unmendable_one_stays_for_another_run(
    run: Run, shop: Settings
) -> None:
    _write(shop, ("bad_number", _event(1, price=math.nan)), ("undecodable", b"rubbish"), key=b"someone")
    output = run("redrive", "--set", "price=").output
    assert "mended: bad_number" in output
    assert "1 left in dead-letters: undecodable" in output
    (back,) = _all(shop, "behavior-events")
    assert back.key == b"718"
    assert EVENTS.decode_rows([back.value])[0]["price"] is None
    assert "1 left" in run("redrive", "--set", "price=").output
    assert "1 put back" in run("redrive").output
    assert "nothing" in run("redrive").output


@pytest.mark.kafka
def test_a_topic_that_is_gone_loses_no_letter(run: Run, shop: Settings) -> None:
    (letter,) = LETTERS.encode_rows(
        [LETTERS.decode_rows([_letter(shop, "poisoned", b"x")])[0] | {"topic": f"{shop.topic_prefix}gone"}]
    )
    put(shop, Topics(shop).dead_letters, [(b"718", letter)])
    assert f"1 left in dead-letters: there is no topic {shop.topic_prefix}gone" in run("redrive").output
    assert "1 left" in run("redrive").output


@given(
    st.lists(st.sampled_from("abc"), max_size=30),
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 30)), max_size=8),
)
def test_whatever_the_order_of_runs_each_letter_is_due_once(
    letters: list[str], runs: list[tuple[str | None, int]]
) -> None:
    progress = Progress()
    done: list[int] = []
    for reason, until in [*runs, (None, len(letters))]:
        done += [
            offset
            for offset in range(progress.next(reason), min(until, len(letters)))
            if reason in (None, letters[offset]) and offset >= progress.next(letters[offset])
        ]
        progress = progress.after(reason, min(until, len(letters)))
        assert Progress.of(progress.at("t", 0)) == progress
    assert sorted(done) == list(range(len(letters)))
