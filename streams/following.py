"""Follows `model-releases` and `policies`: every worker uses the promoted release and the published policy.

Both topics are compacted and small, and every worker needs all of both, so each reads them alone from the start,
outside the consumer group. A release or policy that cannot be used is refused with a message; the last good one stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import aiokafka
from aiokafka.structs import TopicPartition

from models.engine import Engine, load, probe
from models.featurizer import FeatureSpec
from models.release import Card, ReleaseProblem, read
from schemas.codec import Codec
from schemas.kafka import aiokafka_config
from schemas.registry import Registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.decide import CompiledPolicy
from streams.policy import Policy
from streams.policy_document import PolicyProblem, parse

log = logging.getLogger("intentflow.following")


class Model(NamedTuple):
    """A release in use."""

    engine: Engine
    card: Card


class Following:
    """`model` and `policy` as of now, None until the first good one. `refused` counts what was not usable."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._topics = Topics(settings)
        self._releases, self._policies = Codec(registry, "model_release"), Codec(registry, "policy")
        self.model: Model | None = None
        self.policy: CompiledPolicy | None = None
        self._document: Policy | None = None
        self.has_model = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.refused = 0
        self.problem = ""  # the latest refusal, for /health and `status`

    async def run(self) -> None:
        """Read both topics from the start and then for ever. Cancel it to stop."""
        consumer = aiokafka.AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # not seek_to_beginning: aiokafka may apply its own reset after it
        )
        await consumer.start()
        try:
            tps = [TopicPartition(name, 0) for name in (self._topics.model_releases, self._topics.policies)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=300)).items():
                    await self._take(tp.topic, self._latest(records))
                if not self.caught_up.is_set():
                    positions = {tp: await consumer.position(tp) for tp in tps}
                    if all(positions[tp] >= ends[tp] for tp in tps):
                        self.caught_up.set()
        finally:
            await consumer.stop()

    def _latest(self, records: list[Any]) -> list[bytes]:
        wanted = {self._settings.model_name.encode(), self._settings.policy_name.encode()}
        latest = {record.key: record.value for record in records if record.key in wanted}
        return [value for value in latest.values() if value is not None]

    async def _take(self, topic: str, values: list[bytes]) -> None:
        take: Callable[[bytes], None]
        take = self._take_release if topic == self._topics.model_releases else self._take_policy
        for value in values:
            try:
                await asyncio.get_running_loop().run_in_executor(None, take, value)
            except (ReleaseProblem, PolicyProblem, ValueError, OSError) as problem:
                self.refused += 1
                self.problem = str(problem)
                log.error("refused, the last good one stays: %s", problem)
            if self.model is not None:
                self.has_model.set()

    def _take_release(self, value: bytes) -> None:
        (row,) = self._releases.decode_rows([value])
        settings, release = self._settings, read(row["uri"])
        if release.weights_sha256 != row["weights_sha256"]:
            raise ReleaseProblem(
                f"release {row['release']} at {row['uri']} is not the one that was promoted: its weights have another "
                "SHA-256; promote it again if the change was meant"
            )
        engine = load(
            row["uri"], settings.engine, settings.device, settings.engine_threads, settings.engine_precision
        )
        probe(engine, release.card.features)
        if self.model is not None and engine.state_size != self.model.engine.state_size:
            raise ReleaseProblem(
                f"release {row['release']} carries {engine.state_size} floats per shopper, the rows in use "
                f"{self.model.engine.state_size}: stop the workers, delete INTENTFLOW_DATA_DIR and start them with it"
            )
        policy = self._compile(self._document, engine)
        self.model, self.policy = Model(engine, release.card), policy
        log.warning("release %s in use, %s", engine.release_id, engine.description)

    def _take_policy(self, value: bytes) -> None:
        (row,) = self._policies.decode_rows([value])
        document = parse(row["document"], f"policy {row['name']} {row['version']}")
        self.policy = self._compile(document, None if self.model is None else self.model.engine)
        self._document = document
        log.warning("policy %s version %s in use", document.name, document.version)

    @staticmethod
    def _compile(document: Policy | None, engine: Engine | None) -> CompiledPolicy | None:
        return None if document is None or engine is None else CompiledPolicy(document, engine.tasks)

    @property
    def spec(self) -> FeatureSpec:
        """Feature spec of the release in use."""
        assert self.model is not None
        return self.model.card.features
