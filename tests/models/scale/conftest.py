"""A Ray cluster of two nodes with one CPU each, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.models.replay.test_imports import ROOT


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[str]:
    """Its address."""
    pytest.importorskip("ray", reason="install intentflow[ray]")
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_TRAIN_V2_ENABLED="1", RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=str(ROOT))
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()
