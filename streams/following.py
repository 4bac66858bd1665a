"""Follows `model-releases`, `policies` and `bandits`: every worker uses the promoted release, the published policy and what
was learnt of its arms, and runs the challenger, if one is named, in shadow.

The topics are compacted and small, and every worker needs all of them, so each reads them alone from the start,
outside the consumer group. A release or policy that cannot be used is refused with a message; the last good one stays.
A worker that starts on a policy that cannot be used takes the newest of the policy's publications that can.

The catalogue of items, where one is set, is a file: it is read at start and when it has changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

import aiokafka
from aiokafka.structs import TopicPartition

from models.engine import Engine, load, probe
from models.featurizer import FeatureSpec
from models.promotion import challenger_key
from models.release import ReleaseProblem, read
from schemas.codec import Codec
from schemas.kafka import aiokafka_config
from schemas.registry import Registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams import catalogue
from streams.catalogue import NOTHING, CatalogueProblem
from streams.challenger import Challenger, check_fits, refused
from streams.decide import CompiledPolicy
from streams.learning.state import Learnt, key
from streams.model import Model
from streams.policy import Policy
from streams.policy_document import PolicyProblem, parse

log = logging.getLogger("intentflow.following")


class Following:
    """`model` and `policy` as of now, None until the first good one; `challenger`, None without one. `refused` counts
    what was not usable."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._topics = Topics(settings)
        self._releases, self._policies = Codec(registry, "model_release"), Codec(registry, "policy")
        self._bandits = Codec(registry, "bandit")
        self.model: Model | None = None
        self.policy: CompiledPolicy | None = None
        self.challenger: Challenger | None = None
        self._named: dict[str, Any] | None = None  # the challenger's record
        self._document: Policy | None = None
        self._learnt: dict[str, Learnt] = {}  # by campaign
        self._misfits: dict[str, str] = {}
        self._publications: dict[int, bytes] = {}  # earlier ones by time of publishing, ms
        self._catalogue = NOTHING if settings.catalogue_uri else None
        self._catalogue_version, self._look_at = "", 0.0
        self.has_model = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.refused = 0
        self.problem = ""  # the latest refusal, for /health and `status`

    async def run(self) -> None:
        """Read the topics from the start and then for ever. Cancel it to stop."""
        consumer = aiokafka.AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # not seek_to_beginning: aiokafka may apply its own reset after it
        )
        await consumer.start()
        try:
            followed = (self._topics.model_releases, self._topics.policies, self._topics.bandits)
            tps = [TopicPartition(name, 0) for name in followed]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            while True:
                await asyncio.get_running_loop().run_in_executor(None, self._look_at_catalogue)
                for tp, records in (await consumer.getmany(timeout_ms=300)).items():
                    await self._take(tp.topic, self._latest(records))
                if not self.caught_up.is_set():
                    positions = {tp: await consumer.position(tp) for tp in tps}
                    if all(positions[tp] >= ends[tp] for tp in tps):
                        self.caught_up.set()
        finally:
            await consumer.stop()

    @staticmethod
    def _latest(records: list[Any]) -> dict[bytes, bytes | None]:
        return {record.key: record.value for record in records}

    async def _take(self, topic: str, latest: dict[bytes, bytes | None]) -> None:
        """The newest records of a topic by key, None where one was deleted."""
        if topic == self._topics.bandits:
            await asyncio.get_running_loop().run_in_executor(None, self._take_learnt, latest)
            return
        releases, name = topic == self._topics.model_releases, self._settings.model_name
        take = self._take_release if releases else self._take_policy
        value = latest.get((name if releases else self._settings.policy_name).encode())
        loop = asyncio.get_running_loop()
        if not releases:
            self._remember(latest)
        if value is not None:
            try:
                await loop.run_in_executor(None, take, value)
            except (ReleaseProblem, PolicyProblem, ValueError, OSError) as problem:
                self._refuse(str(problem))
            if self.model is not None:
                self.has_model.set()
        if self.refused and self._document is None and self._publications:
            await loop.run_in_executor(None, self._fall_back)
        if releases and latest:
            named = challenger_key(name)
            await loop.run_in_executor(None, self._choose, named in latest, latest.get(named))

    def _take_release(self, value: bytes) -> None:
        (row,) = self._releases.decode_rows([value])
        model = self._load(row)
        engine = model.engine
        if self.model is not None and engine.state_size != self.model.engine.state_size:
            raise ReleaseProblem(
                f"release {row['release']} carries {engine.state_size} floats per shopper, the rows in use "
                f"{self.model.engine.state_size}: stop the workers, delete INTENTFLOW_DATA_DIR and start them with it"
            )
        policy = self._compile(self._document, engine)
        self.model, self.policy = model, policy
        log.warning("release %s in use, %s", engine.release_id, engine.description)

    def _choose(self, changed: bool, value: bytes | None) -> None:
        """Who runs in shadow now. changed: whether there is a new record (value, None: nobody is to)."""
        if changed:
            try:
                self._named = None if value is None else self._releases.decode_rows([value])[0]
            except Exception as problem:
                self._named = None
                self.challenger = refused("of a record that does not decode", problem)
                return
            if self._named is None and self.challenger is not None:
                log.warning("no challenger any longer")
        if (
            self._named is None
            or self.model is None
            or self._named["release"] == self.model.engine.release_id
        ):
            self.challenger = None
            return
        now, release = self.challenger, self._named["release"]
        try:
            if changed or now is None or now.dropped:
                now = Challenger(release, self._load(self._named))
                log.warning("challenger %s in shadow, %s", release, now.model.engine.description)
            check_fits(now.model, self.model)
            self.challenger = now
        except Exception as problem:  # also what a damaged file makes a library raise: the champion stays
            self.challenger = refused(release, problem)

    def _load(self, row: dict[str, Any]) -> Model:
        """The release that a record names, once it has shown that it can be served."""
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
        return Model.of(engine, release)

    def _take_policy(self, value: bytes) -> None:
        (row,) = self._policies.decode_rows([value])
        document = parse(row["document"], f"policy {row['name']} {row['version']}")
        self.policy = self._compile(document, None if self.model is None else self.model.engine)
        self._document = document
        log.warning("policy %s version %s in use", document.name, document.version)

    def _take_learnt(self, latest: dict[bytes, bytes | None]) -> None:
        """What was learnt of the arms of our policy's campaigns. One that cannot be used leaves the last good one."""
        begin = key(self._settings.policy_name, "").encode()
        mine = {name: value for name, value in latest.items() if name is not None and name.startswith(begin)}
        for name, value in mine.items():
            if value is None:
                self._learnt.pop(name.removeprefix(begin).decode(), None)
                continue
            try:
                state = Learnt.of(self._bandits.decode_rows([value])[0])
                self._learnt[state.campaign] = state
            except Exception as problem:
                self._refuse(f"what was learnt of {name.decode(errors='replace')}: {problem}")
        if mine:
            self.policy = self._compile(self._document, None if self.model is None else self.model.engine)

    def _refuse(self, problem: str, instead: str = "the last good one stays") -> None:
        self.refused += 1
        self.problem = problem
        log.error("refused, %s: %s", instead, problem)

    def _remember(self, latest: dict[bytes, bytes | None]) -> None:
        """Publications of the policy, which stand under name@time; until one is in force."""
        name = self._settings.policy_name.encode() + b"@"
        for place, value in latest.items():
            moment = place.removeprefix(name) if place is not None and place.startswith(name) else b""
            if value is not None and moment.isdigit() and self._document is None:
                self._publications[int(moment)] = value

    def _fall_back(self) -> None:
        """The newest publication that can be used, where the policy in force cannot and there is none before it."""
        for moment in sorted(self._publications, reverse=True):
            try:
                self._take_policy(self._publications.pop(moment))
            except ValueError:  # as bad as the one in force, often the same
                continue
            log.error(
                "policy %s of %s stands in for it: the newest publication that can be used; publish a good one",
                self._document.version if self._document else "",
                datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds"),
            )
            self._publications.clear()
            return

    def _look_at_catalogue(self) -> None:
        """Reads the catalogue when it has changed. One that cannot be used is refused; the last good one stays, and before
        the first good one lists show nothing."""
        uri, now = self._settings.catalogue_uri, time.monotonic()
        if not uri or now < self._look_at:
            return
        self._look_at = now + self._settings.catalogue_interval_s
        try:
            version = catalogue.version(uri)
            if version == self._catalogue_version:
                return
            self._catalogue = catalogue.read(uri)
            self._catalogue_version = version
        except (CatalogueProblem, ValueError, ImportError) as problem:  # also a protocol that fsspec lacks
            self.refused += 1
            self.problem = str(problem)
            log.error("refused, the last good catalogue stays: %s", problem)
            return
        self.policy = self._compile(self._document, None if self.model is None else self.model.engine)
        log.warning("catalogue %s in use: %s items can be shown", uri, f"{len(self._catalogue.items):,}")

    def _compile(self, document: Policy | None, engine: Engine | None) -> CompiledPolicy | None:
        if document is None or engine is None:
            return None
        policy = CompiledPolicy(document, engine.tasks, self._catalogue, self._learnt)
        for name, why in policy.misfits.items():
            if self._misfits.get(name) != why:
                self._refuse(f"{name}: {why}", "the shares of its arms hold until they are learnt anew")
        self._misfits = policy.misfits
        return policy

    @property
    def spec(self) -> FeatureSpec:
        """Feature spec of the release in use."""
        assert self.model is not None
        return self.model.card.features
