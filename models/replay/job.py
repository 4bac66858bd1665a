"""The steps of the replay job, each usable alone: build ─► train ─► evaluate ─► release; and what they say on the way."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from models import engine, release
from models.drift import reference
from models.evaluation.leakage import Check
from models.evaluation.report import Report
from models.featurizer import FeatureSpec
from models.records import Record
from models.release import Card, Release
from models.replay import archive, leaks, retained, source
from models.replay.card import git_revision, popular, schema_fingerprint
from models.replay.dataset import Sequences, build
from models.replay.evaluate import Answers, Choices, answers, judged
from models.replay.machines import Machines
from models.replay.matured import matured
from models.replay.predicted import Predicted, offline
from models.replay.redemption import Redemption, mailings
from models.replay.rule import Bounds
from models.replay.shards import Chosen, Shards
from models.replay.source import Interval, SourceProblem, iso
from models.replay.splits import Part, Split, by_fold, by_time, by_user
from schemas.settings import Settings

if TYPE_CHECKING:
    from models.replay.train import Epoch, Recipe

Say = Callable[[str], None]
Offsets = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Job:
    """One run. interval: events read. train_until (ms): what is learnt from lies before it, what is scored from it on.

    topics: read what Kafka retains instead of the archive. share: of the shoppers, None = all. offsets: exactly these,
    by partition, instead of the interval's start (topics only). split: see models/replay/splits.py; by user and by fold
    the whole interval is both learnt from and scored, and train_until is its end. threshold: None = the best F1 before
    what is scored. recipe: instead of the default one. record: where the run is recorded. warm: the release whose weights
    training goes on from; teacher: the one whose scores it learns from, too. machines: what the training set may take, and
    who trains on it.
    """

    settings: Settings
    interval: Interval
    train_until: int
    seed: int = 0
    topics: bool = False
    fast: bool = False
    share: float | None = None
    offsets: Offsets | None = None
    split: str = "time"
    folds: int = 5
    threshold: float | None = None
    check_leakage: bool = False
    recipe: "Recipe | None" = None
    record: Record = field(default_factory=Record)
    warm: Release | None = None
    teacher: Release | None = None
    machines: Machines = field(default_factory=Machines)
    run_id: str = field(default_factory=lambda: f"{int(time.time())}")
    say: Say = print
    said: dict[str, Predicted] = field(default_factory=dict, repr=False)  # by release id

    @property
    def learnt(self) -> Interval:
        return Interval(self.interval.start, self.train_until)

    @property
    def scored(self) -> Interval:
        """What is scored in the split by time."""
        return Interval(self.train_until, self.interval.stop)

    def parts(self, sequences: Sequences) -> Split:
        """What is learnt from and what is scored, by time or by user."""
        if self.split == "user":
            return by_user(sequences.users, self.interval, self.seed)
        return by_time(self.learnt, self.scored)

    @contextmanager
    def opened(self, for_each_worker: bool = True) -> Iterator[Sequences | Shards]:
        """The training set: in memory, or as shards on disk that go again, one for each worker at least."""
        if self.topics or self.split != "time":
            self.machines.refuse("--topics" if self.topics else f"--split {self.split}")
        with self.machines.connected():
            count = self.machines.shards(self.settings, self.interval, for_each_worker)
            if not count:
                yield self.build()
                return
            with self.machines.opened(self.settings, self.run_id) as uri:
                yield self.shards(count, uri)

    def build(self, keep_ids: bool = False) -> Sequences:
        """Reads the interval and groups it by shopper."""
        with self._step(f"build: events of {self.interval}, from the {self._source}"):
            dropped: Counter[str] = Counter()
            sequences = build(self._usable(dropped), self.settings.ring_events, dropped, keep_ids)
            if self.share is not None:
                sequences = sequences.share(self.share, self.seed)
        self._said_of(len(sequences), len(sequences.users), sequences.dropped)
        return sequences

    def shards(self, count: int, uri: str) -> Shards:
        """Reads the interval into so many shards in a folder, one of them in memory at a time."""
        with self._step(f"build: events of {self.interval}, from the archive, in {count} shards"):
            chosen = Chosen(self.share, self.seed)
            found = self.machines.write(self.settings, self.interval, count, uri, chosen)
        self._said_of(found.events, found.shoppers, found.dropped)
        return found

    def train(self, events: Sequences | Shards) -> Release:
        """Trains and writes a release under releases_uri, its metrics still empty of an evaluation."""
        trained = self._trained(events, self._learners(events))
        with self._drafted(trained) as drafted:
            beside, fitted = self._beside(sample(events), drafted)
        return self._write(trained, fitted, beside)

    def run(self, events: Sequences | Shards) -> tuple[Release, Report]:
        """Trains, evaluates what was trained on what it has not seen, and writes the release with its metrics.

        By fold it is the way of training that is evaluated; the release then learns from all shoppers. Of shards all are
        learnt from, and the first is evaluated on: a random share of the shoppers.
        """
        sequences = sample(events)
        report = self.cross_validate(sequences) if self.split == "kfold" else None
        trained = self._trained(events, self._learners(events))
        if sequences is not events:
            self.say(f"evaluated on one shard of {len(events)}: {len(sequences.users):,} shoppers, by chance")
        with self._drafted(trained) as drafted:
            if report is None:
                report, redemption = self.evaluate(sequences, drafted)
            else:
                predicted = self._predicted(sequences, drafted)
                redemption = self._redemption(sequences, predicted, Part(self.interval))
                report = replace(report, epochs=tuple(drafted.card.metrics["epochs"]))
            bounds = self._bounds(sequences, drafted)
            beside, fitted = self._beside(sequences, drafted)
        metrics = {"evaluation": report.to_json(), **fitted}
        if bounds is not None:
            metrics["bounds"] = bounds.to_json()
        self.record.figures(report.to_json()["tasks"])
        if redemption is not None:
            metrics["redemption"] = redemption.to_json()
        written = self._write(trained, metrics, beside)
        return written, replace(report, of=written.id)

    def evaluate(self, sequences: Sequences, of: Release) -> tuple[Report, Redemption | None]:
        """Scores the whole history with the release and holds what it says of the scored part against what happened."""
        self._check_unseen(of)
        split = self.parts(sequences)
        checks = self._checked(sequences, split, of.card.features)
        with self._step(f"evaluate: {of.id} on {split.score.interval}"):
            found, redemption = self._asked(sequences, of, split)
            report = judged([found], split)
        epochs = tuple(of.card.metrics.get("epochs", ()))
        return replace(report, of=of.id, epochs=epochs, leakage=checks), redemption

    def cross_validate(self, sequences: Sequences) -> Report:
        """Trains a model per fold, each scored on shoppers that it has not seen; one report over all shoppers."""
        found: list[Answers] = []
        splits = list(by_fold(sequences.users, self.interval, self.folds, self.seed))
        checks = self._checked(sequences, splits[0], FeatureSpec())
        for split in splits:
            self.say(split.about)
            with self._drafted(self._trained(sequences, split)) as drafted:
                found.append(self._asked(sequences, drafted, split)[0])
        with self._step("judge all folds"):
            report = judged(found, splits[-1])
        return replace(report, of=f"{self.settings.model_name}, {self.folds} folds", leakage=checks)

    def _asked(self, sequences: Sequences, of: Release, split: Split) -> tuple[Answers, Redemption | None]:
        predicted = self._predicted(sequences, of)
        redemption = self._redemption(sequences, predicted, split.learn)
        choices = Choices(self.threshold, of.card.calibration, of.card.features)
        return answers(sequences, predicted, split, redemption, choices), redemption

    def _bounds(self, sequences: Sequences, drafted: Release) -> Bounds | None:
        """What the live figures of the release may not fall below, from the time after what it learnt."""
        if self.split != "time":
            return None
        said = self._predicted(sequences, drafted)
        return Bounds.of(matured(sequences, [said], self.settings.judged_task, self.scored), self.settings)

    def _redemption(self, sequences: Sequences, predicted: Predicted, part: Part) -> Redemption | None:
        found = mailings(sequences).within(part.interval.start, part.interval.stop)
        return Redemption.fit(found.rows(part.of(found.shopper)), predicted)

    def _checked(self, sequences: Sequences, split: Split, spec: FeatureSpec) -> tuple[Check, ...]:
        if not self.check_leakage:
            return ()
        with self._step("check for leakage"):
            return leaks.check(sequences, split, spec)

    def _check_unseen(self, of: Release) -> None:
        """SourceProblem when the release has learnt from what is to be scored."""
        told = of.card.metrics.get("split", {"kind": "time"})
        wanted = _split_of(self)
        if self.split == "user" and told != wanted:
            raise SourceProblem(
                f"{of.id} was trained with split {told}, not {wanted}: it may have learnt from the shoppers that would be "
                "scored; train one with `intentflow replay run --split user`, or score it by time"
            )
        if self.split == "time" and of.card.data_until > iso(self.train_until):
            raise SourceProblem(
                f"{of.id} learnt from events until {of.card.data_until}: scoring from {iso(self.train_until)} on would score "
                "what it has seen; set --train-until to that time or later, or choose an older release"
            )

    @contextmanager
    def _drafted(self, trained: tuple[Card, Any]) -> Iterator[Release]:
        """What was trained as a release in a folder that goes again."""
        with tempfile.TemporaryDirectory() as folder:
            yield release.write(folder, *trained)

    def _learners(self, events: Sequences | Shards) -> Split | None:
        """The split whose learners and tuners are trained on; None = everybody."""
        return self.parts(sample(events)) if self.split == "user" else None

    def _predicted(self, sequences: Sequences, of: Release) -> Predicted:
        if of.id not in self.said:
            backend = engine.load(of.uri, "onnx", "cpu", self.settings.engine_threads)
            self.said[of.id] = offline(sequences, backend, of.card.features, self.interval.start)
        return self.said[of.id]

    def chosen(self) -> "Recipe":
        """How to train: the recipe given, or the default one."""
        from models.replay.train import Recipe

        recipe = self.recipe or Recipe()
        return recipe.fast() if self.fast else recipe

    def _trained(self, everyone: Sequences | Shards, split: Split | None) -> tuple[Card, Any]:
        from models.replay.train import train

        recipe = self.chosen()
        self.record.parameters(
            {
                "recipe": asdict(recipe),
                "seed": self.seed,
                "learnt": str(self.learnt),
                "warm": self.warm.id if self.warm else "",
            }
        )

        def tell(epoch: "Epoch") -> None:
            self.record.epoch(epoch)
            self.say(
                f"  epoch {epoch.number}/{recipe.epochs}: loss {epoch.train_loss:.4f}, on held-out shoppers "
                f"{epoch.held_out_loss:.4f}, {epoch.seconds:.0f} s"
            )

        scale: dict[str, Any] = {}
        if isinstance(everyone, Shards):
            if self.teacher is not None:
                raise SourceProblem(
                    "--teacher teaches in one process: leave --memory-mib and --ray out, or train the student without it"
                )
            parts: Iterable[Sequences] = everyone
            with self._step(
                f"train: on {self.learnt}, {everyone.shoppers:,} shoppers in {len(everyone)} shards, seed {self.seed}"
            ):
                trained, nodes = self.machines.train(
                    everyone, self.train_until, recipe, self.seed, tell, self.warm
                )
            scale = {"scale": {"shards": len(everyone), "built_by": everyone.nodes, "trained_by": nodes}}
        else:
            learners, held = _learners(everyone, split)
            parts = [learners]
            with self._step(f"train: on {self.learnt}, {len(learners.users):,} shoppers, seed {self.seed}"):
                trained = train(
                    learners, self.train_until, recipe, self.seed, tell, held, self.warm, self.teacher
                )
        card = Card(
            model=self.settings.model_name,
            categories=trained.words.names,
            popular=popular((part.before(self.train_until) for part in parts), set(trained.words.names)),
            metrics={
                "epochs": [epoch._asdict() for epoch in trained.epochs],
                "split": _split_of(self),
                **({"warm_from": self.warm.id} if self.warm else {}),
                **scale,
            },
            data_from=iso(self.learnt.start),
            data_until=iso(self.learnt.stop),
            seed=self.seed,
            git_revision=git_revision(),
            schema_fingerprint=schema_fingerprint(),
            features=recipe.features,
            architecture=trained.architecture,
            calibration=trained.calibration,
            tasks=trained.tasks,
        )
        return card, trained.weights

    def _beside(self, sequences: Sequences, drafted: Release) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The release's files beside its weights, and what its card says of them."""
        backend = engine.load(drafted.uri, "onnx", "cpu", self.settings.engine_threads)
        with self._step("reference: distributions of features and scores"):
            learnt = sequences.before(self.train_until)
            found = reference.sample(learnt, backend, drafted.card.features, reference.window(self.learnt))
            files = {reference.REFERENCE_FILE: reference.to_json(reference.describe(found, backend.tasks))}
        items, said = self._next_item(sequences, drafted, backend)
        return files | items, said

    def _next_item(
        self, sequences: Sequences, drafted: Release, backend: engine.Engine
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The files of the next-item head, and what it reached; nothing where there is nothing to learn it from."""
        size = self.chosen().items
        if not size:
            return {}, {}
        from models.replay.item_fit import fit

        split = self.parts(sequences) if self.split == "user" else None
        learners = _learners(sequences, split)[0].before(self.train_until)
        with self._step("next-item head: which items come next"):
            found = fit(learners, backend, drafted.card.features, size, self.settings.ring_events, self.seed)
            if found is None:
                self.say("  none: too few events name an item; lists take popular items of likely categories")
                return {}, {}
            head, said = found
            self.say(f"  {len(head.items):,} items, on held-out shoppers loss {said['held_out_loss']:.3f}")
        return head.to_bytes(drafted.weights_sha256), {"next_item": said}

    def _write(self, trained: tuple[Card, Any], metrics: dict[str, Any], beside: dict[str, bytes]) -> Release:
        card, weights = trained
        card = replace(card, metrics={**card.metrics, **metrics})
        written = release.write(self.settings.releases_uri, card, weights, beside=beside)
        self.record.release(written)
        self.say(f"release {written.id} in {written.uri}")
        return written

    @property
    def _source(self) -> str:
        return "topic" if self.topics else "archive"

    def _usable(self, dropped: Counter[str]) -> Iterator[source.Batch]:
        if self.topics:
            found = retained.read_events(self.settings, self.interval, self.run_id, dropped, self.offsets)
        else:
            found = archive.read_events(self.settings, self.interval)
        return source.usable(found, source.bounds(self.settings), self.interval, dropped)

    def _said_of(self, events: int, shoppers: int, dropped: Counter[str]) -> None:
        self.say(f"  {events:,} events of {shoppers:,} shoppers{_set_aside(dropped)}")

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


def _split_of(job: Job) -> dict[str, Any]:
    return {"kind": job.split, "seed": job.seed} if job.split == "user" else {"kind": "time"}


def _learners(everyone: Sequences, split: Split | None) -> tuple[Sequences, list[Any] | None]:
    """Who is learnt from, and which of them, bool (U,), only stop and calibrate it; None = by chance."""
    if split is None or split.tune.shoppers is None or split.score.shoppers is None:
        return everyone, None
    learners = ~split.score.shoppers
    return everyone.only(learners), [split.tune.shoppers[learners]]


def sample(events: Sequences | Shards) -> Sequences:
    """What is looked at in memory: all, or of shards the first, a random share of the shoppers."""
    return events if isinstance(events, Sequences) else events[0]


def _set_aside(dropped: Counter[str]) -> str:
    counts = {reason: count for reason, count in sorted(dropped.items()) if count}
    return (
        f"; set aside: {', '.join(f'{reason} {count:,}' for reason, count in counts.items())}"
        if counts
        else ""
    )
