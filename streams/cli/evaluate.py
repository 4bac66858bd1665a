"""`intentflow policy evaluate`: what another policy would have done and earned. It reads the archive and sends nothing."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.ope.log import LEAST_ESS
from models.replay import archive
from models.replay.source import Interval
from schemas.kafka import BrokerAway
from schemas.settings import Settings
from schemas.topics import TopicProblem
from streams.cli.contents import moment as shown
from streams.cli.log import Log
from streams.cli.policies import learnt, published
from streams.cli.times import milliseconds, moment
from streams.learning.state import Learnt
from streams.policy import Policy
from streams.policy_document import PolicyProblem, load, parse
from streams.whatif.changes import Change
from streams.whatif.earned import HEADLINE, Earned
from streams.whatif.evaluation import Evaluation
from streams.whatif.evaluation import evaluate as judged
from streams.whatif.rounds import Margin

DAY_MS = 86_400_000


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="NEW", help="The other policy, in YAML.")],
    start: Annotated[str, typer.Option("--from", help="Decisions after events from here on.")],
    stop: Annotated[str, typer.Option("--to", help="Up to here.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="OLD",
            help="The policy that decided then: a file, or a published version. By default the version that the "
            "decision log names most.",
        ),
    ] = None,
    shopper: Annotated[
        str | None, typer.Option(metavar="USER", help="Show what changes for this shopper.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write every change there, shopper by shopper: .csv, or .json.")
    ] = None,
    window_days: Annotated[
        float, typer.Option(min=0.01, help="A purchase within so many days after a moment counts for it.")
    ] = 14.0,
    margin_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Margin as a share of the price paid; by default margin_per_conversion of the campaign.",
        ),
    ] = None,
    least_ess: Annotated[
        float, typer.Option(min=2, help="Least effective sample size, shoppers, for a figure of money.")
    ] = LEAST_ESS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what another policy would have done and earned, from the archive's decisions, predictions and purchases.

    What it would have done: both policies decide the past once more, by the code that decides live. What it would have
    earned: an estimate from the shoppers whom chance (hold-out, arms) gave what the other policy would have given them;
    refused, with what is missing, where there are none or too few. Nothing is sent.

    \b
    Example:
      intentflow policy evaluate new.yaml --from 2017-10-01 --to 2018-01-01
      intentflow policy evaluate new.yaml --from 2017-10-01 --to 2018-01-01 --shopper 718
      intentflow policy evaluate new.yaml --from 2017-10-01 --to 2018-01-01 --out changes.csv
    """
    settings = Settings.load()
    interval = Interval(milliseconds(moment(start)), milliseconds(moment(stop)))
    if out is not None and out.suffix not in (".csv", ".json"):
        raise typer.BadParameter(f"--out {out}: want a name that ends with .csv or .json")
    new = load(file)
    old, told = _in_force(settings, interval, against)
    margin = Margin(round(window_days * DAY_MS), margin_share)
    found = judged(settings, old, new, interval, margin, least_ess, _learnt(settings, old, new))
    if out is not None:
        _write(out, found.changes)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(f"{interval}\nin force  {told}\nnew       version {new.version}, {file}", markup=False)
    if shopper is None:
        _tell(console, found)
    else:
        _tell_of(console, found, shopper)
    if out is not None:
        typer.echo(f"{len(found.changes):,} changes in {out}")


def _in_force(settings: Settings, interval: Interval, against: str | None) -> tuple[Policy, str]:
    """The policy to hold it against, and how it is called."""
    if against is not None and Path(against).exists():
        policy = load(against)
        return policy, f"version {policy.version}, {against}"
    counts: Counter[str] = Counter()
    if against is None:
        for table in archive.read(settings, "decisions", interval, ["policy_version", "event_time"]):
            counts.update(table["policy_version"].to_pylist())
    version = against or counts.most_common(1)[0][0]
    with Log(settings) as log:
        row = published(log, settings, version)
    if row is None:
        raise PolicyProblem(
            f"version {version!r} is no file and was never published, or the topic lost it: give its file with --against"
        )
    others = sum(counts.values()) - counts[version]
    more = f"; {others:,} decisions of other versions are left out" if others else ""
    return parse(row["document"], f"policy {version}"), f"version {version}{more}"


def _learnt(settings: Settings, *policies: Policy) -> dict[str, Learnt]:
    """What was learnt up to now of their campaigns, where one learns and Kafka is there to ask."""
    if not any(campaign.learning is not None for policy in policies for campaign in policy.campaigns):
        return {}
    try:
        with Log(settings) as log:
            return learnt(log, settings)
    except (BrokerAway, TopicProblem):
        return {}


def _tell(console: Console, found: Evaluation) -> None:
    console.print("\n[bold]What it would have done[/]")
    for note in (*found.learnt, *found.past.notes):
        console.print(f"mind: {note}", markup=False)
    if found.shared:
        console.print(
            f"replayed, the policy in force gives {found.same / found.shared:.2%} of its {found.shared:,} logged decisions "
            "the same reason"
        )
    else:
        console.print(
            "mind: the log holds no decision of this version in the interval, so the replay cannot be checked"
        )
    table = Table("campaign", "reason", box=None, pad_edge=False)
    for name in ("in force", "new", "change"):
        table.add_column(name, justify="right")
    for campaign in dict.fromkeys([*found.before, *found.after]):
        before, after = found.before.get(campaign, Counter()), found.after.get(campaign, Counter())
        for reason in sorted({*before, *after}, key=lambda one: (one != "emitted", one)):
            old, new = before[reason], after[reason]
            table.add_row(campaign, reason, f"{old:,}", f"{new:,}", f"{new - old:+,}" if new != old else "")
    console.print(table)
    changed = len({one.user_id for one in found.changes})
    console.print(
        f"{changed:,} of {found.shoppers:,} shoppers would have been decided about differently, {len(found.changes):,} "
        "decisions in all; --shopper USER shows one, --out FILE.csv all"
    )
    _tell_earned(console, found)


def _tell_earned(console: Console, found: Evaluation) -> None:
    days = found.margin.window_ms / DAY_MS
    share = found.margin.share
    per = "margin_per_conversion of the campaign, once" if share is None else f"{share:g} of the price paid"
    console.print("\n[bold]What it would have earned[/]")
    console.print(
        f"margin of purchases within {days:g} days after a moment ({per}) less cost_per_contact; shop's currency, over the "
        "interval; 95 % intervals over shoppers"
    )
    told = [one for one in found.earned if one.difference is not None]
    if told:
        table = Table(box=None, pad_edge=False)
        for name in ("campaign", "new less old", "95 %"):
            table.add_column(name, no_wrap=True)
        for name in ("moments", "differ", "ESS", "largest weight"):
            table.add_column(name, justify="right")
        for one in told:
            _add(table, one)
        console.print(table)
    for one in found.earned:
        if one.refused:
            console.print(f"{one.campaign}: cannot be told: {one.refused}", markup=False)
        elif one.difference is None:
            console.print(f"{one.campaign}: the new policy does the same as the one in force")
        elif one.rounds is not None and one.rounds.elsewhere:
            console.print(
                f"{one.campaign}: {one.rounds.elsewhere:,} of its {one.rounds.acts:,} acts fall on moments at which the old "
                "policy never acted, and are in no figure"
            )
    if len(told) > 1:
        sum_ = found.together
        console.print(
            f"together {sum_.value:+,.2f} ({sum_.low:+,.2f} … {sum_.high:+,.2f}), of the campaigns that can be told; a "
            "purchase in the windows of two campaigns counts for both"
        )


def _add(table: Table, one: Earned) -> None:
    assert one.difference is not None
    assert one.overlap is not None
    assert one.rounds is not None
    for name, total in sorted(one.difference.items(), key=lambda pair: pair[0] != HEADLINE):
        first = name == HEADLINE
        table.add_row(
            one.campaign if first else f"  {name}",
            f"{total.value:+,.2f}",
            f"{total.low:+,.2f} … {total.high:+,.2f}",
            *(
                (
                    f"{len(one.rounds):,}",
                    f"{int(one.rounds.differ.sum()):,}",
                    f"{one.overlap.ess:,.0f}",
                    f"{one.overlap.weight:.3g}",
                )
                if first
                else ("", "", "", "")
            ),
        )


def _tell_of(console: Console, found: Evaluation, user: str) -> None:
    mine = [one for one in found.changes if one.user_id == user]
    if user not in found.past.sequences.users.to_pylist():
        console.print(f"no shopper {user} in the archive: is that the user_id as the events have it?")
        return
    console.print(f"\nshopper {user}: {len(mine)} decisions would have been others", markup=False)
    for one in mine:
        console.print(f"  {shown(one.event_time)}  {one.campaign}", markup=False)
        console.print(f"    in force  {_words(one.before)}\n    new       {_words(one.after)}", markup=False)


def _words(said: tuple[str, str, str]) -> str:
    reason, arm, sent = said
    return (
        " ".join(
            part
            for part in (reason or "no candidate", f"(arm {arm})" if arm else "", sent and f": {sent}")
            if part
        )
    ).replace(" :", ":")


def _write(out: Path, changes: list[Change]) -> None:
    rows: list[dict[str, Any]] = [one.row() for one in changes]
    if out.suffix == ".json":
        out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        return
    names = list(Change("", "", 0, "", ("", "", ""), ("", "", "")).row())
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
