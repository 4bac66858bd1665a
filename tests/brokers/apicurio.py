"""A real schema registry, Apicurio in memory, as a context manager with the `.url` of its Confluent-like API."""

import http.client
import json
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Self

from tests.brokers.maven import program, unpacked
from tests.brokers.process import Child, answers, free_ports

VERSION = "2.6.13.Final"  # the last line that runs on Java 17
START_S = 90.0


def apicurio_files() -> Path:
    """The folder of the registry's program, resolved on first use."""
    program("java")
    return unpacked(f"apicurio-{VERSION}", f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all")


class Apicurio:
    """A registry process; everything registered goes when the context is left."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.folder = Path(tempfile.mkdtemp(prefix="intentflow-apicurio-"))
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The base address of the registry, for `registry_url`."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self) -> None:
        if self._child is None:
            (jar,) = apicurio_files().glob("**/apicurio-registry-app-*-runner.jar")
            command = [program("java"), "-Xmx384m", "-XX:+UseSerialGC", "-jar", str(jar)]
            env = {"QUARKUS_HTTP_PORT": str(self.port), "QUARKUS_HTTP_HOST": "127.0.0.1"}
            self._child = Child("Apicurio", command, self.folder / "registry.log", env)
        self._child.start(self._ready, START_S)

    def close(self) -> None:
        """Ends the registry and removes its folder."""
        if self._child is not None:
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

    def _ready(self) -> bool:
        if not answers(self.port):
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:
                return isinstance(json.load(answer), list)
        except (OSError, ValueError, http.client.HTTPException):
            return False
