"""Offsets in a transaction that the broker takes only from a member of the group in its present generation (KIP-447).

aiokafka sends the oldest form of the request, which names no member. Here is the one that does, from the protocol's
description; a broker that does not know it gets the old one.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka.client import CoordinationType
from aiokafka.errors import IllegalGenerationError, ProducerFenced, UnknownMemberIdError, for_code
from aiokafka.producer.sender import TxnOffsetCommitHandler
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.transaction import TxnOffsetCommitRequest_v0
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

TEXT = CompactString("utf-8")


class NoMember(ProducerFenced):  # type: ignore[misc]
    """The broker refused the offsets: this worker is not, or no longer, a member of its group."""


class Membership(NamedTuple):
    """Who a worker is in its consumer group."""

    generation: int
    member_id: str
    instance_id: str | None


class MemberOffsetsResponse(Response):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", TEXT),
                (
                    "partition_errors",
                    CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MemberOffsetsRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MemberOffsetsResponse
    SCHEMA = Schema(
        ("transactional_id", TEXT),
        ("group_id", TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", TEXT),
        ("group_instance_id", TEXT),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", TEXT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MemberOffsetCommit(Request[TxnOffsetCommitRequest_v0 | MemberOffsetsRequest]):  # type: ignore[misc]
    """offsets: (partition, offset, metadata) by topic."""

    API_KEY = 28

    def __init__(self, manager: Any, group: str, member: Membership, offsets: dict[str, list[Any]]) -> None:
        self._producer = (manager.producer_id, manager.producer_epoch)
        self._names, self._member, self._offsets = (manager.transactional_id, group), member, offsets

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class is TxnOffsetCommitRequest_v0:
            return request_struct_class(*self._names, *self._producer, list(self._offsets.items()))
        topics: list[Any] = [
            (topic, [(number, offset, -1, metadata, {}) for number, offset, metadata in entries], {})
            for topic, entries in self._offsets.items()
        ]
        return request_struct_class(*self._names, *self._producer, *self._member, topics, {})


class MemberOffsetCommitHandler(TxnOffsetCommitHandler):  # type: ignore[misc]
    """aiokafka's, with another request, and with the errors that only this request can have."""

    def __init__(self, sender: Any, offsets: Any, group: str, member: Membership) -> None:
        super().__init__(sender, offsets, group)
        self._member = member

    def create_request(self) -> MemberOffsetCommit:
        by_topic = collections.defaultdict(list)
        for tp, offset in sorted(self._offsets.items()):
            by_topic[tp.topic].append((tp.partition, offset.offset, offset.metadata))
        return MemberOffsetCommit(self._sender._txn_manager, self._group_id, self._member, by_topic)

    def handle_response(self, response: Any) -> float | None:
        entries = [(topic, [entry[:2] for entry in found]) for topic, found, *_ in response.errors]
        for _, found in entries:
            for _, code in found:
                error = for_code(code)
                if error in (IllegalGenerationError, UnknownMemberIdError):
                    # It ends the producer. aiokafka's way for errors that an abort mends would forget that the broker
                    # has an open transaction, and the next one would commit what this one sent.
                    raise NoMember(f"offsets of group {self._group_id} were refused: {error.message}")
        response.errors = entries
        return super().handle_response(response)  # type: ignore[no-any-return]


def commit_as_member(producer: Any, membership: Callable[[], Membership]) -> None:
    """Have this started aiokafka producer commit offsets as the member that `membership` tells at that time."""
    sender = producer._sender

    async def commit(offsets: Any, group: str) -> None:
        if offsets:
            node = await sender._find_coordinator(CoordinationType.GROUP, group)
            await MemberOffsetCommitHandler(sender, offsets, group, membership()).do(node)

    sender._do_txn_offset_commit = commit
