"""`intentflow models compare` and `watch`: what releases said live, held against what then happened."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models import promotion
from models.release import ReleaseProblem
from models.replay import evidence, watch
from models.replay.evidence import Evidence, Live
from models.replay.paired import FIGURES
from models.replay.rule import promotable
from models.replay.source import Interval, SourceProblem, iso
from schemas.kafka import BrokerAway, wait_for_broker
from schemas.settings import Settings
from streams.cli.times import milliseconds, moment

LABELS = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "ratio": "observed / expected",
    "odds": "the same, of odds",
}
TAKEN_BACK = 3  # exit status
Topics = Annotated[
    bool, typer.Option("--topics", help="Read what Kafka still retains instead of the archive.")
]


def compare(
    which: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE]", help="Release id; the challenger unless one is named."),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="Judge moments from here on.")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="What happened is known up to here.")] = None,
    topics: Topics = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Score the archive with both, after the time that they learnt from."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold the challenger against the release in use, on the same rows, where what then happened is known.

    Differences are challenger less release in use, with 95 % intervals by resampling shoppers. Below them stands
    whether the challenger may be promoted. By default the last INTENTFLOW_JUDGED_DAYS of the archive are judged.

    \b
    Example:
      intentflow models compare
      intentflow models compare --from 2017-10-01 --to 2018-01-01
    """
    settings = connected()
    now = evidence.standing(settings)
    assert now.champion is not None
    release = which or (now.challenger.release if now.challenger else None)
    if release is None:
        raise ReleaseProblem(
            "no challenger: name a release, or run one in shadow with `intentflow models challenge RELEASE`"
        )
    if offline:
        found = evidence.offline(settings, now.champion.open(), promotion.find(settings, release))
    else:
        live = Live(settings, topics, _interval(start, stop))
        shadow = evidence.in_shadow(live, now.champion.release, release)
        if shadow is None:
            raise ReleaseProblem(
                f"{release} or {now.champion.release} said nothing within {live.over}: was it in shadow then, and is "
                "that archived (`intentflow archive`)? `--offline` scores the archive with both"
            )
        found = shadow
    if as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        _show(found, settings)


def watching(
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    topics: Topics = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Take the release in use back when what it says live leaves the bounds in its card.

    Looks every INTENTFLOW_WATCH_INTERVAL_S. A release that was taken back is not used again unless it is promoted by
    force, and nothing is gone back to twice. Exit status with --once: 0 = nothing to do, 3 = taken back, 1 = out of its
    bounds with nothing to go back to, or not to be judged.

    \b
    Example:
      intentflow models watch --once
    """
    settings = connected()
    while True:
        try:
            taken = _look(settings, topics, dry)
        except (ReleaseProblem, SourceProblem, BrokerAway, OSError) as problem:
            if once:
                raise
            typer.echo(f"{_clock()}  {problem}", err=True)
            taken = False
        if once:
            raise typer.Exit(TAKEN_BACK if taken else 0)
        time.sleep(settings.watch_interval_s)


def _look(settings: Settings, topics: bool, dry: bool) -> bool:
    """Whether the release in use was taken back."""
    found = watch.look(settings, topics)
    typer.echo(f"{_clock()}  {found.words}")
    if not found.broken or dry:
        return False
    done = watch.take_back(settings, found)
    if done is None:
        typer.echo(f"{_clock()}  another release is in use by now: nothing done")
        return False
    typer.echo(f"{_clock()}  taken back: workers use {done.release} again")
    return True


def _show(found: Evidence, settings: Settings) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{found.how}, moments within {found.over}")
    console.print(f"in use      {found.champion}\nchallenger  {found.challenger}")
    table = Table(
        "task", "rows", "figure", "in use", "challenger", "difference (95 %)", box=None, pad_edge=False
    )
    for one in found.found.values():
        for number, name in enumerate(FIGURES):
            values = (getattr(side, name) for side in (one.champion, one.challenger, one.difference))
            first, second, apart = values
            table.add_row(
                one.task if not number else "",
                f"{one.rows:,}" if not number else "",
                LABELS.get(name, name),
                f"{first.value:.4f}",
                f"{second.value:.4f}",
                f"{apart.value:+.4f} ({apart.low:+.4f} … {apart.high:+.4f})",
            )
    console.print(table)
    judged = found.found.get(settings.judged_task)
    if judged is None:
        typer.echo(f"no row of {settings.judged_task} has matured yet: it cannot be promoted on this")
        return
    verdict = promotable(judged, settings)
    for line in verdict.why:
        typer.echo(line)
    typer.echo("may be promoted" if verdict.good else "may not be promoted, unless with --force WHY")


def _interval(start: str | None, stop: str | None) -> Interval | None:
    if start is None and stop is None:
        return None
    if start is None or stop is None:
        raise typer.BadParameter("give both --from and --to, or neither")
    return Interval(milliseconds(moment(start)), milliseconds(moment(stop)))


def _clock() -> str:
    return iso(round(datetime.now(UTC).timestamp() * 1000))


def connected() -> Settings:
    """The settings, once a broker answers."""
    settings = Settings.load()
    wait_for_broker(settings, 10.0, say=lambda text: typer.echo(text, err=True))
    return settings
