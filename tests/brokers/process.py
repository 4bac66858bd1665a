"""A child process that listens on a port: start, wait until it answers, stop, kill -9, start again."""

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.brokers import NotStarted

_children: set["Child"] = set()


def free_ports(count: int) -> list[int]:
    """`count` TCP ports that nothing listens on now.

    They lie below the range of outgoing connections, so that no client's own socket takes a port while its broker is
    being started again.
    """
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(_bound()).getsockname()[1] for _ in range(count)]


def _bound() -> socket.socket:
    for _ in range(1000):
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", random.SystemRandom().randrange(18_000, 32_000)))
            return sock
        except OSError:
            sock.close()
    raise NotStarted("no free TCP port between 18000 and 32000")


def answers(port: int) -> bool:
    """True when something accepts connections on 127.0.0.1:port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


class Child:
    """A command in its own process group with its output in a file, ended at the latest when this interpreter ends."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.command, self.log, self.env = name, list(command), log, dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise NotStarted(f"{self.name} was never started")
        return self._process.pid

    def start(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Starts the command and returns when `ready()` is true; NotStarted when it ends or takes longer."""
        if self.running:
            return
        with self._open_log() as log:
            self._process = subprocess.Popen(
                [*_ends_with_parent(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        _children.add(self)
        self._wait(ready, time.monotonic() + timeout_s)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Asks it to end (SIGTERM), and kills it when it does not."""
        if self.running:
            self._signal(signal.SIGTERM)
            assert self._process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """kill -9 of its whole process group; returns when it is gone."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        _children.discard(self)

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def tail(self, lines: int = 25) -> str:
        """The last lines of its output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _wait(self, ready: Callable[[], bool], deadline: float) -> None:
        while not ready():
            if not self.running:
                raise NotStarted(f"{self.name} ended while it started:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise NotStarted(f"{self.name} did not answer in time:\n{self.tail()}")
            time.sleep(0.05)

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[IO[bytes]]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            yield log


def _ends_with_parent() -> list[str]:
    # A test run that is killed -9 runs no atexit: the kernel then ends the broker with it (Linux only).
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


@atexit.register
def _end_all() -> None:
    for child in list(_children):
        child.kill()
