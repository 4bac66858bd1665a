"""What a run of the whole system on this machine consists of, whatever is played on it: broker, worker, and their words."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rich.console import Console

from schemas.settings import Settings
from streams.cli.broker import command as broker_command
from streams.demo.children import Children, Failed, wait_for
from streams.demo.view import ready

READY_S = 180.0  # within which the worker has to be there


class Stage:
    """A folder of its own, made anew, and addresses that are free; `environment`: further settings of all processes."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._console = Console(width=None if sys.stdout.isatty() else 162)
        self._begun, self._folder = time.monotonic(), folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._broker_port, metrics = _free_port(), _free_port()
        environment = {
            "INTENTFLOW_BOOTSTRAP_SERVERS": f"127.0.0.1:{self._broker_port}",
            "INTENTFLOW_DATA_DIR": str(folder / "worker"),
            "INTENTFLOW_RELEASES_URI": str(folder / "releases"),
            "INTENTFLOW_ARCHIVE_URI": str(folder / "archive"),
            "INTENTFLOW_METRICS_PORT": str(metrics),
            **environment,
        }
        os.environ.update(environment)
        self._settings, self._url = Settings.load(), f"http://127.0.0.1:{metrics}"
        self._children = Children(folder, environment)

    def _start_broker(self) -> None:
        self._children.start("broker", broker_command(self._broker_port, self._folder / "broker"))
        try:
            wait_for(lambda: _answers(self._broker_port), 20)
        except TimeoutError:
            self._children.check("broker")
            raise Failed(
                f"the embedded broker does not answer: {self._children.log('broker').read_text()}"
            ) from None
        self._intentflow("topics", "create")

    def _start_worker(self) -> None:
        self._children.start("worker", [sys.executable, "-m", "streams.cli", "worker"])
        begun = time.monotonic()
        while not ready(self._url):
            self._children.check("worker")
            if time.monotonic() - begun > READY_S:
                raise Failed(f"the worker is not ready: {self._children.log('worker').read_text()[-3000:]}")
            time.sleep(0.2)
        self._console.print(f"  ready after {time.monotonic() - begun:.1f} s", style="dim")

    def _intentflow(self, *arguments: str) -> None:
        for line in self._children.lines(arguments[0], *arguments):
            self._console.print(f"  {line}", style="dim", markup=False, highlight=False)

    def _say(self, title: str, command: str) -> None:
        seconds = time.monotonic() - self._begun
        self._console.print(f"\n[bold cyan]{title}[/]  [dim]{seconds:.0f} s · {command}[/]", highlight=False)


def fast() -> bool:
    """Whether a small run is asked for: FAST=1."""
    return os.environ.get("FAST", "") not in ("", "0")


def iso(moment: datetime) -> str:
    return moment.isoformat()


def played(name: str, play: Callable[[], None], *failures: type[Exception]) -> int:
    """The exit status of a run; what it fails of, in words, for these and for Failed."""
    worded: tuple[type[Exception], ...] = (Failed, *failures)
    try:
        play()
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return 130
    except worded as problem:
        print(f"\n{name}: {problem}", file=sys.stderr)
        return 1
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
