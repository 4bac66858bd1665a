"""Which worker gets which partition: to each its share, and a partition first to whoever has its state.

Members say with their request to join how far they have every partition's state (the owner more than anyone, then warm
copies by their changelog offset). The group's leader spreads the partitions evenly with regard to that, and tells each
member of which partitions it is to keep a warm copy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

Warm = dict[int, int]  # partition -> how far its state is held here
OWNED = 1 << 62  # farther than any changelog offset


class WarmAssignor:
    """An aiokafka partition assignor of one topic.

    warm: what this member holds, asked at every join. standby: the partitions it has to keep warm, as last told.
    """

    name = "intentflow-warm"

    def __init__(self, replicas: int, warm: Callable[[], Warm]) -> None:
        self._replicas, self._warm = replicas, warm
        self.standby: list[int] = []

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(0, list(topics), json.dumps(self._warm()).encode())

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        self.standby = json.loads(assignment.user_data or b"[]")

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Assignments by member id. cluster: aiokafka's ClusterMetadata."""
        (topic,) = {topic for member in members.values() for topic in member.subscription}
        partitions = sorted(cluster.partitions_for_topic(topic) or ())
        warm = {name: _read(member.user_data) for name, member in members.items()}
        owned = spread(partitions, warm)
        copies = standbys(owned, warm, self._replicas)
        return {
            name: ConsumerProtocolMemberAssignment(
                0, [(topic, owned[name])], json.dumps(copies[name]).encode()
            )
            for name in members
        }


def spread(partitions: list[int], warm: Mapping[str, Warm]) -> dict[str, list[int]]:
    """Partitions by member, shares differing by one at most; the farther a member's state, the sooner it is its."""
    share, larger = divmod(len(partitions), len(warm))
    owned: dict[str, list[int]] = {name: [] for name in sorted(warm)}
    wishes = [
        (-warm[name][partition], partition, name)
        for name in owned
        for partition in partitions
        if partition in warm[name]
    ]
    # After those with state, every partition would do with every member.
    wishes.sort()
    rest = [(0, partition, name) for partition in partitions for name in owned]
    free = set(partitions)

    def room(name: str) -> bool:
        full = sum(len(held) > share for held in owned.values()) >= larger
        return len(owned[name]) < (share if full else share + 1)

    for _, partition, name in wishes + rest:
        if partition in free and room(name):
            owned[name].append(partition)
            free.discard(partition)
    return {name: sorted(held) for name, held in owned.items()}


def standbys(owned: Mapping[str, list[int]], warm: Mapping[str, Warm], replicas: int) -> dict[str, list[int]]:
    """Partitions of which each member keeps a copy: never its own, those that it has anyway first, evenly."""
    copies: dict[str, list[int]] = {name: [] for name in owned}
    for owner, partitions in owned.items():
        for partition in partitions:
            others = sorted(
                (name for name in owned if name != owner),
                key=lambda name: (partition not in warm[name], len(copies[name]), name),
            )
            for name in others[:replicas]:
                copies[name].append(partition)
    return copies


def _read(user_data: bytes | None) -> Warm:
    return {int(partition): offset for partition, offset in json.loads(user_data or b"{}").items()}
