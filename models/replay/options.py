"""The verbs of the replay job's command line, and their options."""

import argparse
from pathlib import Path

from models.replay import drift, explain, retrain, search
from models.replay.splits import KINDS

HISTORY_DAYS = 365  # of events that build state, before those that are asked about
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
        if name == "evaluate":
            verb.add_argument(
                "--explain",
                metavar="TASK",
                help="show in the report what this score rests on, such as buy_7d",
            )
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
