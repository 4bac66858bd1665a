"""The replay job's command line: `intentflow replay …`, or `python -m models.replay …`."""

import argparse
import re
import sys
from datetime import timedelta

from rich.console import Console

from models import promotion
from models.release import Release, ReleaseProblem
from models.replay.backfill import backfill
from models.replay.dataset import Sequences
from models.replay.evidence import permit
from models.replay.job import Job, check_split
from models.replay.report import Report
from models.replay.source import Interval, SourceProblem, moment
from schemas.kafka import BrokerAway, BrokerRefuses
from schemas.settings import Settings, SettingsError

DAY_MS = int(timedelta(days=1).total_seconds() * 1000)
HISTORY_DAYS = 365
EXAMPLES = """examples:
  intentflow replay run --from 2017-01-01 --train-until 2017-08-01 --to 2017-10-01 --promote
      learn from January to July, evaluate on August and September, write a release and have workers use it
  intentflow replay evaluate --from 2017-01-01 --train-until 2017-08-01 --to 2017-10-01 --release ID
      the same report for a release that is there
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
        if name in ("evaluate", "backfill"):
            verb.add_argument("--release", help="id of the release; default: the promoted one")
        if name == "backfill":
            verb.add_argument("--id", required=True, help="names the topic predictions-backfill-<id>")
            verb.add_argument(
                "--state-from",
                help=f"begin of the history that builds state; default: {HISTORY_DAYS} days before",
            )
    return top


def _interval(verb: argparse.ArgumentParser, split: bool) -> None:
    verb.add_argument(
        "--from", dest="start", required=True, help="event time of the first event, ISO date or time (UTC)"
    )
    verb.add_argument("--to", dest="stop", required=True, help="event time behind the last event")
    if split:
        verb.add_argument(
            "--train-until", required=True, help="learn from before this time, evaluate from then on"
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


def _job(given: argparse.Namespace, settings: Settings) -> Job:
    start = given.start
    if given.verb == "backfill":
        history = moment(given.start) - HISTORY_DAYS * DAY_MS
        first = moment(given.state_from) if given.state_from else history
        interval = Interval(first, moment(given.stop))
    else:
        interval = Interval.between(start, given.stop)
    until = moment(given.train_until) if "train_until" in given else interval.stop
    if "train_until" in given:
        check_split(interval, until)
    fast = bool(getattr(given, "fast", False))
    spans = offsets(given.offsets, given.topics)
    return Job(settings, interval, until, given.seed, given.topics, fast, given.share, spans)


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


def _show(report: Report) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    for table in report.tables():
        console.print(table)


def _run(given: argparse.Namespace, settings: Settings) -> None:
    job = _job(given, settings)
    sequences = job.build(keep_ids=given.verb == "backfill")
    if given.verb == "evaluate":
        _show(job.evaluate(sequences, _release(given, settings))[0])
    elif given.verb == "backfill":
        interval = Interval.between(given.start, given.stop)
        backfill(settings, sequences, _release(given, settings), interval, given.id)
    elif given.verb == "train":
        _promote(given, settings, job.train(sequences), sequences)
    elif given.verb == "run":
        release, report = job.run(sequences)
        _show(report)
        _promote(given, settings, release, sequences)


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
    except (SettingsError, SourceProblem, ReleaseProblem, BrokerAway, BrokerRefuses, OSError) as problem:
        print(f"intentflow replay: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
