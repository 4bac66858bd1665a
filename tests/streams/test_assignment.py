"""Shares are even, nobody loses a partition that it could keep, and copies are never of one's own."""

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from hypothesis import given
from hypothesis import strategies as st

from streams.assignment import OWNED, WarmAssignor, spread, standbys

MEMBERS = st.integers(1, 6)


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[int], dict[str, dict[int, int]]]:
    partitions = list(range(draw(st.integers(1, 16))))
    held = st.dictionaries(st.sampled_from(partitions), st.sampled_from([0, 5, 900, OWNED]))
    return partitions, {f"member-{at}": draw(held) for at in range(draw(MEMBERS))}


@given(groups())
def test_every_partition_has_one_owner_and_shares_differ_by_one(
    group: tuple[list[int], dict[str, dict[int, int]]],
) -> None:
    partitions, warm = group
    owned = spread(partitions, warm)
    assert sorted(p for held in owned.values() for p in held) == partitions
    sizes = [len(held) for held in owned.values()]
    assert max(sizes) - min(sizes) <= 1


@given(groups(), st.integers(0, 3))
def test_copies_are_of_other_members_partitions_and_as_many_as_asked_for(
    group: tuple[list[int], dict[str, dict[int, int]]], replicas: int
) -> None:
    partitions, warm = group
    owned = spread(partitions, warm)
    copies = standbys(owned, warm, replicas)
    for name, held in copies.items():
        assert not set(held) & set(owned[name])
        assert len(held) == len(set(held))
    assert sum(map(len, copies.values())) == len(partitions) * min(replicas, len(warm) - 1)


def test_owners_keep_what_fits_into_their_share() -> None:
    owned = spread([0, 1, 2, 3], {"old": {0: OWNED, 1: OWNED, 2: OWNED, 3: OWNED}, "new": {}})
    assert owned == {"new": [2, 3], "old": [0, 1]}


def test_the_worker_with_the_farthest_copy_takes_over() -> None:
    left = {"a": {0: OWNED, 2: 10}, "b": {1: OWNED, 2: 900, 3: 4}, "c": {3: OWNED, 2: 5}}
    assert spread([0, 1, 2, 3], left) == {"a": [0], "b": [1, 2], "c": [3]}


def test_a_copy_stays_where_it_is() -> None:
    owned = {"a": [0], "b": [1], "c": [2]}
    warm = {"a": {2: 7}, "b": {}, "c": {0: 7, 1: 7}}
    assert standbys(owned, warm, 1) == {"a": [2], "b": [], "c": [0, 1]}


def test_members_learn_of_their_copies_from_the_leader() -> None:
    class Cluster:
        def partitions_for_topic(self, topic: str) -> set[int]:
            return {0, 1}

    one, other = WarmAssignor(1, lambda: {0: OWNED}), WarmAssignor(1, lambda: {})
    members = {"one": one.metadata(["events"]), "other": other.metadata(["events"])}
    assigned = one.assign(Cluster(), members)
    other.on_assignment(ConsumerProtocolMemberAssignment.decode(assigned["other"].encode()))
    assert assigned["one"].assignment == [("events", [0])]
    assert assigned["other"].assignment == [("events", [1])]
    assert other.standby == [0]
