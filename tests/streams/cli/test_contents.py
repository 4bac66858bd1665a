"""Records decoded and put into words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settings import Settings
from streams.cli.contents import Contents, UnknownTopic, find, moment, text, value
from streams.cli.log import Record

SETTINGS = Settings(topic_prefix="shop-")


def _records(contents: Contents, *values: bytes | None) -> list[Record]:
    return [
        Record(contents.topic, 2, at, 1_509_710_400_000, b"718", one, []) for at, one in enumerate(values)
    ]


def test_a_topic_is_found_with_and_without_the_prefix() -> None:
    assert find(SETTINGS, "decisions") == find(SETTINGS, "shop-decisions") == ("shop-decisions", "decision")
    assert find(SETTINGS, "shadow-predictions") == ("shop-shadow-predictions", "prediction")
    assert find(SETTINGS, "predictions-backfill-7") == ("shop-predictions-backfill-7", "prediction")


@pytest.mark.parametrize("name", ["decision", "", "sequences-changelog", "other-decisions"])
def test_a_name_that_is_no_topic_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownTopic, match="behavior-events, predictions"):
        find(SETTINGS, name)


def test_an_event_reads_as_a_line_and_as_json() -> None:
    contents = Contents(SETTINGS, "behavior-events")
    row = {
        "event_id": "e1",
        "user_id": "718",
        "event_type": "purchase",
        "event_time": 1_509_710_400_000,
        "price": 2.5,
    }
    (found,) = contents.decode(_records(contents, *contents.codec.encode_rows([row])))
    assert contents.line(found) == (
        "2017-11-03 12:00:00  2@0  718  event_id=e1  event_type=purchase  event_time=2017-11-03 12:00:00  price=2.5"
    )
    plain = json.loads(contents.json(found))
    assert plain["value"].items() >= row.items()
    assert (plain["partition"], plain["offset"], plain["key"]) == (2, 0, "718")


def test_a_record_that_does_not_decode_is_shown_with_the_reason() -> None:
    contents = Contents(SETTINGS, "behavior-events")
    bad, none = contents.decode(_records(contents, b"rubbish", None))
    assert "(undecodable: no schema header" in contents.line(bad)
    assert "(null_value" in contents.line(none)
    assert json.loads(contents.json(bad))["value"] is None
    assert "undecodable" in json.loads(contents.json(bad))["problem"]


def test_the_bytes_of_a_dead_letter_survive_json() -> None:
    contents = Contents(SETTINGS, "dead-letters")
    letter = {
        "topic": "t",
        "partition": 0,
        "offset": 1,
        "timestamp": 2,
        "value": b"\xff\0",
        "reason": "r",
        "message": "m",
    }
    (found,) = contents.decode(
        _records(contents, *contents.codec.encode_rows([letter | {"message": "m", "failed_at": 3}]))
    )
    assert json.loads(contents.json(found))["value"]["value"] == "/wA="
    assert "value=0x ff00 (2 bytes)" in contents.line(found)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=60), st.none()))
def test_any_key_can_be_shown_on_one_line(key: bytes | str | None) -> None:
    shown = text(key)
    assert shown
    assert not isinstance(key, bytes) or shown.isprintable()


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_can_be_shown(ms: int) -> None:
    assert moment(ms)


def test_values_are_short() -> None:
    assert value({"a": 0.123456, "b": [1, "x\ny"]}) == "{a: 0.1235, b: [1, x y]}"
