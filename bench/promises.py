"""`make bench-promises`: ten million events, workers that are killed and moved, and not one broken promise to a shopper.

A real Kafka, two workers. Every few seconds one is killed with -9 and started again, comes, or goes, so that partitions
move while messages wait, budgets are spent and carts lie idle. Afterwards everything that was published is held against
what was promised (bench/promised.py), by code that shares nothing with the deciding.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from bench import report
from bench.deployment import deploy, publish
from bench.processes import Committed, Worker, say
from bench.promised import Promises, Told, broken
from bench.workload import Workload, produce
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.policy import Policy
from tests.brokers import kafka

TYPES = (
    "page_view",
    "item_view",
    "search",
    "add_to_cart",
    "purchase",
    "wishlist",
    "coupon_redeem",
    "consent",
)
TYPE_SHARES = (0.5, 0.424, 0.01, 0.025, 0.02, 0.0065, 0.0065, 0.008)
ZONES = ("UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York")
CHANNELS = ("push", "coupon", "all")
EVENTS_PER_SHOPPER = 500
HARM_S = (15.0, 35.0)  # from one harm to the next
LIMIT_S = 900.0  # for one slice
COST = 0.5  # of a coupon
REASONS = ("frequency_cap", "cooldown", "no_consent", "holdout", "deferred", "budget", "pacing")


@dataclass(frozen=True)
class Shopping(Workload):
    """Events that meet triggers, tell time zones, and take consent back and give it again; `told` is filled on the way."""

    told: Told = field(default_factory=Told, compare=False)

    def _batch(
        self, rng: np.random.Generator, numbers: np.ndarray, who: np.ndarray, schema: pa.Schema
    ) -> pa.RecordBatch:
        made = super()._batch(rng, numbers, who, schema)
        kinds = rng.choice(len(TYPES), len(numbers), p=TYPE_SHARES)
        properties = self._properties(rng, kinds, who, made)
        at = made.schema.get_field_index("event_type")
        made = made.set_column(at, made.schema.field(at), pa.array(TYPES).take(pa.array(kinds)))
        column = pa.array(properties, pa.map_(pa.string(), pa.string())).cast(schema.field("properties").type)
        return pa.RecordBatch.from_arrays(
            [*made.columns, column], schema=made.schema.append(schema.field("properties"))
        )

    def _properties(
        self, rng: np.random.Generator, kinds: np.ndarray, who: np.ndarray, made: pa.RecordBatch
    ) -> list[list[tuple[str, str]]]:
        found: list[list[tuple[str, str]]] = [[] for _ in kinds]
        rows = np.flatnonzero(kinds >= TYPES.index("search")).tolist()
        users = made.column("user_id").take(pa.array(rows)).to_pylist()
        times = made.column("event_time").cast(pa.int64()).take(pa.array(rows)).to_pylist()
        for row, user, moment in zip(rows, users, times, strict=True):
            zone = ZONES[int(who[row]) % len(ZONES)]
            self.told.zones[user] = zone
            found[row].append(("time_zone", zone))
            if TYPES[kinds[row]] == "consent":
                channel, granted = CHANNELS[rng.integers(len(CHANNELS))], bool(rng.random() < 0.6)
                self.told.words[user].append((moment, channel, granted))
                found[row] += [("channel", channel), ("granted", str(granted).lower())]
        return found


class Crew:
    """Two workers with a folder each, and what is done to them."""

    def __init__(self, settings: Settings, folder: Path, seed: int) -> None:
        self._settings, self._folder, self._rng = settings, folder, random.Random(seed)
        self._here: dict[str, Worker] = {}
        self._starts = 0
        self.done: Counter[str] = Counter()

    def harm(self) -> None:
        """One of: kill -9 and start again, come, go."""
        if len(self._here) < 2:
            act = self._rng.choice(["comes", "kill -9"])
        else:
            act = self._rng.choice(["goes", "kill -9", "kill -9", "both killed"])
        names = list(self._here)
        if act == "comes":
            self.start()
        elif act == "goes":
            self._here.pop(self._rng.choice(names)).__exit__()
        else:
            for name in names if act == "both killed" else [self._rng.choice(names)]:
                self._here.pop(name).kill()
                self.start(name)
        self.done[act] += 1

    def start(self, name: str = "") -> None:
        name = name or next(one for one in ("a", "b") if one not in self._here)
        settings = self._settings.model_copy(update={"data_dir": f"{self._settings.data_dir}-{name}"})
        self._starts += 1
        self._here[name] = Worker(settings, self._folder, name=f"worker {name} {self._starts}")
        self._here[name].launch()

    def check(self) -> None:
        for worker in self._here.values():
            worker.check()

    def stop(self) -> None:
        for worker in self._here.values():
            worker.__exit__()


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name,
        kafka.Kafka(properties={"log.segment.bytes": str(64 << 20)}) as broker,
    ):
        folder = Path(name)
        settings = deploy(broker.bootstrap, folder, policy=False, session_timeout_s=6.0, timer_clock="events")
        publish(settings, policy(promised(options.events)))
        crew, told = Crew(settings, folder, options.seed), Told()
        crew.start()
        try:
            run(settings, crew, told, options)
        finally:
            crew.stop()
        interventions = rows(settings, "intervention")
        decisions = Counter(row["reason"] for row in rows(settings, "decision"))
    figures = {
        "events": options.events,
        "shoppers": options.events // EVENTS_PER_SHOPPER,
        "interventions": dict(Counter(row["campaign"] for row in interventions)),
        "decisions": dict(decisions.most_common()),
        "harms": dict(crew.done),
        "consents": sum(map(len, told.words.values())),
    }
    bars = [
        report.at_most(f"{what}: broken promises", count, 0)
        for what, count in broken(promised(options.events), told, interventions).items()
    ]
    bars += [report.at_least(f"held back: {reason}", decisions[reason], 1) for reason in REASONS]
    bars.append(report.at_least("harms", crew.done.total(), 3 if report.fast() else 20))
    return report.finish("promises", figures, bars, {"kafka": kafka.VERSION}, report.trial())


def run(settings: Settings, crew: Crew, told: Told, options: argparse.Namespace) -> None:
    """All slices, one after the other."""
    size, days, now = options.events // options.slices, 30.0 / options.slices, int(time.time() * 1000)
    progress = Committed(settings, settings.app_id)
    shoppers, next_harm = options.events // EVENTS_PER_SHOPPER, time.monotonic() + HARM_S[0]
    rng = random.Random(options.seed)
    try:
        for part in range(options.slices):
            end = now - round((options.slices - 1 - part) * days * 86_400_000)
            produce(
                settings, Shopping(shoppers, size, part, days=days, first=part * size, end=end, told=told)
            )
            deadline = time.monotonic() + LIMIT_S
            while progress.total() < (part + 1) * size:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"slice {part} was not committed within {LIMIT_S:g} s")
                crew.check()
                if time.monotonic() > next_harm:
                    crew.harm()
                    next_harm = time.monotonic() + rng.uniform(*HARM_S)
                time.sleep(0.25)
            forget(settings)
            say(f"{progress.total():,} events, {dict(crew.done)}")
    finally:
        progress.close()


def forget(settings: Settings) -> None:
    """Delete the predictions from the broker. Events stay: a worker that is killed again and again redoes much."""
    topic = Topics(settings).predictions
    gone = [TopicPartition(topic, number, OFFSET_END) for number in range(settings.partitions)]
    admin = AdminClient(confluent_config(settings))
    for answer in admin.delete_records(gone).values():
        answer.result(timeout=60.0)


def rows(settings: Settings, schema: str) -> list[dict[str, Any]]:
    """Everything committed on the topic of this schema, decoded."""
    topic, found = Topics(settings).of_schema(schema), list[bytes | None]()
    config = {"group_id": "promises", "isolation_level": "read_committed", "enable_partition_eof": True}
    consumer = Consumer(confluent_config(settings, **config))
    parts = [TopicPartition(topic, number, 0) for number in range(settings.partitions)]
    consumer.assign(parts)
    ended = 0
    while ended < len(parts):
        for message in consumer.consume(10_000, timeout=30.0):
            ended += message.error() is not None
            found += [message.value()] if message.error() is None else []
    consumer.close()
    return Codec(open_registry(settings), schema).decode_rows(found)


def promised(events: int) -> Promises:
    """What is promised; budgets are about half of what so many events of thirty days would spend."""
    return Promises(
        salt="promises",
        holdout=0.1,
        caps=((1, 168, frozenset({"coupon"})), (3, 336, frozenset({"coupon", "push"}))),
        cooldowns={"winback": 240, "cart": 168, "reminder": 24, "list": 24},
        kind_cooldowns={"push": 20},
        quiet=(21, 8, frozenset({"push"})),
        budgets={"winback": (events / 60_000, COST), "list": (events // 10_000, 1)},
    )


def policy(kept: Promises) -> Policy:
    """A policy that keeps them, and meets triggers often enough for all of them to be put to the test."""
    worth = {"margin_per_conversion": 10.0, "lift": 1.0, "cost_per_contact": 0.0, "minimum": -1.0}
    coupon = {"value": 1.0, "category": None, "expires_hours": 48}
    kinds: list[dict[str, Any]] = [
        {"id": "winback", "kind": "coupon", "payload": coupon, "priority": 20}
        | {"value": {**worth, "cost_per_contact": COST}, "budget": {"money": kept.budgets["winback"][0]}},
        {"id": "cart", "kind": "coupon", "payload": coupon, "priority": 30},
        {
            "id": "reminder",
            "kind": "push",
            "payload": {"template": "t", "send_after_minutes": 30, "expires_hours": 48},
        }
        | {"in_quiet_hours": "defer", "priority": 10},
        {"id": "list", "kind": "rerank", "payload": {"size": 5, "expires_minutes": 60}}
        | {"budget": {"count": kept.budgets["list"][0], "pacing": "none"}},
    ]
    triggers: dict[str, dict[str, Any]] = {
        "winback": {"event_types": ["wishlist"]},
        "cart": {"event_types": ["add_to_cart"], "idle_minutes": 20},
        "reminder": {"event_types": ["coupon_redeem"]},
        "list": {"event_types": ["search"]},
    }
    campaigns = [
        {"value": worth, "cooldown_hours": kept.cooldowns[one["id"]]}
        | {"trigger": {"score": "buy_7d", "at_least": 0.0, **triggers[one["id"]]}, **one}
        for one in kinds
    ]
    begin, end, quiet = kept.quiet
    return Policy.model_validate(
        {
            "name": "default",
            "holdout": {"salt": kept.salt, "share": kept.holdout},
            "consent": {"coupon": "opt_out", "push": "opt_out", "rerank": "opt_out"},
            "quiet_hours": [{"from": f"{begin:02}:00", "until": f"{end:02}:00", "kinds": sorted(quiet)}],
            "kind_cooldowns": dict(kept.kind_cooldowns),
            "frequency_caps": [
                {"count": count, "hours": hours, "kinds": sorted(names)} for count, hours, names in kept.caps
            ],
            "campaigns": campaigns,
        }
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.promises")
    parser.add_argument("--events", type=int, default=300_000 if report.fast() else 10_000_000)
    parser.add_argument("--slices", type=int, default=3 if report.fast() else 20)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
