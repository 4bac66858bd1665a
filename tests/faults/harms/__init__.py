"""The harms, one function each: HARMS has them by name. Each leaves the workers standing again, or on their way to it.

A harm raises HarmFailed when it did not happen as meant: a run that only seems to have been harmed proves nothing.
Impossible says that this machine does not allow it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from tests.faults.crashing_worker import POINTS
from tests.faults.harms import disks, network, processes, releases
from tests.faults.harms.common import HarmFailed, Impossible
from tests.faults.run import Run

__all__ = ["DEAR", "HARMS", "HarmFailed", "Impossible"]

HARMS: dict[str, Callable[[Run], None]] = {
    "kill -9 at random": processes.kill_at_random,
    **{f"kill -9 {point}": functools.partial(processes.crash, point=point) for point in POINTS},
    "workers 1-3-1": processes.workers_come_and_go,
    "zombie after SIGSTOP": processes.zombie,
    "SIGTERM": processes.terminate,
    "broker kill -9": network.broker_killed,
    "network cut": network.network_cut,
    "network 200 ms slower": network.network_slow,
    "transaction time-out": network.transaction_time_out,
    "data folder deleted": disks.folder_deleted,
    "data folder truncated": disks.folder_truncated,
    "data folder from before": disks.folder_older,
    "data folder of another cluster": disks.folder_of_another_cluster,
    "data folder of another partition": disks.folder_of_another_partition,
    "table files corrupted": disks.table_files_corrupted,
    "disk full": disks.disk_full,
    "changelog compacted": disks.changelog_compacted,
    "release of NaN": releases.release_of_nan,
}
# Not in the short form: they wait for time-outs, or their likes are in it.
DEAR = {"disk full", "transaction time-out", "data folder from before"}
