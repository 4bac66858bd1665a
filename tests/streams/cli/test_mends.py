"""What --set changes, and what it refuses."""

import math
from typing import Any

import pytest

from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings
from streams.cli.mends import MendProblem, Mends

NOW = 1_509_710_400_000
CODEC = Codec(FileRegistry(), "behavior_event")


def _value(**changes: Any) -> bytes:
    row = {"event_id": "e1", "user_id": "718", "event_type": "purchase", "event_time": NOW} | changes
    (value,) = CODEC.encode_rows([row])
    return value


def _mended(sets: list[str], **changes: Any) -> tuple[dict[str, Any], str]:
    judged = Mends(Settings(), sets).judge(_value(**changes), NOW)
    assert judged.value is not None
    (row,) = CODEC.decode_rows([judged.value])
    return row, judged.refused


@pytest.mark.parametrize(
    ("sets", "changes", "field", "wanted"),
    [
        (["price="], {"price": math.nan}, "price", None),
        (["price=2.5"], {"price": -1.0}, "price", 2.5),
        (["user_id=9"], {"user_id": ""}, "user_id", "9"),
        (["event_time=timestamp"], {"event_time": 1}, "event_time", NOW),
        (["event_time=2017-11-03T11:00Z"], {"event_time": 1}, "event_time", NOW - 3_600_000),
        (["event_time=1509710400001"], {"event_time": 1}, "event_time", NOW + 1),
        (
            ["properties.channel=push"],
            {"properties": {"a": "b"}},
            "properties",
            {"a": "b", "channel": "push"},
        ),
        (["item_id=p=1"], {}, "item_id", "p=1"),
    ],
)
def test_a_field_gets_its_value(sets: list[str], changes: dict[str, Any], field: str, wanted: Any) -> None:
    row, refused = _mended(sets, **changes)
    assert row[field] == wanted
    assert refused == ""


def test_what_is_still_wrong_is_named_as_the_worker_names_it() -> None:
    assert _mended(["price="], event_time=NOW + 10**9)[1] == "absurd_time"
    assert _mended(["price=-1"])[1] == "bad_number"
    assert _mended(["price="], query="q" * (1 << 21))[1] == "oversized"
    assert Mends(Settings(), ["price="]).judge(b"rubbish", NOW).refused == "undecodable"


@pytest.mark.parametrize("value", [b"rubbish", None, _value(price=math.nan)])
def test_without_changes_the_bytes_are_what_they_were(value: bytes | None) -> None:
    judged = Mends(Settings(), []).judge(value, NOW)
    assert judged.value is value
    assert judged.refused == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("price", "want FIELD=VALUE"),
        ("prize=1", "with a field of event_id"),
        ("price=dear", "want a number"),
        ("event_time=", "event_time cannot be empty"),
        ("event_time=noon", "want a time such as"),
        ("properties=x", "want properties.NAME=VALUE"),
        ("price.x=1", "want properties.NAME=VALUE"),
    ],
)
def test_a_change_that_cannot_be_is_refused_at_once(text: str, told: str) -> None:
    with pytest.raises(MendProblem, match=told):
        Mends(Settings(), [text])
