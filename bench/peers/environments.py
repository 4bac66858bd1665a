"""Where each peer runs: a virtual environment from its lock, or Java classes from their sources, built once.

They lie in the cache folder of tests/brokers/maven.py under a name that holds a hash of what they are built from.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.brokers import Unavailable
from tests.brokers.maven import cached, jars, program

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
JAVA = HERE / "kafka_streams"
FLINK_KAFKA = "org.apache.flink:flink-sql-connector-kafka:4.0.1-2.0"
ZSTD = "com.github.luben:zstd-jni:1.5.6-10"  # topics are compressed with it, and the connector has it not
BUILD_S = 1200.0


def python_environment(name: str) -> Path:
    """The interpreter of the environment of bench/peers/<name>.lock; Unavailable says why it cannot be made."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        _run([*pip, "--disable-pip-version-check", "-r", str(HERE / f"{name}.lock")])

    return cached(environment_name(name), install) / "bin" / "python"


def environment_name(name: str) -> str:
    """The folder of that environment in the cache."""
    version = "".join(map(str, sys.version_info[:2]))
    return f"peer-{name}-py{version}-{_hash([HERE / f'{name}.lock'])}"


def kafka_streams_jars() -> Path:
    """The folder of the Kafka Streams peer's jars; Unavailable says why it cannot be built."""
    sources = sorted((JAVA / "src").rglob("*.java"))

    def build(folder: Path) -> None:
        _run([program("mvn"), "-q", "-B", "-f", str(JAVA / "pom.xml"), "package", f"-Doutput={folder}"])

    return cached(f"peer-kafka-streams-{_hash([JAVA / 'pom.xml', *sources])}", build) / "lib"


def flink_jars() -> Path:
    """The folder of Flink's Kafka connector and its codec."""
    program("java")
    name = "-".join(coordinate.partition(":")[2].replace(":", "-") for coordinate in (FLINK_KAFKA, ZSTD))
    return jars(f"peer-{name}", [FLINK_KAFKA, ZSTD])


def python_path() -> dict[str, str]:
    """Environment variables with which another interpreter finds this project's modules."""
    return {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _hash(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _run(command: list[str]) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=BUILD_S,
            env=env,
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"took longer than {BUILD_S / 60:.0f} minutes: {' '.join(command)}") from late
    if done.returncode:
        raise Unavailable(f"failed: {' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}")
