"""`intentflow replay retrain`: trains on the newest events, on a schedule or when drift says so; promotes what is better.

intentflow replay retrain --every 1d                  a new release every day
intentflow replay retrain --every 1d --when-drift     looks every day, trains when scores or outcomes have drifted
intentflow replay retrain --once --warm promoted      one round, for cron; on from the weights in use

… window ───────────────────────────┤── judged ──┤ now
    learnt from                        both releases are held against what happened
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from models import promotion
from models.drift.measure import summary
from models.records import recording
from models.release import Release
from models.replay import drift, recipes
from models.replay.evidence import NotBetter, permit
from models.replay.job import Job, Say
from models.replay.source import Interval, SourceProblem, iso, moment
from schemas.settings import Settings

PROMOTED = "promoted"

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400}


def add(verbs: Any) -> argparse.ArgumentParser:
    """The verb's options."""
    about = "train on the newest events, on a schedule or when drift says so; promote what is better"
    rule = "The rule is that of `intentflow models promote`: docs/releases.md; the judged days are learnt from by neither."
    verb: argparse.ArgumentParser = verbs.add_parser("retrain", help=about, description=f"{about}. {rule}")
    verb.add_argument(
        "--every", metavar="TIME", default="1d", help="between two rounds: 1d (default), 12h, 30m"
    )
    verb.add_argument(
        "--when-drift", action="store_true", help="train only when the drift of the release in use says so"
    )
    verb.add_argument("--once", action="store_true", help="one round, then end")
    verb.add_argument("--window", metavar="TIME", default="365d", help="events read, up to now; default 365d")
    verb.add_argument(
        "--judge", metavar="TIME", default="60d", help="the last of them are judged on; default 60d"
    )
    verb.add_argument(
        "--warm", metavar="RELEASE", help=f"go on from its weights; `{PROMOTED}`: of the one in use"
    )
    verb.add_argument("--recipe", metavar="FILE", help="how to train, as `replay search` writes it")
    verb.add_argument("--fast", action="store_true", help="the recipe for few shoppers")
    verb.add_argument("--no-promote", action="store_true", help="only say what would be promoted")
    verb.add_argument("--now", help="event time taken for now, for one round; default: the clock")
    verb.add_argument("--topics", action="store_true", help="read what Kafka retains instead of the archive")
    verb.add_argument("--share", type=float, help="only this fraction of the shoppers")
    verb.add_argument("--seed", type=int, default=0, help="same seed, same result on a CPU (default 0)")
    return verb


def run(
    given: argparse.Namespace,
    settings: Settings,
    worded: tuple[type[Exception], ...],
    say: Say = print,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Rounds for ever, or one. worded: problems that end one round and not the schedule. The first round raises all."""
    every = duration(given.every, "--every")
    window, judge = duration(given.window, "--window"), duration(given.judge, "--judge")
    if judge >= window:
        raise SourceProblem(f"--judge {given.judge} leaves nothing of --window {given.window} to learn from")
    if given.recipe:
        recipes.read(given.recipe)  # a mistake in it should not wait for a round
    first = True
    while True:
        begun = time.monotonic()
        now = moment(given.now) if given.now else round(time.time() * 1000)
        try:
            _round(given, settings, Interval(now - window * 1000, now), now - judge * 1000, say)
        except worded as problem:
            if first or given.once or given.now:
                raise
            say(f"this round failed, the next comes all the same: {problem}")
        if given.once or given.now:
            return
        first = False
        wait = max(0.0, every - (time.monotonic() - begun))
        say(f"next round in {wait / 3600:.1f} h")
        sleep(wait)


def _round(given: argparse.Namespace, settings: Settings, window: Interval, until: int, say: Say) -> None:
    in_use = _in_use(settings)
    if in_use is not None and moment(in_use.card.data_until) > until:
        say(
            f"{in_use.id} has learnt until {in_use.card.data_until[:10]}, from some of the judged days, and would win "
            "unfairly: wait, or give a shorter --judge"
        )
        return
    recipe = recipes.read(given.recipe) if given.recipe else None
    with recording(settings, "retrain", say) as record:
        job = Job(
            settings,
            window,
            until,
            given.seed,
            given.topics,
            given.fast,
            given.share,
            recipe=recipe,
            record=record,
            say=say,
        )
        job = replace(job, warm=_warm(given.warm, settings, in_use))
        sequences = job.build()
        if given.when_drift and in_use is not None:
            found = drift.of_release(job, in_use, job.scored, sequences)
            say(summary(found))
            record.figures({"drift": {one.name: one.psi for one in found.shifts}})
            if found.verdict != "drift":
                say(f"no drift that counts: {in_use.id} stays")
                return
        release, _ = job.run(sequences)
    try:
        why = permit(settings, release, promotion.standing(settings), sequences)
    except NotBetter as problem:
        say(f"{release.id} is not promoted: {problem}")
        return
    if given.no_promote:
        say(f"{release.id} would be promoted: {why}")
        return
    days = f"{iso(window.start)[:10]} to {iso(until)[:10]}"
    promotion.promote(settings, release, f"retrained, {days}; {why}")
    say(f"promoted {release.id}: workers use it from their next batch on")


def duration(text: str, option: str) -> int:
    """Seconds of 30m, 12h, 1d. SourceProblem names the option."""
    match = re.fullmatch(r"(\d+)([mhd])", text)
    if not match or not int(match[1]):
        raise SourceProblem(f"{option} is {text!r}; want a time such as 30m, 12h or 1d")
    return int(match[1]) * _UNITS_S[match[2]]


def _in_use(settings: Settings) -> Release | None:
    now = promotion.promoted(settings)
    return None if now is None else now.open()


def _warm(asked: str | None, settings: Settings, in_use: Release | None) -> Release | None:
    if asked == PROMOTED:
        return in_use
    return promotion.find(settings, asked) if asked else None
