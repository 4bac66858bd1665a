"""What /health and /ready say of a worker, beside its /metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from faust.types import TP

from schemas.settings import Settings
from streams.following import Following
from streams.pages import Pages
from streams.standby import Standbys
from streams.watchdog import Watchdog

if TYPE_CHECKING:
    from streams.partition import Partition


class Health:
    """The pages of a worker. /health is 503 with the reason while a partition failed or is stuck."""

    def __init__(
        self,
        settings: Settings,
        partitions: Mapping[TP, Partition],
        standbys: Standbys,
        following: Following,
        watchdog: Watchdog,
    ) -> None:
        self._settings, self._partitions, self._following = settings, partitions, following
        self._standbys, self._watchdog = standbys, watchdog
        self._pages = Pages(
            settings.metrics_host, settings.metrics_port, "INTENTFLOW_METRICS_PORT", self.report
        )

    def start(self) -> None:
        """Idempotent."""
        self._pages.start()

    def stop(self) -> None:
        self._pages.stop()

    def report(self) -> tuple[bool, dict[str, Any]]:
        """(healthy, page): state of every partition, the release and policy in use, the latest refusal."""
        now, partitions, healthy = time.monotonic(), {}, True
        stuck = self._watchdog.stuck(now)
        for tp, partition in sorted(self._partitions.items()):
            page = partition.progress.page()
            if partition.failure is not None or tp in stuck:
                page["state"], healthy = "failed" if partition.failure else "stuck", False
            page["seconds_without_progress"] = round(self._watchdog.quiet(tp, now), 1)
            partitions[str(tp.partition)] = page
        model, policy = self._following.model, self._following.policy
        challenger = self._following.challenger
        page = {
            "healthy": healthy,
            "ready": all(p.progress.state == "live" for p in self._partitions.values()),
            "release": None if model is None else model.engine.release_id,
            "engine": None if model is None else model.engine.description,
            "challenger": None if challenger is None else challenger.page(),
            "policy": None if policy is None else policy.version,
            "learnt": {} if policy is None else policy.learnt,
            "refused": self._following.problem,
            "partitions": partitions,
            "standby_changelog_offsets": self._standbys.offsets(),
        }
        return healthy, page
