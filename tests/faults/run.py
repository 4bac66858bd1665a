"""One run: events stream into a shop, harm is done to it, and in the end everything is compared.

with Site(folder) as site:                         broker and proxy
    run = Run(site, "mixed", known, …)
    with run: …harms…
    findings = run.verdict()
"""

from __future__ import annotations

import collections
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from models.release import Release
from schemas.settings import Settings
from streams.policy import Policy
from tests.brokers.kafka import Kafka
from tests.brokers.process import free_ports
from tests.faults import compare, deployment
from tests.faults.compare import Findings
from tests.faults.events import Known, Record
from tests.faults.proxy import Proxy, listeners
from tests.faults.shop import Raw, Shop, Stream, until
from tests.faults.state import Changelogs
from tests.faults.truth import Judge, Truth
from tests.faults.workers import Supervisor

SESSION_S = 3.0  # a killed worker's partitions wait this long
CHECKPOINT_S = 2.0
PROGRESS_S = 180.0  # long, for a busy machine: it says only how soon a failure is told
SETTINGS: dict[str, Any] = {
    "session_timeout_s": SESSION_S,
    "checkpoint_interval_s": CHECKPOINT_S,
    "batch_records": 64,  # many batches, so that harm meets every stage of one
    "hot_rows": 640,  # a few hundred shoppers in memory: rows are evicted and read again all the time
    "write_buffer_bytes": 256 * 1024,  # so RocksDB has files to damage
    "event_max_age_days": 36_500,
}
BROKER = {
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "log.cleaner.backoff.ms": "1000",
}


class Site:
    """A Kafka node with a proxied listener, and the folder of everything. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Kafka(properties=BROKER, brief=True)
        behind, front = free_ports(2)
        self.broker._extra.update(listeners(self.broker.port, behind, self.broker.controller_port, front))
        self.proxy = Proxy(front, behind)
        self.outside = f"127.0.0.1:{front}"
        self.past: tuple[Path, str] | None = None  # stores of a shop that is done, and its source topic

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.broker)
            stack.enter_context(self.proxy)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def shop(self, name: str, **changes: Any) -> Shop:
        """A shop of its own topics, release folder and consumer group."""
        return self._shop(name, self.broker.bootstrap, **changes)

    def _shop(self, name: str, bootstrap: str, **changes: Any) -> Shop:
        return Shop(name, bootstrap, self.outside, self.folder, **{**SETTINGS, **changes})


@dataclass(frozen=True)
class Book:
    """What all runs of a session share: the known events, the release, and a policy made for them."""

    known: Known
    release: Release
    policy: Policy

    @classmethod
    def make(cls, folder: Path, known: Known) -> Book:
        release = deployment.release(folder, known)
        settings = Settings(partitions=1, event_max_age_days=SETTINGS["event_max_age_days"])
        judge, now = Judge(settings, release), int(time.time() * 1000)
        log = [Raw(0, at, now, record.key, record.value) for at, record in enumerate(known.records)]
        return cls(known, release, deployment.policy(judge, judge.truth(log)))


class Run:
    """A shop under load with a supervisor over its workers. Entering starts the load and one worker."""

    def __init__(
        self,
        site: Site,
        name: str,
        book: Book,
        rng: random.Random,
        rate: float,
        say: Callable[[str], None],
        records: Sequence[Record] | None = None,
        spoiled: dict[str, float] | None = None,
        **variables: str,
    ) -> None:
        self.site, self.name, self.book, self.rng, self.say = site, name, book, rng, say
        self.shop = site.shop(name)
        self.shop.open(book.release, book.policy)
        self.judge = Judge(self.shop.settings, book.release, spoiled)
        self.records = list(book.known.records if records is None else records)
        self.workers = Supervisor(self.shop.outside, self.shop.folder, **variables)
        self.stream = Stream(self.shop, self.records, rate)
        self.sent = 0
        self.done: collections.Counter[str] = collections.Counter()  # harms, by kind
        self.skipped: dict[str, str] = {}  # harms that this machine does not allow, and why

    def __enter__(self) -> Self:
        self.workers.__enter__()
        self.workers.scale(1)
        self.stream.start()
        return self

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        """Stop sending, let the workers catch up, stop them."""
        try:
            if kind is None:
                self.sent = self.stream.end()
                self.catch_up()
                if (codes := self.workers.stop()) != [0] * len(codes):
                    raise RuntimeError(f"workers did not end well: {codes}\n{self.workers.tail()}")
        finally:
            self.workers.__exit__()

    def catch_up(self) -> None:
        """Wait until everything sent is committed."""
        self.workers.scale(1)
        caught_up(self.shop, self.workers)

    def progress(self, seconds: float = PROGRESS_S) -> None:
        """Wait until more than now is committed in every partition: the workers stand again."""
        before = self.shop.committed()
        if not self.stream.is_alive():
            raise RuntimeError(
                f"all {len(self.records):,} events are sent: give the run more, or send them more slowly"
            )
        until(
            lambda: all(offset > before[number] for number, offset in self.shop.committed().items()),
            lambda: (
                f"progress of run {self.name} from {before}: {self.shop.committed()}\n{self.workers.tail()}"
            ),
            seconds,
        )

    def pause(self, low: float, high: float) -> None:
        """A random time."""
        time.sleep(self.rng.uniform(low, high))

    def verdict(self, reference: Shop) -> Findings:
        """Everything that this run committed, against the undisturbed run and against the log alone."""
        log = self.shop.read(self.shop.topics.behavior_events)
        truth = self.judge.truth(log)
        findings = predictions_and_letters(self.shop, truth)
        for kind in ("decision", "intervention"):
            name = f"{kind}_id"
            got, want = self.shop.rows(kind), reference.rows(kind)
            findings.add(compare.records(kind, got, want, lambda row, name=name: row[name]))
        findings.add(contacts(self.shop, reference))
        findings.add(rows(self, truth, log))
        return findings


def undisturbed(site: Site, name: str, book: Book, records: Sequence[Record], **variables: str) -> Shop:
    """The reference: one worker that nothing happens to, on topics of its own with the same events."""
    shop = site.shop(name)
    shop.open(book.release, book.policy)
    shop.send(records)
    with Supervisor(shop.settings, shop.folder, slots=1, **variables) as workers:
        workers.scale(1)
        caught_up(shop, workers)
        if workers.stop() != [0]:
            raise RuntimeError(f"the undisturbed worker did not end well:\n{workers.tail()}")
    return shop


def caught_up(shop: Shop, workers: Supervisor) -> None:
    """Wait until everything sent is committed. Raises TimeoutError when for PROGRESS_S nothing more is."""
    left = shop.lag()
    while left:
        until(
            lambda before=left: shop.lag() < before,
            lambda before=left: (
                f"fewer than {before} events to do in {shop.topics.behavior_events}\n{workers.tail()}"
            ),
            PROGRESS_S,
        )
        left = shop.lag()


def predictions_and_letters(shop: Shop, truth: Truth) -> Findings:
    """One prediction for each event that deserves one, dead letters for exactly the others."""
    findings = compare.once(
        "prediction", (row["event_id"] for row in shop.rows("prediction")), truth.predicted
    )
    letters = [(row["partition"], row["offset"], row["reason"]) for row in shop.rows("dead_letter")]
    findings.add(compare.once("dead letter", map(str, letters), map(str, truth.dead)))
    return findings


def contacts(shop: Shop, reference: Shop) -> Findings:
    """The last contact of every shopper, exactly."""
    got, want = (list(Changelogs(one).contacts().values()) for one in (shop, reference))
    return compare.records("contact", got, want, lambda row: row["user_id"])


def rows(run: Run, truth: Truth, log: Sequence[Raw]) -> Findings:
    """Rows as the next owner of each partition would have them: from the changelog on an empty disk, and from the disk
    of the last worker read on; both with redo. The contacts of both disks are the same."""
    findings = Findings()
    changelogs = Changelogs(run.shop)
    for number, wanted in truth.rows.items():
        users = sorted(wanted)
        empty = changelogs.on_empty_disk(number)
        disks = {
            "empty disk": empty,
            "last disk": changelogs.on_disk(run.workers.slots[0].stores, number, users),
        }
        for name, kept in disks.items():
            found = run.judge.recovered(log, number, kept.sequences, kept.redo)
            findings.add(compare.rows(f"row ({name})", found, wanted))
        findings.add(compare.contents("contact (last disk)", disks["last disk"].contacts, empty.contacts))
    return findings
