"""The job that was asked for on the command line."""

import argparse
import re
from dataclasses import replace
from datetime import timedelta

from models import promotion
from models.replay import recipes
from models.replay.job import Job, check_split
from models.replay.machines import Machines
from models.replay.options import HISTORY_DAYS
from models.replay.source import Interval, SourceProblem, moment
from schemas.settings import Settings

DAY_MS = int(timedelta(days=1).total_seconds() * 1000)


def job_of(given: argparse.Namespace, settings: Settings) -> Job:
    """Raises SourceProblem, RecipeProblem or ReleaseProblem: what is to be mended."""
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
