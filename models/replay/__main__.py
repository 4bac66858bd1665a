"""The replay job's command line: `intentflow replay …`, or `python -m models.replay …`."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from models import promotion
from models.evaluation.report import DATA, Report
from models.records import recording
from models.release import Release, ReleaseProblem
from models.replay import drift, explain, retrain, search
from models.replay.backfill import backfill
from models.replay.dataset import Sequences
from models.replay.evidence import permit
from models.replay.given import job_of
from models.replay.job import Job, sample
from models.replay.options import parser
from models.replay.recipes import RecipeProblem
from models.replay.shards import Shards
from models.replay.source import Interval, SourceProblem
from models.search.plan import SearchProblem
from models.search.space import SpaceProblem
from schemas.kafka import BrokerAway, BrokerRefuses
from schemas.settings import Settings, SettingsError

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
    job = job_of(given, settings)
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
        if given.explain:
            raise SourceProblem("--split kfold has a model per fold: leave --explain out, or score by time")
        if given.release:
            raise SourceProblem(
                "--split kfold trains a model per fold and judges those: leave --release out, or score it by time"
            )
        return job.cross_validate(sequences)
    of = _release(given, settings)
    report = job.evaluate(sequences, of)[0]
    if given.explain is None:
        return report
    from models.replay.explained import explained

    found = explained(sequences, of, given.explain, report.fitted_on, report.scored, job.seed)
    return replace(report, explained=found)


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
