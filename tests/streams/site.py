"""A deployment for tests: topics, a release, a policy, a worker as a process of its own, and a foreign reader."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from models import promotion
from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.producer import EventProducer
from schemas.registry import open_registry
from schemas.settings import Settings
from tests.models.releases import written

WAIT_S = 60.0


def environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as a worker process gets them."""
    changed = settings.model_dump(exclude_defaults=True)
    own = {f"INTENTFLOW_{name.upper()}": _plain(value) for name, value in changed.items()}
    return {**{k: v for k, v in os.environ.items() if not k.startswith("INTENTFLOW_")}, **own}


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


class Site:
    """Topics and a promoted release on the broker of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.topics = settings, topics.Topics(settings)
        topics.create(settings)
        self.release = written(settings.releases_uri)
        promotion.promote(settings, self.release)

    def send(self, rows: list[dict[str, Any]]) -> None:
        with EventProducer(self.settings) as producer:
            for row in rows:
                producer.send(row)

    def read(self, schema: str) -> list[dict[str, Any]]:
        """Everything committed on the topic of this schema, decoded, with librdkafka."""
        topic = self.topics.of_schema(schema)
        values = [value for _, value in self.read_raw(topic)]
        return Codec(open_registry(self.settings), schema).decode_rows(values)

    def read_raw(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        consumer = Consumer(
            confluent_config(
                self.settings,
                group_id=f"{self.settings.app_id}-reader",
                isolation_level="read_committed",
                enable_partition_eof=True,
            )
        )
        try:
            parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, number, 0) for number in parts])
            found: list[tuple[bytes | None, bytes | None]] = []
            ended: set[int | None] = set()
            while len(ended) < len(parts):
                message = consumer.poll(5)
                if message is None:
                    break
                if message.error():
                    ended.add(message.partition())
                else:
                    found.append((message.key(), message.value()))
            return found
        finally:
            consumer.close()

    def wait(self, met: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
        end = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            time.sleep(0.3)


class Worker:
    """A worker process. `log` is its output so far."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._log = folder / f"worker-{time.monotonic_ns()}.log"
        code = "from schemas.settings import Settings; from streams.worker import run; run(Settings.load())"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], env=environment(settings), stdout=out, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def page(self, path: str = "/health") -> str:
        """Body of /health or /metrics, empty until the worker listens."""
        marks = [line for line in self.log.splitlines() if "metrics and health on " in line]
        if not marks:
            return ""
        try:
            with urllib.request.urlopen(
                marks[-1].split("metrics and health on ")[1].strip() + path, timeout=5
            ) as page:
                return str(page.read().decode())
        except urllib.error.HTTPError as problem:
            return problem.read().decode()
        except OSError:
            return ""

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM, and how it ended."""
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[Worker]:
    running = Worker(settings, folder)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()
