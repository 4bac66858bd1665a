"""/metrics for Prometheus, /health for whoever restarts workers, /ready for whoever waits for one, in a thread."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from faust.types import TP
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.settings import Settings
from streams.following import Following
from streams.standby import Standbys
from streams.watchdog import Watchdog

if TYPE_CHECKING:
    from streams.partition import Partition

log = logging.getLogger("intentflow.health")


class Health:
    """HTTP server with both pages. /health is 503 with the reason while a partition failed or is stuck."""

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
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Idempotent; with metrics_port 0 the port taken is logged."""
        if self._server is not None:
            return
        address = (self._settings.metrics_host, self._settings.metrics_port)
        try:
            self._server = ThreadingHTTPServer(address, self._handler())
        except OSError as problem:
            raise OSError(
                f"cannot listen on {address[0]}:{address[1]} for /metrics and /health: {problem.strerror}; give each "
                "worker its own INTENTFLOW_METRICS_PORT (0 = a free one)"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        log.warning("metrics and health on http://%s:%d", address[0], self._server.server_port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

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

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        report = self.report

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                elif self.path in ("/health", "/ready"):
                    healthy, page = report()
                    good = healthy if self.path == "/health" else page["ready"]
                    self._answer(
                        200 if good else 503, "application/json", json.dumps(page, indent=1).encode()
                    )
                else:
                    self._answer(404, "text/plain", b"/metrics, /health or /ready\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Scrapes are not news."""

        return Handler
