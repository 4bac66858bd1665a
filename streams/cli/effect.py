"""`intentflow effect`: what campaigns brought, as a page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.settings import Settings
from streams.cli import verb

if TYPE_CHECKING:
    from models.effect.report import Spend
    from models.effect.source import Read
    from models.replay.source import Interval

app = verb()


@app.command()
def effect(
    start: Annotated[
        str, typer.Option("--from", help="Event time of the first decision, ISO date or time (UTC).")
    ],
    stop: Annotated[str, typer.Option("--to", help="Event time behind the last decision.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of effect.html and effect.json.")] = Path(
        ".intentflow/effect"
    ),
    margin_share: Annotated[
        float | None,
        typer.Option(help="Margin as a share of revenue, where purchases do not tell theirs.", min=0, max=1),
    ] = None,
    before: Annotated[
        float,
        typer.Option(
            help="Days before each shopper's first decision that sharpen the figures; 0: none.", min=0
        ),
    ] = 28.0,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file whose budgets the spend is held against.")
    ] = None,
    topics: Annotated[
        bool, typer.Option("--topics", help="Read what Kafka retains instead of the archive.")
    ] = False,
) -> None:
    """Tell what campaigns brought: treated shoppers against those held out by lot, and arms against their control.

    Per campaign and over all: purchases, revenue, margin after coupons and messages, withdrawals of consent, each with a
    95 % interval; spend against budget, and what held the rest back. Needs decisions and outcomes: `intentflow outcomes`
    writes these, `intentflow archive` keeps both.

    \b
    Example:
      intentflow effect --from 2026-06-01 --to 2026-06-29 --margin-share 0.3 -o june
    """
    from models.effect import report, source
    from models.replay.source import Interval

    settings, interval = Settings.load(), Interval.between(start, stop)
    found = source.read(settings, interval, topics)
    past = source.bought(settings, interval, before, topics) if before else None
    spent = _spent(found, _budgets(policy, interval) if policy else {})
    made = report.judge(found.decisions, interval, margin_share, past, before, spent)
    page = made.write(out)
    for one in made.comparisons:
        margin = one.figure("margin")
        interval_ = margin.best.interval
        between = f" ({interval_.low:+.3f} … {interval_.high:+.3f})" if interval_ else ""
        alarm = "; GROUP SIZES ARE WRONG, do not trust it" if one.balance.alarm else ""
        typer.echo(
            f"{one.title}: {margin.best.value:+.3f} margin per shopper{between}, {margin.verdict}{alarm}"
        )
    for arm in made.learnt:
        ends = (
            f" ({arm.interval.low:+.3f} … {arm.interval.high:+.3f})" if arm.interval else ", too few to tell"
        )
        typer.echo(
            f"{arm.campaign}, learnt: arm {arm.arm} always, against {arm.control} always: {arm.difference:+.3f} margin per "
            f"moment{ends}; drawn lately {arm.chance:.0%}"
        )
    for note in made.notes:
        typer.echo(note)
    typer.echo(f"report {page}, its figures in {report.DATA} beside it")


def _spent(found: Read, budgets: dict[str, float]) -> dict[str, Spend]:
    from models.effect.report import Spend

    sent = Counter(found.decisions.campaign[found.decisions.reason == "emitted"].tolist())
    return {
        name: Spend(
            sent[name], found.redeemed[name], found.messages[name], found.expected[name], budgets.get(name)
        )
        for name in found.expected
    }


def _budgets(path: Path, interval: Interval) -> dict[str, float]:
    """Money of the whole interval by campaign, of those with a budget of money, which is one of a day."""
    from streams import policy_document

    days, found = (interval.stop - interval.start) / 86_400_000, {}
    for campaign in policy_document.load(path).campaigns:
        money = getattr(getattr(campaign, "budget", None), "money", None)
        if money is not None:
            found[campaign.id] = float(money) * days
    return found
