"""`intentflow broker`: the embedded broker (package noida-db) in the foreground."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.cli import verb

app = verb()


class BrokerProblem(RuntimeError):
    """The embedded broker cannot be started; the message says what to do."""


@app.command()
def broker(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 9092,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: Annotated[Path, typer.Option(help="Folder for its data; made when missing.")] = Path(
        ".intentflow/broker"
    ),
) -> None:
    """Start the embedded Kafka broker in the foreground, for trying things out; Ctrl-C saves its data and stops it.

    It needs no Java and no Docker. It holds everything in memory and writes one file: right for a demo, wrong for
    load. For production set INTENTFLOW_BOOTSTRAP_SERVERS to your own Kafka instead.

    \b
    Example:
      intentflow broker --port 9092
    and in another terminal:
      intentflow topics create
    """
    arguments = command(port, data, host)
    if _taken(host, port):
        raise BrokerProblem(
            f"something listens on {host}:{port} already; is a broker running? Choose another with --port"
        )
    data.mkdir(parents=True, exist_ok=True)
    typer.echo(f"INTENTFLOW_BOOTSTRAP_SERVERS={host}:{port}, data in {data}; next: intentflow topics create")
    sys.stdout.flush()
    os.execv(arguments[0], arguments)  # it becomes the broker: no child that could be left running


def command(port: int, data: Path, host: str = "127.0.0.1") -> list[str]:
    """The command line that runs the embedded broker in the foreground. Raises BrokerProblem without its package.

    The package's own command is passed by: it starts the binary as a child, which outlives it when it is killed.
    """
    package = importlib.util.find_spec("noida_db")
    if package is None or package.origin is None:
        raise BrokerProblem(
            "the package noida-db, the embedded broker, is not installed: pip install 'intentflow[demo]', or set "
            "INTENTFLOW_BOOTSTRAP_SERVERS to a Kafka of your own"
        )
    binary = Path(package.origin).with_name("noida-db")
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return [
        str(binary),
        "start",
        *("--only", "kafka"),
        *("--kafka-port", str(port)),
        *("--host", host),
        *("--data-dir", str(data)),
    ]


def _taken(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True
