"""A whole campaign: the scenarios that need a shop of their own, then the mixture in one shop, and what came of it all."""

from __future__ import annotations

import collections
import random
import sys
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import plan
from tests.faults.compare import Findings
from tests.faults.events import known
from tests.faults.harms import HARMS, Impossible
from tests.faults.run import Book, Run, Site, undisturbed
from tests.faults.scenarios import HEAVY, SCENARIOS
from tests.faults.stage import Stage

RATE = 150.0  # events per second
SHORT_EVENTS, FULL_EVENTS = 100_000, 500_000  # more than are sent: the stream ends with the last harm
ANOTHER = "data folder of another cluster"
PAST = slice(5_000, 6_500)  # events of the deployment whose disk turns up in another


@dataclass
class Outcome:
    """What was done and what was found."""

    seed: int
    source: str = ""
    minutes: float = 0.0
    done: collections.Counter[str] = field(default_factory=collections.Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    exits: collections.Counter[int] = field(default_factory=collections.Counter)
    findings: Findings = field(default_factory=Findings)

    @property
    def kills(self) -> int:
        return sum(count for name, count in self.done.items() if name.startswith("kill -9"))

    def figures(self) -> dict[str, Any]:
        """As the report has them."""
        return {
            "seed": self.seed,
            "events_from": self.source,
            "events": self.findings.compared["prediction"],
            "minutes": self.minutes,
            "harms": dict(sorted(self.done.items())),
            "worker_kills": self.kills,
            "worker_exits_by_code": {str(code): count for code, count in sorted(self.exits.items())},
            "compared": dict(self.findings.compared),
            "lost": len(self.findings.lost),
            "doubled": len(self.findings.doubled),
            "differing": len(self.findings.differing),
            **({"skipped": self.skipped} if self.skipped else {}),
            **({"failed": self.failed} if self.failed else {}),
        }


class Campaign:
    """Everything of one seed. only: names of harms and scenarios; empty: all (of the short form, the cheap ones)."""

    def __init__(self, folder: Path, seed: int, short: bool, only: list[str]) -> None:
        self._folder, self._rng, self._short = folder, random.Random(seed), short
        self._scenarios = [
            name for name in SCENARIOS if (name in only if only else not (short and name in HEAVY))
        ]
        self._harms = [name for name in plan.mixture(self._rng, short) if not only or name in only]
        self._begun = time.monotonic()
        self.outcome = Outcome(seed)

    def run(self) -> Outcome:
        self._say(
            f"seed {self.outcome.seed}: {len(self._harms)} harms in one shop, {len(self._scenarios)} in their own"
        )
        with Site(self._folder) as site:
            book = Book.make(self._folder, known(SHORT_EVENTS if self._short else FULL_EVENTS))
            self.outcome.source = book.known.source
            self._say(f"events from {book.known.source}")
            for names in self._together():
                self._side_by_side(names, site, book)
            if self._harms:
                self._mixture(site, book)
        self.outcome.minutes = round((time.monotonic() - self._begun) / 60, 1)
        return self.outcome

    def _together(self) -> list[list[str]]:
        """Scenarios that may run at the same time: those of one broker, which mostly wait; each of the others alone."""
        light = [name for name in self._scenarios if name not in HEAVY]
        return [light, *([name] for name in self._scenarios if name in HEAVY)]

    def _side_by_side(self, names: list[str], site: Site, book: Book) -> None:
        with ThreadPoolExecutor(max(1, len(names)), thread_name_prefix="scenario") as pool:
            under_way = []
            for name in names:
                stage = Stage(site, book, random.Random(self._rng.random()), self._say, RATE)
                under_way.append((name, pool.submit(SCENARIOS[name], stage)))
            for name, future in under_way:
                self._book(name, future)

    def _book(self, name: str, future: Future[Findings]) -> None:
        try:
            findings = future.result()
        except Exception:
            self._failed(name)
            return
        self.outcome.done[name] += 1
        self.outcome.findings.add(findings)
        self._say(f"{name}: {'as it should be' if findings.good else findings}")

    def _mixture(self, site: Site, book: Book) -> None:
        if ANOTHER in self._harms and site.past is None:
            past = undisturbed(site, "past", book, book.known.records[PAST])
            site.past = (past.stores, past.topics.behavior_events)
        run = Run(site, "mixed", book, self._rng, RATE, self._say)
        try:
            with run:
                run.progress()
                for at, name in enumerate(self._harms, 1):
                    self._harm(run, name, f"{at}/{len(self._harms)}")
            reference = undisturbed(site, "calm", book, run.records[: run.sent])
            findings = run.verdict(reference)
        except Exception:
            self._failed("the mixture")
            return
        self.outcome.exits += run.workers.exits
        self.outcome.findings.add(findings)
        self._say(f"mixture of {run.sent:,} events: {'as it should be' if findings.good else findings}")

    def _harm(self, run: Run, name: str, place: str) -> None:
        begun = time.monotonic()
        try:
            HARMS[name](run)
        except Impossible as missing:
            self.outcome.skipped[name] = str(missing)
            self._say(f"{place} {name}: skipped, {missing}")
            return
        except Exception:
            self._failed(name)
            run.progress()  # a shop that no longer stands makes every further harm fail: the mixture ends here
            return
        self.outcome.done[name] += 1
        self._say(f"{place} {name} ({time.monotonic() - begun:.0f} s)")

    def _failed(self, name: str) -> None:
        problem = sys.exception()
        self.outcome.failed[name] = f"{type(problem).__name__}: {problem}".splitlines()[0]
        self._say(f"{name} FAILED\n{traceback.format_exc()}")

    def _say(self, line: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {line}", flush=True)
