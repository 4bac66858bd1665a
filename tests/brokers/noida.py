"""The embedded broker of `make demo` (package noida-db), as a context manager with `.bootstrap`."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Self

from tests.brokers import Unavailable
from tests.brokers.process import Child, answers, free_ports

START_S = 30.0


class Noida:
    """A noida-db process with only its Kafka part on, in memory; its data folder goes when the context is left."""

    def __init__(self) -> None:
        binary = _binary()
        (self.port,) = free_ports(1)
        self.folder = Path(tempfile.mkdtemp(prefix="intentflow-noida-"))
        options = [
            "start",
            "--only",
            "kafka",
            "--kafka-port",
            str(self.port),
            "--data-dir",
            str(self.folder / "data"),
        ]
        self._child = Child("noida-db", [binary, *options], self.folder / "broker.log")

    @property
    def bootstrap(self) -> str:
        """The broker's address, `host:port`."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._child.start(lambda: answers(self.port), START_S)

    def stop(self) -> None:
        self._child.stop()

    def kill(self) -> None:
        self._child.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the broker and removes its data."""
        self._child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _binary() -> str:
    # Not the package's own command: it starts the binary as a child, which outlives it when it is killed.
    package = importlib.util.find_spec("noida_db")
    if package is None or package.origin is None:
        raise Unavailable(
            "the package noida-db is not installed: `make .venv` installs it with everything else"
        )
    binary = Path(package.origin).parent / "noida-db"
    binary.chmod(0o755)
    return str(binary)
