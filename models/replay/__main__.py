"""The replay job's command line: `intentflow replay …`, or `python -m models.replay …`."""

import argparse
import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from models import promotion
from models.evaluation.report import DATA, Report
from models.records import recording
from models.release import Release, ReleaseProblem
from models.replay import drift, explain, recipes, retrain, search
from models.replay.backfill import backfill
from models.replay.dataset import Sequences
from models.replay.evidence import permit
from models.replay.job import Job, check_split, sample
from models.replay.machines import Machines
from models.replay.recipes import RecipeProblem
from models.replay.shards import Shards
from models.replay.source import Interval, SourceProblem, moment
from models.replay.splits import KINDS
from models.search.space import SpaceProblem
from models.search.study import SearchProblem
from schemas.kafka import BrokerAway, BrokerRefuses
from schemas.settings import Settings, SettingsError

DAY_MS = int(timedelta(days=1).total_seconds() * 1000)
HISTORY_DAYS = 365
WIDTH = 160  # columns, where the output is no terminal
RECORDED = ("train", "run", "search")
# Problems whose message is meant for the user.
WORDED = (
    SettingsError,
    SourceProblem,
    ReleaseProblem,
    BrokerAway,
    BrokerRefuses,
    RecipeProblem,
    SpaceProblem,
    SearchProblem,
)
EXAMPLES = """examples:
  intentflow replay run --from 2017-01-01 --train-until 2017-08-01 --to 2017-10-01 --promote
      learn from January to July, evaluate on August and September, write a release and have workers use it
  intentflow replay evaluate --from 2017-01-01 --train-until 2017-08-01 --to 2017-10-01 --release ID
      the same report for a release that is there
  intentflow replay run --from 2017-01-01 --to 2017-10-01 --split kfold --folds 5 --check-leakage
      five models, each scored on shoppers that it has not seen, and a release that learnt from all of them
  intentflow replay search --from 2017-01-01 --to 2017-08-01 --space space.yaml --study first --minutes 60
      try recipes for an hour; the same line goes on where it was; the best is written to a file for --recipe
  intentflow replay run --from 2017-01-01 --train-until 2017-08-01 --to 2017-10-01 --ray head:6379 --memory-mib 4000
      the same on a Ray cluster: every machine builds and trains, with at most 4 GB of the training set in memory
  intentflow replay drift --from 2017-09-01 --to 2017-11-01
      is what the promoted release sees and says still what it saw and said in training?
  intentflow replay explain --from 2017-08-01 --to 2017-10-01 --task lapse_30d
      which inputs does the promoted release's quality rest on?
  intentflow replay retrain --every 1d --when-drift
      look every day, train when it has drifted, have workers use what is not worse
  intentflow replay backfill --from 2017-09-01 --to 2017-10-01 --id september
      score September again with the promoted release, into the topic predictions-backfill-september

Events come from the archive (INTENTFLOW_ARCHIVE_URI), or with --topics from what Kafka still retains."""


def parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    top = argparse.ArgumentParser(
        prog="intentflow replay",
        description="Trains, evaluates and releases models from archived or retained events. It can send nothing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, about in (
        ("build", "build the training set and say what is in it"),
        ("train", "build and train; writes a release without an evaluation"),
        ("evaluate", "hold a release's predictions against what happened, beside the baseline"),
        ("run", "build, train, evaluate and write the release"),
        ("backfill", "score an interval again, into a topic of its own"),
    ):
        verb = verbs.add_parser(name, help=about, description=about)
        _interval(verb, split=name not in ("build", "backfill"))
        if name in ("build", "train", "run"):
            _large(verb)
        if name in ("train", "evaluate", "run"):
            _apart(verb, ("time", "user") if name == "train" else KINDS)
        if name in ("evaluate", "run"):
            _judging(verb)
        if name in ("train", "run"):
            verb.add_argument(
                "--promote",
                action="store_true",
                help="have workers use the release, if it is better than theirs",
            )
            verb.add_argument(
                "--force", metavar="WHY", help="with --promote: without evidence; kept in the record"
            )
            verb.add_argument("--fast", action="store_true", help="the recipe for few shoppers")
            verb.add_argument("--recipe", metavar="FILE", help="how to train, as `replay search` writes it")
            verb.add_argument("--warm", metavar="RELEASE", help="go on from the weights of this release")
            verb.add_argument(
                "--teacher", metavar="RELEASE", help="learn from the scores of this release, too"
            )
        if name in ("evaluate", "backfill"):
            _of_release(verb, history=name == "backfill")
        if name == "backfill":
            verb.add_argument("--id", required=True, help="names the topic predictions-backfill-<id>")
    searched = search.add(verbs)
    _interval(searched, split=False)
    _large(searched)
    for looked_at in (drift.add(verbs), explain.add(verbs)):
        _interval(looked_at, split=False)
        _of_release(looked_at, history=True)
    retrain.add(verbs)
    return top


def _of_release(verb: argparse.ArgumentParser, history: bool) -> None:
    verb.add_argument("--release", help="id of the release; default: the promoted one")
    if history:
        verb.add_argument(
            "--state-from",
            help=f"begin of the history that builds state; default: {HISTORY_DAYS} days before",
        )


def _interval(verb: argparse.ArgumentParser, split: bool) -> None:
    verb.add_argument(
        "--from", dest="start", required=True, help="event time of the first event, ISO date or time (UTC)"
    )
    verb.add_argument("--to", dest="stop", required=True, help="event time behind the last event")
    if split:
        verb.add_argument(
            "--train-until", help="split by time: learn from before this time, evaluate from then on"
        )
    verb.add_argument("--topics", action="store_true", help="read what Kafka retains instead of the archive")
    verb.add_argument(
        "--offsets",
        nargs="+",
        metavar="PARTITION:FIRST-STOP",
        help="with --topics: exactly these offsets, STOP not included, cut to the interval; default: by time",
    )
    verb.add_argument("--share", type=float, help="only this fraction of the shoppers")
    verb.add_argument("--seed", type=int, default=0, help="same seed, same result on a CPU (default 0)")


def _large(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--memory-mib",
        type=float,
        metavar="MIB",
        help="most memory for the training set: a larger one is kept on disk, in shards of that size",
    )
    verb.add_argument(
        "--shards",
        metavar="FOLDER",
        help="where shards are kept meanwhile; default: a temporary folder, with --ray one beside the archive",
    )
    verb.add_argument("--ray", metavar="ADDRESS", help="on this Ray cluster, host:port or `auto`")
    verb.add_argument(
        "--ray-workers",
        type=int,
        metavar="N",
        help="processes that train there, or trials at once; default: one per machine",
    )


def _apart(verb: argparse.ArgumentParser, kinds: tuple[str, ...]) -> None:
    about = "how what is scored is kept apart: by time (default); 70:15:15 by user"
    about += "; K folds by user, a model each" if "kfold" in kinds else ""
    verb.add_argument("--split", choices=kinds, default="time", help=about)
    if "kfold" in kinds:
        verb.add_argument("--folds", type=int, default=5, help="of --split kfold (default 5)")


def _judging(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--threshold",
        type=float,
        help="score from which on it says yes; default: best F1 before what is scored",
    )
    verb.add_argument(
        "--check-leakage",
        action="store_true",
        help="refuse features that know the future, and rows that are both learnt from and scored",
    )
    verb.add_argument(
        "--report",
        type=Path,
        help="folder of report.html and report.json; default: reports/, beside the releases",
    )


def _job(given: argparse.Namespace, settings: Settings) -> Job:
    start = given.start
    if "state_from" in given:
        history = moment(given.start) - HISTORY_DAYS * DAY_MS
        first = moment(given.state_from) if given.state_from else history
        interval = Interval(first, moment(given.stop))
    else:
        interval = Interval.between(start, given.stop)
    until = _until(given, interval)
    fast = bool(getattr(given, "fast", False))
    spans = offsets(given.offsets, given.topics)
    recipe = recipes.read(given.recipe) if getattr(given, "recipe", None) else None
    threshold = getattr(given, "threshold", None)
    if threshold is not None and not 0 <= threshold <= 1:
        raise SourceProblem(f"--threshold {threshold:g}: want a probability within 0 … 1")
    job = Job(
        settings,
        interval,
        until,
        given.seed,
        given.topics,
        fast,
        given.share,
        spans,
        recipe=recipe,
        split=getattr(given, "split", "time"),
        folds=getattr(given, "folds", 5),
        threshold=threshold,
        check_leakage=getattr(given, "check_leakage", False),
        machines=_machines(given),
    )
    warm, teacher = (
        promotion.find(settings, getattr(given, name)) if getattr(given, name, None) else None
        for name in ("warm", "teacher")
    )
    return replace(job, warm=warm, teacher=teacher)


def _machines(given: argparse.Namespace) -> Machines:
    found = Machines(*(getattr(given, name, None) for name in ("memory_mib", "shards", "ray", "ray_workers")))
    if found.memory_mib is not None and not found.memory_mib > 0:
        raise SourceProblem(f"--memory-mib {found.memory_mib:g}: want more than 0")
    if found.workers is not None and (found.workers < 1 or found.ray is None):
        raise SourceProblem(f"--ray-workers {found.workers}: want at least 1, together with --ray ADDRESS")
    return found


def _until(given: argparse.Namespace, interval: Interval) -> int:
    """Where the split by time is; the others learn from the whole interval."""
    if "train_until" not in given:
        return interval.stop
    if given.split == "time":
        if given.train_until is None:
            raise SourceProblem(
                "--train-until is missing: --split time learns from before it and scores the rest"
            )
        until = moment(given.train_until)
        check_split(interval, until)
        return until
    if given.train_until is not None:
        raise SourceProblem(
            f"--split {given.split} learns and scores over the whole interval: leave --train-until out"
        )
    return interval.stop


def offsets(texts: list[str] | None, topics: bool) -> dict[int, tuple[int, int]] | None:
    """Offsets [first, stop) by partition from PARTITION:FIRST-STOP texts. SourceProblem names the one that is not so."""
    if not texts:
        return None
    if not topics:
        raise SourceProblem("--offsets are those of a topic: give --topics, too, or leave them out")
    found = {}
    for text in texts:
        match = re.fullmatch(r"(\d+):(\d+)-(\d+)", text)
        if not match:
            raise SourceProblem(f"--offsets {text!r}: want PARTITION:FIRST-STOP such as 0:1000-2000")
        found[int(match[1])] = (int(match[2]), int(match[3]))
    return found


def _release(given: argparse.Namespace, settings: Settings) -> Release:
    if given.release:
        return promotion.find(settings, given.release)
    promoted = promotion.promoted(settings)
    if promoted is None:
        raise ReleaseProblem(
            f"model {settings.model_name}: nothing is promoted; name a release with --release"
        )
    return promotion.find(settings, promoted.release)


def _show(given: argparse.Namespace, settings: Settings, report: Report) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"\n{report.title}\n", highlight=False)
    for table in report.tables():
        console.print(table)
    for note in filter(None, (report.how, *report.notes)):
        console.print(note, highlight=False)
    page = report.write(given.report or _reports(settings) / re.sub(r"[^\w.-]+", "-", report.of))
    print(f"report {page}, its figures in {DATA} beside it")


def _reports(settings: Settings) -> Path:
    """Beside the releases, or under .intentflow when those are not on this machine."""
    local = "://" not in settings.releases_uri
    return Path(settings.releases_uri).parent / "reports" if local else Path(".intentflow/reports")


def _run(given: argparse.Namespace, settings: Settings) -> None:
    if given.verb == "retrain":
        retrain.run(given, settings, WORDED)
        return
    job = _job(given, settings)
    if given.verb in RECORDED:
        with recording(settings, given.verb) as record:
            _work(given, settings, replace(job, record=record))
    else:
        _work(given, settings, job)


def _work(given: argparse.Namespace, settings: Settings, job: Job) -> None:
    if given.verb == "search":
        search.run(given, job)
        return
    if given.verb == "drift":
        drift.run(given, job, _release(given, settings))
        return
    if given.verb == "explain":
        explain.run(given, job, _release(given, settings))
        return
    if given.verb == "evaluate":
        _show(given, settings, _evaluated(given, settings, job, job.build()))
    elif given.verb == "backfill":
        interval, sequences = Interval.between(given.start, given.stop), job.build(keep_ids=True)
        backfill(settings, sequences, _release(given, settings), interval, given.id)
    else:
        with job.opened() as events:
            _learn(given, settings, job, events)


def _learn(given: argparse.Namespace, settings: Settings, job: Job, events: Sequences | Shards) -> None:
    if given.verb == "train":
        _promote(given, settings, job.train(events), sample(events))
    elif given.verb == "run":
        release, report = job.run(events)
        _show(given, settings, report)
        _promote(given, settings, release, sample(events))


def _evaluated(given: argparse.Namespace, settings: Settings, job: Job, sequences: Sequences) -> Report:
    if given.split == "kfold":
        if given.release:
            raise SourceProblem(
                "--split kfold trains a model per fold and judges those: leave --release out, or score it by time"
            )
        return job.cross_validate(sequences)
    return job.evaluate(sequences, _release(given, settings))[0]


def _promote(given: argparse.Namespace, settings: Settings, release: Release, sequences: Sequences) -> None:
    """By the rule in rule.py, judged on what was trained and evaluated on here. The first release needs no evidence."""
    if given.promote:
        now = promotion.standing(settings)
        why = f"forced: {given.force}" if given.force else permit(settings, release, now, sequences)
        promotion.promote(settings, release, why)
        print(f"promoted {release.id}: workers use it from their next batch on")
    else:
        print(f"next: intentflow models promote {release.id}")


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 1 with one line on stderr that says what to mend."""
    given = parser().parse_args(arguments)
    try:
        _run(given, Settings.load())
    except (*WORDED, OSError) as problem:
        print(f"intentflow replay: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
