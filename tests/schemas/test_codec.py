"""Codec: columns and wire format, against avro-python3, and with records that cannot be used."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import avro
from schemas.codec import Codec, EncodeProblem
from schemas.registry import FileRegistry, UnknownSchema
from tests.schemas.rows import HEADER_BYTES, reference_read, reference_write, rows

EVENT = {
    "event_id": "e1",
    "user_id": "u1",
    "event_type": "purchase",
    "event_time": 1_700_000_000_123,
    "price": 2.5,
}
named = pytest.mark.parametrize("name", avro.NAMES)


@pytest.fixture
def events() -> Codec:
    return Codec(FileRegistry(), "behavior_event")


def values(codec: Codec, count: int) -> list[bytes]:
    return codec.encode_rows([EVENT | {"event_id": f"e{n}", "user_id": f"u{n % 7}"} for n in range(count)])


class OtherWriters(FileRegistry):
    """A registry in which foreign writers registered schemas of their own."""

    def __init__(self, **texts: str) -> None:
        super().__init__()
        self.texts = {int(id.removeprefix("id")): text for id, text in texts.items()}

    def schema(self, id: int) -> str:
        return self.texts[id] if id in self.texts else super().schema(id)


@named
@settings(max_examples=25)
@given(data=st.data())
def test_avro_python3_reads_what_encode_writes_and_the_reverse(name: str, data: st.DataObject) -> None:
    text, codec = avro.current(name), Codec(FileRegistry(), name)
    wanted = data.draw(st.lists(rows(name), max_size=4))

    theirs = [codec._header() + reference_write(text, row) for row in wanted]
    decoded = codec.decode(theirs)
    assert decoded.bad == []
    assert codec.decode_rows(theirs) == wanted

    ours = codec.encode(decoded.batch)
    assert [reference_read(text, value[HEADER_BYTES:]) for value in ours] == wanted
    assert [reference_read(text, v[HEADER_BYTES:]) for v in codec.encode_rows(wanted)] == wanted


@named
def test_the_header_is_a_zero_byte_and_the_fixed_id_big_endian(name: str) -> None:
    codec = Codec(FileRegistry(), name)
    id = FileRegistry().id_of(name)
    assert codec._header() == bytes([0, 0, 0, 0, id])


def test_an_event_is_these_bytes(events: Codec) -> None:
    [value] = events.encode_rows([EVENT])
    body = b"\x04e1" + b"\x04u1" + b"\x10purchase" + b"\xf6\xa1\xab\xfe\xf9\x62"
    nulls_around_price = b"\0\0" + b"\x02" + b"\0\0\0\0\0\0\x04\x40" + b"\0" * 6
    assert value == b"\0\0\0\0\x01" + body + nulls_around_price + b"\0"


def test_columns_have_the_types_that_the_stages_rely_on(events: Codec) -> None:
    schema = events.arrow_schema
    assert schema.field("event_time").type == pa.timestamp("ms")
    assert schema.field("user_id").type == pa.string()
    assert schema.field("price").type == pa.float64()
    assert schema.field("price").nullable
    assert not schema.field("user_id").nullable
    assert schema.field("properties").type == pa.map_(
        pa.string(), pa.field("value", pa.string(), nullable=False)
    )


def test_a_slice_and_a_taken_batch_are_encoded_as_they_read(events: Codec) -> None:
    written = values(events, 10)
    batch = events.decode(written).batch
    assert events.encode(batch.slice(3, 4)) == written[3:7]
    assert events.encode(batch.take(pa.array([9, 0]))) == [written[9], written[0]]
    assert events.encode(batch.slice(0, 0)) == []


def test_more_bytes_than_arrow_can_address_are_handled_in_halves(
    events: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = values(events, 100)
    monkeypatch.setattr("schemas.codec.MOST_BYTES", 200)
    decoded = events.decode(written)
    assert decoded.index.tolist() == list(range(100))
    assert events.encode(decoded.batch) == written


def test_nothing_decodes_to_an_empty_batch(events: Codec) -> None:
    decoded = events.decode([])
    assert decoded.batch.schema == events.arrow_schema
    assert len(decoded.batch) == len(decoded.index) == len(decoded.bad) == 0


def test_columns_are_matched_by_name_cast_and_filled_with_defaults(events: Codec) -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "event_time": pa.array([EVENT["event_time"]], pa.int64()),
            "user_id": pa.array(["u1"]).dictionary_encode(),
            "event_type": pa.array(["purchase"], pa.large_string()),
            "event_id": pa.array(["e1"]),
            "price": pa.array([2.5], pa.float32()),
        }
    )
    assert events.encode(batch) == events.encode_rows([EVENT])


def test_each_bad_record_is_named_and_the_others_are_decoded(events: Codec) -> None:
    good = values(events, 300)
    given = list[bytes | None](good)
    given[0] = None
    given[7] = b""
    given[8] = json.dumps(EVENT).encode()
    given[100] = good[100][:-10]
    given[101] = good[101].replace(b"purchase", b"purch\xffse")
    given[200] = b"\0\0\0\x27\x0f" + good[200][HEADER_BYTES:]
    given[299] = good[299][:HEADER_BYTES]

    decoded = events.decode(given)

    assert {bad.index: bad.reason for bad in decoded.bad} == {
        0: "null_value",
        7: "undecodable",
        8: "undecodable",
        100: "undecodable",
        101: "undecodable",
        200: "unknown_schema",
        299: "undecodable",
    }
    assert [bad.index for bad in decoded.bad] == sorted(bad.index for bad in decoded.bad)
    rest = [n for n in range(300) if n not in {bad.index for bad in decoded.bad}]
    assert decoded.index.dtype == np.int64
    assert decoded.index.tolist() == rest
    assert decoded.batch.column("event_id").to_pylist() == [f"e{n}" for n in rest]
    messages = {bad.index: bad.message for bad in decoded.bad}
    assert "7b 22" in messages[8]  # shows how the value begins: JSON
    assert "9999" in messages[200]
    assert "UTF8" in messages[101]


@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize("header", ["0100000001", "8000000001", "0000000002", "00ffffffff", "00"])
def test_a_header_that_differs_is_seen_also_once_the_writer_is_known(
    events: Codec, at: int, header: str
) -> None:
    good = values(events, 5)
    events.decode(good)
    given = [*good[:at], bytes.fromhex(header) + good[at][HEADER_BYTES:], *good[at + 1 :]]
    decoded = events.decode(given)
    assert [bad.index for bad in decoded.bad] == [at]
    assert decoded.batch.column("event_id").to_pylist() == [f"e{n}" for n in range(5) if n != at]


@pytest.mark.parametrize("id", [0, 0x807F, 0xA07F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
def test_any_schema_id_is_written_and_read_whatever_it_is_as_a_float(id: int) -> None:
    class Numbered(FileRegistry):
        def id_of(self, name: str) -> int:
            return id

        def schema(self, asked: int) -> str:
            assert asked == id
            return avro.current("behavior_event")

    codec = Codec(Numbered(), "behavior_event")
    written = values(codec, 3)
    for _ in range(2):  # the second time the writer is known
        decoded = codec.decode(written)
        assert decoded.bad == []
        assert codec.encode(decoded.batch) == written


def test_a_null_that_a_slice_does_not_show_is_let_be(events: Codec) -> None:
    batch = events.decode(values(events, 3)).batch
    at = batch.schema.get_field_index("properties")
    hidden = pa.array([[("a", None)], [], []], batch.schema.field(at).type)
    assert (
        events.encode(batch.set_column(at, batch.schema.field(at), hidden).slice(1)) == values(events, 3)[1:]
    )


def test_a_record_of_another_topic_is_undecodable(events: Codec) -> None:
    policy = {"name": "n", "version": "v", "document": "d", "published_at": 1}
    [value] = Codec(FileRegistry(), "policy").encode_rows([policy])
    [bad] = events.decode([value]).bad
    assert bad.reason == "undecodable"
    assert "intentflow.Policy" in bad.message


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_named(body: bytes) -> None:
    for name in ("behavior_event", "contact", "dead_letter"):
        codec = Codec(FileRegistry(), name)
        decoded = codec.decode([codec._header() + body, body])
        assert len(decoded.batch) + len(decoded.bad) == 2


@settings(max_examples=20)
@given(st.sets(st.integers(0, 63)))
def test_good_and_bad_partition_the_batch(broken: set[int]) -> None:
    codec = Codec(FileRegistry(), "behavior_event")
    given = [v[:9] if n in broken else v for n, v in enumerate(values(codec, 64))]
    decoded = codec.decode(given)
    assert {bad.index for bad in decoded.bad} == broken
    assert set(decoded.index.tolist()) == set(range(64)) - broken


def test_writers_of_several_schemas_keep_the_order_of_the_log() -> None:
    older = _without(avro.current("behavior_event"), "device", "device_id", "properties")
    codec = Codec(OtherWriters(id700=older), "behavior_event")
    mine = values(codec, 6)
    absent = ("item_id", "category_id", "quantity", "session_id", "query", "anonymous_id")
    row = dict.fromkeys(absent) | EVENT
    theirs = b"\0" + (700).to_bytes(4, "big") + reference_write(older, row | {"event_id": "old"})
    decoded = codec.decode([*mine[:2], theirs, *mine[2:], theirs])
    assert decoded.batch.column("event_id").to_pylist() == ["e0", "e1", "old", "e2", "e3", "e4", "e5", "old"]
    assert decoded.index.tolist() == list(range(8))


def test_a_record_of_an_older_version_is_read_with_the_defaults_of_today() -> None:
    older = _without(avro.current("decision"), "intervention_id")
    codec = Codec(OtherWriters(id700=older), "decision")
    row = _decision()
    del row["intervention_id"]
    [read] = codec.decode_rows([b"\0" + (700).to_bytes(4, "big") + reference_write(older, row)])
    assert read == row | {"intervention_id": None}


@named
@settings(max_examples=15)
@given(data=st.data())
def test_what_any_older_version_lacked_is_its_default(name: str, data: st.DataObject) -> None:
    fields = json.loads(avro.current(name))["fields"]
    lacking = {f["name"]: f["default"] for f in fields if "default" in f and data.draw(st.booleans())}
    older = _without(avro.current(name), *lacking)
    written = data.draw(
        st.lists(rows(name).map(lambda row: {k: v for k, v in row.items() if k not in lacking}))
    )
    values = [b"\0" + (700).to_bytes(4, "big") + reference_write(older, row) for row in written]
    read = Codec(OtherWriters(id700=older), name).decode_rows(values)
    assert read == [row | lacking for row in written]


def test_an_enum_symbol_that_is_gone_becomes_the_default() -> None:
    older = avro.current("decision").replace('"rerank", "unknown"]', '"rerank", "letter", "unknown"]')
    codec = Codec(OtherWriters(id700=older), "decision")
    row = _decision() | {"kind": "letter"}
    [read] = codec.decode_rows([b"\0" + (700).to_bytes(4, "big") + reference_write(older, row)])
    assert read["kind"] == "unknown"


def test_a_foreign_writer_with_narrower_and_plain_types_is_understood() -> None:
    text = _foreign(event_time="long", price="float", quantity=["int", "null"])
    row = {"event_time": 5, "price": 2.5, "quantity": 3, "user_id": "u", "event_id": "e", "event_type": "buy"}
    codec = Codec(OtherWriters(id700=text), "behavior_event")
    [read] = codec.decode_rows([b"\0\0\0\x02\xbc" + reference_write(text, row)])
    wanted = {
        "price": 2.5,
        "quantity": 3.0,
        "event_time": 5,
        "event_type": "buy",
        "properties": {},
        "query": None,
    }
    assert {name: read[name] for name in wanted} == wanted


def test_a_foreign_writer_whose_times_are_microseconds_is_refused() -> None:
    text = _foreign(event_time={"type": "long", "logicalType": "timestamp-micros"})
    row = {"event_time": 5, "user_id": "u", "event_id": "e", "event_type": "buy"}
    codec = Codec(OtherWriters(id700=text), "behavior_event")
    [bad] = codec.decode([b"\0\0\0\x02\xbc" + reference_write(text, row)]).bad
    assert bad.reason == "undecodable"
    assert "logical type changed from timestamp-micros to timestamp-millis" in bad.message


def test_a_null_where_today_needs_a_value_is_one_records_fault() -> None:
    text = _foreign(user_id=["null", "string"], event_time="long")
    rows = [
        {"event_time": 5, "user_id": user, "event_id": "e", "event_type": "buy"}
        for user in ("u1", None, "u2")
    ]
    codec = Codec(OtherWriters(id700=text), "behavior_event")
    decoded = codec.decode([b"\0\0\0\x02\xbc" + reference_write(text, row) for row in rows])
    assert [(bad.index, bad.reason) for bad in decoded.bad] == [(1, "undecodable")]
    assert decoded.batch.column("user_id").to_pylist() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user_id": pa.array([None], pa.string())}, "user_id (row 0) is null"),
        ({"pirce": pa.array([1.0])}, "no such field: pirce"),
        ({"price": pa.array(["cheap"])}, "column price is string"),
        ({"user_id": None}, "column user_id is missing"),
        (
            {"properties": pa.array([[("a", None)]], pa.map_(pa.string(), pa.string()))},
            "properties{} (row 0) is null",
        ),
    ],
)
def test_encode_says_which_column_is_wrong(
    events: Codec, change: dict[str, pa.Array | None], said: str
) -> None:
    columns = {name: pa.array([value]) for name, value in EVENT.items()} | change
    with pytest.raises(EncodeProblem) as problem:
        events.encode(
            pa.RecordBatch.from_pydict(
                {name: column for name, column in columns.items() if column is not None}
            )
        )
    assert said in str(problem.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pirce": 1.0}, "no such field: pirce"),
        ({"price": "cheap"}, "row 0"),
        ({"event_time": None}, "row 0"),
    ],
)
def test_encode_rows_says_which_row_and_field_is_wrong(
    events: Codec, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(EncodeProblem) as problem:
        events.encode_rows([EVENT | change])
    assert said in str(problem.value)


def test_encode_rows_takes_numpy_numbers(events: Codec) -> None:
    numpy = EVENT | {"price": np.float32(2.5), "event_time": np.int64(1_700_000_000_123)}
    assert events.encode_rows([numpy]) == events.encode_rows([EVENT])


def test_an_enum_value_outside_the_symbols_is_refused() -> None:
    codec = Codec(FileRegistry(), "decision")
    batch = codec.decode(codec.encode_rows([_decision()])).batch
    at = batch.schema.get_field_index("kind")
    with pytest.raises(EncodeProblem, match="letter"):
        codec.encode(batch.set_column(at, batch.schema.field(at), pa.array(["letter"])))


def test_the_registry_being_away_is_not_a_records_fault(events: Codec) -> None:
    class Away(FileRegistry):
        def schema(self, id: int) -> str:
            raise ConnectionError("registry away")

    with pytest.raises(ConnectionError, match="registry away"):
        Codec(Away(), "behavior_event").decode(values(events, 2))
    with pytest.raises(UnknownSchema, match="4711"):
        FileRegistry().schema(4711)


def _foreign(**types: Any) -> str:
    """A site's own event schema, as a Java program might register it, with the types given."""
    java: dict[str, Any] = {"type": "string", "avro.java.string": "String"}
    types = {
        "user_id": java,
        "event_id": {"type": "string", "logicalType": "uuid"},
        "event_type": "string",
    } | types
    fields = [{"name": name, "type": type} for name, type in types.items()]
    return json.dumps(
        {"type": "record", "name": "BehaviorEvent", "namespace": "shop.example", "fields": fields}
    )


def _without(text: str, *names: str) -> str:
    schema = json.loads(text)
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in names]
    return json.dumps(schema)


def _decision() -> dict[str, Any]:
    texts = (
        "decision_id",
        "event_id",
        "prediction_id",
        "user_id",
        "campaign",
        "reason",
        "release",
        "policy_version",
        "purpose",
        "arm",
        "time_zone",
        "why",
        "history_digest",
        "learned_version",
    )
    numbers = ("propensity", "score", "threshold", "value", "cost", "attribution_hours", "coupon_value")
    return (
        {name: name for name in texts}
        | dict.fromkeys(numbers, 0.5)
        | {"event_time": 1, "decided_at": 2, "kind": "push", "outcome": "emit", "eligible": ["a", "b"]}
        | {"scores": {"buy_7d": 0.5}, "intervention_id": "i", "send_after": 3}
    )
