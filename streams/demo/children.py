"""The demo's processes: each started with the demo's settings, none left running, their memory watched together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

GRACE_S = 15.0


class Failed(RuntimeError):
    """A step of the demo ended badly; the message has the end of what it said."""


class Children:
    """Starts child processes in sessions of their own (Ctrl-C reaches only the demo, which ends them in turn).

    `peak_bytes` is the largest resident memory of demo and children together, sampled twice a second.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        # MALLOC_ARENA_MAX: glibc else keeps a heap per thread, which costs the training 100 MB and more.
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}
        self._running: list[tuple[str, subprocess.Popen[str]]] = []
        self.peak_bytes = 0
        self.peak_of: dict[str, int] = {}  # by process, when it was largest
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, _interrupt)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for name, _ in reversed(list(self._running)):
            self.stop(name)

    def start(self, name: str, command: list[str]) -> subprocess.Popen[str]:
        """A process that goes on; its output is in `<folder>/<name>.log`."""
        with self.log(name).open("w") as out:
            child = subprocess.Popen(
                command,
                env=self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
        self._running.append((name, child))
        return child

    def lines(self, name: str, *arguments: str) -> Iterator[str]:
        """Run `intentflow ARGUMENTS` to its end, yielding its lines as they come. Raises Failed."""
        child = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        self._running.append((name, child))
        last: list[str] = []
        assert child.stdout is not None
        for line in child.stdout:
            last = [*last[-30:], line.rstrip()]
            yield line.rstrip()
        if child.wait() != 0:
            raise Failed(
                f"`intentflow {' '.join(arguments)}` ended with {child.returncode}:\n" + "\n".join(last)
            )
        self._running.remove((name, child))

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def check(self, name: str) -> None:
        """Raises Failed when the process has ended."""
        for known, child in self._running:
            if known == name and child.poll() is not None:
                raise Failed(f"{name} ended with {child.returncode}:\n{self.log(name).read_text()[-3000:]}")

    def stop(self, name: str) -> None:
        for known, child in list(self._running):
            if known != name:
                continue
            self._running.remove((known, child))
            child.terminate()
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            found = {name: _resident(pid) for name, pid in self._processes()}
            if sum(found.values()) > self.peak_bytes:
                self.peak_bytes, self.peak_of = sum(found.values()), found

    def _processes(self) -> list[tuple[str, int]]:
        return [("demo", os.getpid()), *((name, child.pid) for name, child in list(self._running))]


def _resident(pid: int) -> int:
    try:
        resident: int = psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
    return resident


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def wait_for(met: Callable[[], bool], seconds: float) -> None:
    """Poll the callable until it is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)
