"""The HTTP pages of a process: /metrics for Prometheus, /health for whoever restarts it, /ready for whoever waits for it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = logging.getLogger("intentflow.health")


class Pages:
    """The server, in a thread. report: (healthy, page with `ready`), asked at every look; setting: what names the port."""

    def __init__(
        self, host: str, port: int, setting: str, report: Callable[[], tuple[bool, dict[str, Any]]]
    ) -> None:
        self._address, self._setting, self._report = (host, port), setting, report
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Idempotent; with port 0 the port taken is logged. Raises OSError when the port is taken."""
        if self._server is not None:
            return
        host, port = self._address
        try:
            self._server = ThreadingHTTPServer(self._address, _handler(self._report))
        except OSError as problem:
            raise OSError(
                f"cannot listen on {host}:{port} for /metrics and /health: {problem.strerror}; give each "
                f"process its own {self._setting} (0 = a free one)"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        log.warning("metrics and health on http://%s:%d", host, self._server.server_port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(report: Callable[[], tuple[bool, dict[str, Any]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path in ("/health", "/ready"):
                healthy, page = report()
                good = healthy if self.path == "/health" else page["ready"]
                self._answer(200 if good else 503, "application/json", json.dumps(page, indent=1).encode())
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
