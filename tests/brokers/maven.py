"""Java programs by Maven: resolved once into a cache folder, which later and simultaneous runs share."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tests.brokers import Unavailable

_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
_MINUTES = 10
_DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)
_POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>intentflow</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
{}
  </dependencies>
</project>
"""


def cache_folder() -> Path:
    """INTENTFLOW_CACHE, or ~/.cache/intentflow."""
    chosen = os.environ.get("INTENTFLOW_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "intentflow"


def program(name: str) -> str:
    """The path of a program on PATH; Unavailable says how to get it."""
    found = shutil.which(name)
    if found is None:
        raise Unavailable(
            f"`{name}` is not on PATH: real Kafka needs Java 17+ (`java`), Maven (`mvn`) and, for TLS, `openssl`; "
            "on Debian `apt-get install default-jdk-headless maven openssl`"
        )
    return found


def jars(name: str, coordinates: Sequence[str]) -> Path:
    """The folder with the jars of `group:artifact:version` coordinates and of all that they need at run time."""

    def resolve(folder: Path) -> None:
        pom = folder / "pom.xml"
        pom.write_text(
            _POM.format("\n".join(_DEPENDENCY.format(*map(escape, c.split(":"))) for c in coordinates))
        )
        _maven(
            "-f",
            str(pom),
            f"{_DEPENDENCY_PLUGIN}:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={folder}",
        )

    return cached(name, resolve)


def unpacked(name: str, artifact: str) -> Path:
    """The folder with what is in the archive `group:artifact:version:type:classifier`."""

    def resolve(folder: Path) -> None:
        _maven(f"{_DEPENDENCY_PLUGIN}:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
        (archive,) = folder.iterdir()
        shutil.unpack_archive(archive, folder)
        archive.unlink()

    return cached(name, resolve)


def cached(name: str, resolve: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, which `resolve(folder)` fills when it is not there yet."""
    folder = cache_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / f".{name}.lock"):
        if not folder.is_dir():
            # Resolved beside its place and renamed: a run that was broken off leaves no half-filled folder.
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as work:
                target = Path(work) / "whole"
                target.mkdir()
                resolve(target)
                target.rename(folder)
    return folder


def _maven(*arguments: str) -> None:
    command = [program("mvn"), "-q", "-B", *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=_MINUTES * 60,
            cwd=cache_folder(),
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"Maven took longer than {_MINUTES} minutes: {' '.join(command)}") from late
    if done.returncode:
        raise Unavailable(
            f"Maven could not resolve it: {' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
