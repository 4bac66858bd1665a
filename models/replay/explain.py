"""`intentflow replay explain`: which inputs a release's quality rests on, by permutation importance on an interval.

intentflow replay explain --from 2017-08-01 --to 2017-10-01 --task lapse_30d
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from models import engine
from models.drift.calibration import outcomes
from models.explain.permutation import Importance, of_release
from models.release import Release
from models.replay.job import Job
from models.replay.source import Interval, SourceProblem

FLOOR = 1e-7  # of a probability in a logarithm


def add(verbs: Any) -> argparse.ArgumentParser:
    """The verb's options; those of interval, release and history are added by the caller."""
    about = "which inputs a release's quality rests on: how much worse it is when one is shuffled"
    verb: argparse.ArgumentParser = verbs.add_parser("explain", help=about, description=about)
    verb.add_argument("--task", default="buy_7d", help="the score to look at; default buy_7d")
    verb.add_argument("--shoppers", type=int, default=200, help="so many, chosen at random; default 200")
    verb.add_argument("--repeats", type=int, default=3, help="shuffles of each input; default 3")
    verb.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    return verb


def run(given: argparse.Namespace, job: Job, of: Release) -> list[Importance]:
    """Measures and prints, the most important input first. Raises SourceProblem."""
    backend = engine.load(of.uri, "onnx", "cpu", job.settings.engine_threads)
    if given.task not in backend.tasks:
        raise SourceProblem(f"--task {given.task}: {of.id} has {', '.join(backend.tasks)}")
    if given.shoppers < 1 or given.repeats < 1:
        raise SourceProblem("--shoppers and --repeats must be above 0")
    sequences = job.build()
    sequences = sequences.share(min(given.shoppers / len(sequences.users), 1.0), job.seed)
    interval = Interval.between(given.start, given.stop)
    times = sequences.events["time"]
    happened, decided = outcomes(given.task, sequences.purchases, sequences.shopper, times, interval.stop)
    rows = np.flatnonzero(sequences.last & interval.holds(times) & decided)
    if not len(rows):
        raise SourceProblem(f"no moment in {interval} whose outcome is known; choose a longer interval")
    features = sequences.features(of.card.features)
    found = of_release(
        sequences, backend, features, rows, given.task, happened[rows], log_loss, given.repeats, job.seed
    )
    job.say(
        f"{given.task}: rise of the log loss when an input is shuffled; {len(rows):,} moments of "
        f"{len(sequences.users):,} shoppers"
    )
    Console(width=None if sys.stdout.isatty() else 140).print(_table(found))
    if given.json:
        Path(given.json).write_text(json.dumps([asdict(one) for one in found], indent=1), encoding="utf-8")
    return found


def log_loss(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float:
    sure = np.clip(scores.astype(np.float64), FLOOR, 1 - FLOOR)
    return float(-np.mean(labels * np.log(sure) + (1 - labels) * np.log1p(-sure)))


def _table(found: list[Importance]) -> Table:
    made = Table()
    for name in ("input", "log loss rises by", "sd"):
        made.add_column(name, justify="left" if name == "input" else "right")
    for one in found:
        made.add_row(one.name, f"{one.worse:+.5f}", f"{one.sd:.5f}")
    return made
