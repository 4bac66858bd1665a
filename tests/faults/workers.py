"""Worker processes and the supervisor that starts one again when it exits, as Kubernetes would."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from schemas.settings import Settings
from tests.streams.site import environment

PLAIN = ("-m", "streams.cli", "worker")
CRASHING = ("-m", "tests.faults.crashing_worker")
TICK_S = 0.1
BACKOFF_S = 0.3
HEALTH = "metrics and health on "
_SETPRIV = shutil.which("setpriv")


class Slot:
    """A place for one worker with a data folder and a log of its own; several processes hold it one after the other."""

    plain: tuple[str, ...] = PLAIN  # what Python runs here

    def __init__(self, number: int, settings: Settings, folder: Path) -> None:
        self.number = number
        self.settings = settings.model_copy(update={"data_dir": str(folder / f"data-{number}")})
        self.log = folder / f"worker-{number}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.held = False  # a harm has it: do not start it again
        self.variables: Mapping[str, str] = {}  # of every process in this slot
        self.ending = False  # its process was asked to
        self._log_from = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def stores(self) -> Path:
        """The folder with a store for each partition."""
        return Path(self.settings.data_dir) / self.settings.app_id

    def start(self, **variables: str) -> None:
        """A plain worker, or one that comes to harm as `variables` say (see crashing_worker.py)."""
        given = {**self.variables, **variables}
        command = CRASHING if any(name.startswith("FAULTS_") for name in given) else self.plain
        pdeathsig = [_SETPRIV, "--pdeathsig", "KILL"] if _SETPRIV else []  # ends with us, however we end
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*pdeathsig, sys.executable, *command],
                env={**environment(self.settings), **given},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.ending = False

    def end(self) -> None:
        """SIGTERM, once: a second one may come when the process has drained and handles no signal any more."""
        if not self.ending:
            self.ending = True
            self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            assert self.process is not None
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def said(self) -> str:
        """What the present process has written so far."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def whole_log(self) -> str:
        """What all processes of this slot have written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def health(self) -> dict[str, Any]:
        """Its /health page, empty while it does not answer."""
        marks = [line for line in self.said().splitlines() if HEALTH in line]
        if not marks or not self.running:
            return {}
        try:
            with _page(marks[-1].split(HEALTH)[1].strip() + "/health") as page:
                return dict(json.loads(page.read()))
        except (OSError, ValueError, http.client.HTTPException):
            return {}

    def states(self) -> list[str]:
        """The state of each partition it has."""
        return [str(found["state"]) for found in self.health().get("partitions", {}).values()]


def _page(url: str) -> Any:
    """An open page, whatever its status."""
    try:
        return urllib.request.urlopen(url, timeout=3)
    except urllib.error.HTTPError as page:
        return page


class Supervisor:
    """Keeps the first `wanted` slots running. A context manager; leaving it kills what still runs."""

    def __init__(self, settings: Settings, folder: Path, slots: int = 3, **variables: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.slots = [Slot(number, settings, folder) for number in range(slots)]
        for slot in self.slots:
            slot.variables = variables
        self.exits: collections.Counter[int] = collections.Counter()  # by exit code, of those not held
        self._wanted, self._lock, self._over = 0, threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for slot in self.slots:
            slot.kill()

    @property
    def running(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.running]

    def scale(self, wanted: int) -> None:
        """So many workers from now on; those that are too many get SIGTERM and go in their own time."""
        with self._lock:
            self._wanted = wanted
            for slot in self.slots[wanted:]:
                slot.end()

    @contextlib.contextmanager
    def holding(self, slot: Slot) -> Iterator[Slot]:
        """While the block runs, this slot's process is the caller's business."""
        with self._lock:
            slot.held = True
        try:
            yield slot
        finally:
            with self._lock:
                slot.held = False

    def stop(self, seconds: float = 60.0) -> list[int]:
        """SIGTERM to all; returns the exit codes of those that should have run, or did. A worker that does not end in time
        is killed and counts as -9; one that had not begun yet, because it was just started again, has nothing to drain
        and counts as 0. How a process ended that was not wanted any more, a zombie or one killed, is no matter here, nor
        is one that was killed a moment ago: it is started again first."""
        end = time.monotonic() + seconds
        while not all(slot.running for slot in self.slots[: self._wanted]) and time.monotonic() < end:
            time.sleep(TICK_S)
        asked = [slot for slot in self.slots if slot.number < self._wanted or slot.running]
        self.scale(0)
        codes = []
        for slot in asked:
            if slot.process is None:
                continue
            try:
                code = slot.process.wait(seconds)
                codes.append(0 if code == -signal.SIGTERM and HEALTH not in slot.said() else code)
            except subprocess.TimeoutExpired:
                slot.kill()
                codes.append(-9)
        return codes

    def tail(self, lines: int = 15) -> str:
        """The last lines of every log."""
        found = []
        for slot in self.slots:
            if slot.log.exists():
                last = slot.log.read_text(errors="replace").splitlines()[-lines:]
                found.append(f"--- worker {slot.number}\n" + "\n".join(line[:300] for line in last))
        return "\n".join(found)

    def _watch(self) -> None:
        while not self._over.wait(TICK_S):
            with self._lock:
                for slot in self.slots[: self._wanted]:
                    if slot.held or slot.running:
                        continue
                    if slot.process is not None:
                        if slot.process.returncode is not None:
                            self.exits[slot.process.returncode] += 1
                        time.sleep(BACKOFF_S)
                    slot.start()
