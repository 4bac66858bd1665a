"""The steps of the replay job, each usable alone: build ─► train ─► evaluate ─► release; and what they say on the way."""

import hashlib
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from models import engine, release
from models.release import Card, Release
from models.replay import archive, retained, source
from models.replay.dataset import PURCHASE, Sequences, build
from models.replay.evaluate import evaluate
from models.replay.matured import matured
from models.replay.predicted import Predicted, offline
from models.replay.redemption import Redemption, mailings
from models.replay.report import Report
from models.replay.rule import Bounds
from models.replay.source import Interval, SourceProblem, iso
from schemas import avro
from schemas.settings import Settings

Say = Callable[[str], None]
Offsets = dict[int, tuple[int, int]]

POPULAR = 20  # items per category that a release keeps as candidates for re-ranked lists


@dataclass(frozen=True)
class Job:
    """One run. interval: events read. train_until (ms): what is learnt from lies before it, what is scored from it on.

    topics: read what Kafka retains instead of the archive. share: of the shoppers, None = all. offsets: exactly these,
    by partition, instead of the interval's start (topics only).
    """

    settings: Settings
    interval: Interval
    train_until: int
    seed: int = 0
    topics: bool = False
    fast: bool = False
    share: float | None = None
    offsets: Offsets | None = None
    run_id: str = field(default_factory=lambda: f"{int(time.time())}")
    say: Say = print
    said: dict[str, Predicted] = field(default_factory=dict, repr=False)  # by release id

    @property
    def learnt(self) -> Interval:
        return Interval(self.interval.start, self.train_until)

    @property
    def scored(self) -> Interval:
        return Interval(self.train_until, self.interval.stop)

    def build(self, keep_ids: bool = False) -> Sequences:
        """Reads the interval and groups it by shopper."""
        with self._step(
            f"build: events of {self.interval}, from the {'topic' if self.topics else 'archive'}"
        ):
            dropped: Counter[str] = Counter()
            batches = self._batches(dropped)
            limits = source.bounds(self.settings)
            events = source.usable(batches, limits, self.interval, dropped)
            sequences = build(events, self.settings.ring_events, dropped, keep_ids)
            if self.share is not None:
                sequences = sequences.share(self.share, self.seed)
        self.say(
            f"  {len(sequences):,} events of {len(sequences.users):,} shoppers{_set_aside(sequences.dropped)}"
        )
        return sequences

    def train(self, sequences: Sequences) -> Release:
        """Trains and writes a release under releases_uri, its metrics still empty of an evaluation."""
        return self._write(self._trained(sequences), {})

    def run(self, sequences: Sequences) -> tuple[Release, Report]:
        """Trains, evaluates what was trained on the time after, and writes the release with its metrics."""
        card, weights = self._trained(sequences)
        with tempfile.TemporaryDirectory() as folder:
            drafted = release.write(folder, card, weights)
            report, redemption = self.evaluate(sequences, drafted)
            said = self._predicted(sequences, drafted)
        metrics = {**card.metrics, "evaluation": report.to_json()}
        rows = matured(sequences, [said], self.settings.judged_task, self.scored)
        bounds = Bounds.of(rows, self.settings)
        if bounds is not None:
            metrics["bounds"] = bounds.to_json()
        if redemption is not None:
            metrics["redemption"] = redemption.to_json()
        return self._write((card, weights), metrics), report

    def evaluate(self, sequences: Sequences, of: Release) -> tuple[Report, Redemption | None]:
        """Scores the whole history with the release and holds what it says of `scored` against what happened."""
        with self._step(f"evaluate: {of.id} on {self.scored}"):
            predicted = self._predicted(sequences, of)
            redemption = Redemption.fit(
                mailings(sequences).within(self.learnt.start, self.learnt.stop), predicted
            )
            report = evaluate(sequences, predicted, self.learnt, self.scored, redemption)
        return report, redemption

    def _predicted(self, sequences: Sequences, of: Release) -> Predicted:
        if of.id not in self.said:
            backend = engine.load(of.uri, "onnx", "cpu", self.settings.engine_threads)
            self.said[of.id] = offline(sequences, backend, of.card.features, self.interval.start)
        return self.said[of.id]

    def _trained(self, sequences: Sequences) -> tuple[Card, Any]:
        from models.replay.train import Epoch, Recipe, train

        recipe = Recipe().fast() if self.fast else Recipe()

        def tell(epoch: Epoch) -> None:
            self.say(
                f"  epoch {epoch.number}/{recipe.epochs}: loss {epoch.train_loss:.4f}, on held-out shoppers "
                f"{epoch.held_out_loss:.4f}, {epoch.seconds:.0f} s"
            )

        with self._step(f"train: on {self.learnt}, seed {self.seed}"):
            trained = train(sequences, self.train_until, recipe, self.seed, tell)
        card = Card(
            model=self.settings.model_name,
            categories=trained.words.names,
            popular=popular(sequences.before(self.train_until), set(trained.words.names)),
            metrics={"epochs": [epoch._asdict() for epoch in trained.epochs]},
            data_from=iso(self.learnt.start),
            data_until=iso(self.learnt.stop),
            seed=self.seed,
            git_revision=git_revision(),
            schema_fingerprint=schema_fingerprint(),
            features=recipe.features,
            architecture=trained.architecture,
            calibration=trained.calibration,
        )
        return card, trained.weights

    def _write(self, trained: tuple[Card, Any], metrics: dict[str, Any]) -> Release:
        card, weights = trained
        written = release.write(
            self.settings.releases_uri, replace(card, metrics={**card.metrics, **metrics}), weights
        )
        self.say(f"release {written.id} in {written.uri}")
        return written

    def _batches(self, dropped: Counter[str]) -> Iterator[source.Batch]:
        if self.topics:
            return retained.read_events(self.settings, self.interval, self.run_id, dropped, self.offsets)
        return archive.read_events(self.settings, self.interval)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        self.say(what)
        begun = time.monotonic()
        yield
        self.say(f"  done in {time.monotonic() - begun:.1f} s")


def check_split(interval: Interval, train_until: int) -> None:
    """SourceProblem unless something is left to learn from and to score."""
    if not interval.start < train_until < interval.stop:
        raise SourceProblem(
            f"--train-until {iso(train_until)} must lie within {interval}: "
            "what comes before is learnt from, the rest is scored"
        )


def popular(sequences: Sequences, categories: set[str]) -> dict[str, tuple[str, ...]]:
    """Item ids bought most often, per category of the vocabulary, best first."""
    events = sequences.events
    bought = events[(events["type"] == PURCHASE) & (events["category"] != 0) & (events["item"] != 0)]
    pairs, counts = np.unique(
        (bought["category"].astype(np.uint64) << np.uint64(32)) | bought["item"], return_counts=True
    )
    best: dict[str, list[str]] = {}
    for pair in pairs[np.argsort(-counts, kind="stable")].tolist():
        category = sequences.category_names[pair >> 32]
        items = best.setdefault(category, [])
        if category in categories and len(items) < POPULAR:
            items.append(sequences.item_names[pair & 0xFFFFFFFF])
    return {category: tuple(items) for category, items in sorted(best.items()) if items}


def schema_fingerprint() -> str:
    """16 hex digits over the canonical form of the BehaviorEvent schema that events are read with."""
    form = json.dumps(avro.canonical(avro.parse(avro.current("behavior_event"))), sort_keys=True)
    return hashlib.sha256(form.encode()).hexdigest()[:16]


def git_revision() -> str:
    """Revision of the code that trains, "unknown" outside a repository; "+" behind it when files differ from it."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _set_aside(dropped: Counter[str]) -> str:
    counts = {reason: count for reason, count in sorted(dropped.items()) if count}
    return (
        f"; set aside: {', '.join(f'{reason} {count:,}' for reason, count in counts.items())}"
        if counts
        else ""
    )
