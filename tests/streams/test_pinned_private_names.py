"""T16: the names of Faust and aiokafka that the transport leans on, pinned, so that an upgrade fails here."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import aiokafka.producer.message_accumulator
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.default_records import DefaultRecordBatch
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers import aiokafka as driver

from streams import record_batches, transaction, transport

# Names that transport.py uses and does not define: whose they are.
PRIVATE = {
    FaustConsumer: {"_read_offset", "_unacked_messages", "_commit"},
    driver.Consumer: {"_getmany", "_to_message", "_thread"},
    driver.AIOKafkaConsumerThread: {"_consumer", "_ensure_consumer"},
    aiokafka.AIOKafkaConsumer: {"_coordinator", "_fetcher", "_subscription"},
    GroupCoordinator: {"_group_instance_id"},
    Fetcher: {"_fetch_min_bytes", "_fetch_max_wait_ms", "_records"},
}
# Names that it overrides.
OVERRIDDEN = {
    faust.App: {"_new_transport"},
    FaustConsumer: {"_wait_next_records", "_add_gap"},
    driver.Consumer: {"_new_consumer_thread"},
    driver.AIOKafkaConsumerThread: {"_create_worker_consumer", "_fetch_records"},
}
OVERRIDES = [
    (transport.BatchApp, faust.App),
    (transport.BatchThread, driver.AIOKafkaConsumerThread),
    (transport.BatchConsumer, driver.Consumer),
]


def test_every_private_name_that_the_transport_uses_is_pinned_here_and_exists() -> None:
    """T16: an upgrade of Faust or aiokafka that moves one of them fails here, not in production."""
    used, defined = set(), set()
    for node in ast.walk(ast.parse(inspect.getsource(transport))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            ours = isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
            (defined if ours else used).add(node.attr)
    assert used - defined == set().union(*PRIVATE.values())
    for owner, names in PRIVATE.items():
        source = "".join(inspect.getsource(base) for base in owner.__mro__ if base is not object)
        assert {name for name in names if f"self.{name}" not in source and not hasattr(owner, name)} == set()
    for owner, names in OVERRIDDEN.items():
        assert {name for name in names if not hasattr(owner, name)} == set()
    assert set().union(*OVERRIDDEN.values()) <= defined


@pytest.mark.parametrize(("ours", "theirs"), OVERRIDES, ids=lambda owner: owner.__name__)
def test_what_the_transport_overrides_takes_the_arguments_that_faust_gives(ours: type, theirs: type) -> None:
    """T16."""
    for name, function in vars(ours).items():
        if inspect.isfunction(function) and name != "__init__" and hasattr(theirs, name):
            mine = inspect.signature(function).parameters
            base = inspect.signature(getattr(theirs, name)).parameters
            assert list(mine) == list(base), name


def test_the_record_batch_of_the_client_that_the_publisher_fills_is_where_it_was() -> None:
    """T16, of aiokafka: batches are built without a Python object per record."""
    builder = aiokafka.producer.message_accumulator.BatchBuilder
    assert {"append", "record_count"} <= set(vars(builder))
    assert {"create_batch", "send_batch"} <= set(vars(aiokafka.AIOKafkaProducer))


def test_every_test_that_the_page_of_known_problems_names_exists() -> None:
    root = Path(__file__).parents[2]
    named = set(re.findall(r"\btest_\w+(?=`|\[)", (root / "docs" / "faust-problems.md").read_text()))
    files = list((root / "tests").rglob("test_*.py"))
    defined = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert len(named) > 20
    assert named <= defined


def test_the_pause_between_two_transactions_is_where_the_publisher_sets_it() -> None:
    """aiokafka's own 20 ms would be most of the latency."""
    sender = transaction.aiokafka.producer.sender
    assert "return BACKOFF_OVERRIDE" in inspect.getsource(sender)
    assert sender.BACKOFF_OVERRIDE < 0.01


def test_what_commits_offsets_as_a_member_is_where_the_publisher_replaces_it() -> None:
    """aiokafka's own names no member of the group, and a zombie's would count."""
    producer, sender = inspect.getsource(aiokafka.AIOKafkaProducer), transaction.aiokafka.producer.sender
    assert "self._sender = Sender(" in producer
    assert {"_do_txn_offset_commit", "_find_coordinator"} <= set(vars(sender.Sender))
    handler = sender.TxnOffsetCommitHandler
    assert list(inspect.signature(handler.__init__).parameters) == ["self", "sender", "offsets", "group_id"]
    assert "for topic, partitions in resp.errors" in inspect.getsource(handler.handle_response)
    assert "fetch_committed_offsets" in vars(GroupCoordinator)
    assert {"maybe_add_partition_to_txn", "sequence_number"} <= set(vars(TransactionManager))


def test_the_task_that_keeps_the_membership_is_where_the_worker_looks_for_its_end() -> None:
    assert "self._coordination_task" in inspect.getsource(GroupCoordinator)


def test_the_client_compresses_record_batches_with_the_function_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T16: our level of zstd is set by replacing a function of aiokafka's, which need not look there for it."""
    compress, seen = record_batches.compressing.zstd_encode, []
    assert compress.keywords == {"level": record_batches.ZSTD_LEVEL}

    def compressed(payload: bytes) -> bytes:
        seen.append(bytes(payload))
        return bytes(compress(payload))

    monkeypatch.setattr(record_batches.compressing, "zstd_encode", compressed)
    batch = record_batches.SealedBatch(1 << 20, DefaultRecordBatch.CODEC_ZSTD, is_transactional=True)
    batch.fill([(b"key", b"value" * 100)] * 10, 0, 0)
    batch.seal((1, 0, 0))
    assert len(seen) == 1
    assert b"value" * 100 in seen[0]
