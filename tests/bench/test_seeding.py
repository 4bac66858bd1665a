"""Seeded shoppers are where Kafka's own partitioner would have put their events."""

import numpy as np
from aiokafka.partitioner import murmur2

from bench.seeding import partition_of, shuffled
from bench.workload import user_ids


def test_partitions_are_those_of_kafkas_partitioner():
    names = [bytes(name) for name in user_ids(np.arange(500))]
    assert names[7] == b"user-0000007"
    wanted = [(murmur2(name) & 0x7FFFFFFF) % 6 for name in names]
    assert partition_of(500, 6).tolist() == wanted


def test_a_changelog_brings_every_shopper_of_its_partition_once():
    partitions = partition_of(1_000, 4)
    names = [name for portion in shuffled(partitions, 2) for name in portion]
    assert len(names) == len(set(names)) == int((partitions == 2).sum())
    assert names != sorted(names)
