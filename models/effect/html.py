"""The effect report as one page, in the words of who runs campaigns: no scripts, nothing fetched, well-formed XML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from models.effect import plots
from models.effect.judged import Comparison, Figure
from models.effect.report import Report
from models.evaluation import markup
from models.evaluation.bootstrap import Range
from models.evaluation.plots import available
from models.replay.source import iso

WORDS = {
    "sure": "sure: it holds however often somebody looks",
    "likely": "likely: it holds if this was the day planned for looking",
}
REASONS = {
    "emitted": "sent",
    "holdout": "held out, to have something to compare with",
    "control": "in the arm that gets nothing",
    "kill_switch": "stopped by the kill switch",
    "no_consent": "no consent",
    "bot": "robot, staff or test shopper",
    "not_eligible": "not in the audience",
    "off_schedule": "not on the campaign's days or hours",
    "stale": "the event was too old",
    "no_candidates": "nothing to offer",
    "below_value": "not worth it",
    "outranked": "another campaign won the event",
    "frequency_cap": "had as many messages as the cap allows",
    "cooldown": "had one too recently",
    "after_purchase": "has just bought",
    "quiet_hours": "quiet hours",
    "budget": "the day's budget was spent",
    "pacing": "the budget was kept for better ones or for later",
    "deferred": "waits for its hour; told again when it comes",
    "withdrawn": "the policy has no such campaign any more",
    "dry_run": "only tried, as the policy says",
}
STYLE = """
.big { font-size: 1.12rem; } .alarm { border-left: 4px solid #d9534f; padding: .3rem .7rem; font-weight: 600; }
td .dim { white-space: normal; }
"""


def page(report: Report) -> str:
    """The whole page."""
    drawn = available()
    title = f"What campaigns brought, {_day(report.interval.start)} to {_day(report.interval.stop)}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="dim">{report.decisions:,} decisions. Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.</p>',
        *(_alarm(one) for one in report.comparisons if one.balance.alarm),
        _sentence(report.overall) if report.overall else "",
        *map(markup.note, report.notes),
        _glance(report, drawn),
        *(_comparison(one, drawn) for one in report.comparisons),
        _learnt(report),
        _reasons(report),
        _spend(report, drawn),
        _method(),
    ]
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/><title>{escape(title)}</title>'
        f"<style>{markup.STYLE}{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _alarm(one: Comparison) -> str:
    found = " and ".join(f"{count:,} {name}" for name, count in one.balance.found.items())
    wanted = " and ".join(f"{count:,.0f}" for count in one.balance.expected.values())
    return (
        f'<p class="alarm">{escape(one.title)}: do not trust these figures yet. There are {found} shoppers where chance '
        f"should have made {wanted} (p = {one.balance.p_value:.1g}). Shoppers were lost from one group: find out how.</p>"
    )


def _sentence(one: Comparison) -> str:
    figure = one.figure("margin")
    total, interval = figure.total, figure.total_interval
    assert total is not None
    between = (
        f" (95 %: {_whole(figure, interval.low)} to {_whole(figure, interval.high)})" if interval else ""
    )
    amount = f"<b>{_whole(figure, total)}</b> of margin{between}, after the cost of coupons and messages"
    who = (
        f"{_money(figure.best.value, True)} for each of {one.shoppers[one.treated]:,} shoppers who could have been reached, "
        f"{one.sent:.0%} of whom were sent something"
    )
    if figure.verdict == "open":
        said = f"Whether campaigns brought anything cannot be told yet. The best guess is {amount}: {who}."
    else:
        said = f"Campaigns {'brought' if total >= 0 else 'cost'} {amount}: {who}. This is {WORDS[figure.verdict]}."
    return f'<p class="big">{said}</p>'


def _glance(report: Report, drawn: bool) -> str:
    if not report.comparisons:
        return ""
    rows = []
    for one in report.comparisons:
        margin = one.figure("margin")
        cells = [
            " / ".join(f"{count:,}" for count in one.shoppers.values()),
            _difference(margin),
            _total(margin),
            _difference(one.figure("converted")),
            _difference(one.figure("unsubscribed")),
            margin.verdict,
        ]
        rows.append(markup.row(one.title, cells))
    heads = (
        "",
        "shoppers, with / without",
        "margin per shopper",
        "margin in all",
        "bought",
        "withdrew consent",
        "how sure",
    )
    picture = f'<div class="plots">{plots.forest(report.comparisons, "all")}</div>' if drawn else ""
    about = (
        '<p class="dim">Extra, with against without; small: 95 % interval. A campaign against the hold-out has in it what other '
        "campaigns did to the same shoppers; an arm against its control has only its own.</p>"
    )
    return f'<section id="glance"><h2>At a glance</h2>{markup.table(heads, rows)}{about}{picture}</section>'


def _comparison(one: Comparison, drawn: bool) -> str:
    rows = []
    for figure in one.figures:
        cut = "" if figure.cut is None else f"{max(figure.cut, 0.0):.0%}"
        cells = [
            _value(figure, figure.plain.treated),
            _value(figure, figure.plain.control),
            _difference(figure),
            _interval(figure, figure.anytime),
            _total(figure),
            cut,
            figure.verdict,
        ]
        rows.append(markup.row(figure.metric.title, cells, "model" if figure.metric.name == "margin" else ""))
    heads = (
        "per shopper",
        one.treated,
        one.control,
        "extra, 95 %",
        "95 % at every look",
        "in all",
        "noise removed",
        "",
    )
    waiting = sum(one.open.values())
    lines = [
        f"{one.shoppers[one.treated]:,} shoppers {one.treated}, {one.shoppers[one.control]:,} {one.control}; "
        f"{one.sent:.0%} of the first were sent something.",
        f"{waiting:,} more are still within their window." if waiting else "",
        f"{one.mixed:,} were in both groups, because the draw was changed, and are left out."
        if one.mixed
        else "",
        f"Group sizes are as chance makes them (p = {one.balance.p_value:.2g})."
        if not one.balance.alarm
        else "",
    ]
    pictures = ""
    if drawn:
        name = "".join(letter if letter.isalnum() else "-" for letter in one.name)
        found = [plots.growing(one.growing, name)] if one.growing else []
        found += [plots.deciles(one.deciles, name)] if one.deciles else []
        pictures = f'<div class="plots">{"".join(found)}</div>'
    return (
        f'<section id="{escape(one.name)}"><h2>{escape(one.title)}</h2>'
        f'<p class="dim">{escape(" ".join(filter(None, lines)))}</p>'
        f"{_alarm(one) if one.balance.alarm else ''}{markup.table(heads, rows)}{pictures}</section>"
    )


def _learnt(report: Report) -> str:
    if not report.learnt:
        return ""
    rows = []
    for one in report.learnt:
        between = "too few"
        if one.interval is not None:
            between = f"{_money(one.interval.low, True)}…{_money(one.interval.high, True)}"
        cells = [
            f"{one.moments:,}",
            f"{one.chance:.0%}",
            _money(one.value),
            _money(one.control_value),
            f"{_money(one.difference, True)}<small>{between}</small>",
        ]
        rows.append(markup.row(f"{one.campaign}: {one.arm} against {one.control}", cells))
    heads = (
        "",
        "moments",
        "drawn lately",
        "margin per moment, always this arm",
        "always the other",
        "extra, 95 %",
    )
    about = (
        '<p class="dim">These arms are dealt by moment, to those in which they are expected to do best: what came is weighed by '
        "one over the chance that each had, as if every moment had been given the arm. Moments of "
        "the newest policy count, whose window is over. What learning brings on top, by dealing "
        "each to the right moments, is in the campaign's figures against the hold-out.</p>"
    )
    return f'<section id="learnt"><h2>Arms that are learnt</h2>{markup.table(heads, rows)}{about}</section>'


def _reasons(report: Report) -> str:
    every = list(dict.fromkeys(reason for found in report.reasons.values() for reason in found))
    if not every:
        return ""
    totals = {reason: sum(found.get(reason, 0) for found in report.reasons.values()) for reason in every}
    order = sorted(every, key=lambda reason: -totals[reason])
    rows = [
        markup.row(
            REASONS.get(reason, reason.replace("_", " ")),
            [
                *(f"{found[reason]:,}" if reason in found else "" for found in report.reasons.values()),
                f"{totals[reason]:,}",
            ],
        )
        for reason in order
    ]
    heads = ("what became of a candidate", *report.reasons, "all")
    return f'<section id="reasons"><h2>What was sent, and what held the rest back</h2>{markup.table(heads, rows)}</section>'


def _spend(report: Report, drawn: bool) -> str:
    if not report.spend:
        return ""
    rows = []
    for name, one in report.spend.items():
        budget = "none" if one.budget is None else _money(one.budget)
        used = f"{one.expected / one.budget:.0%}" if one.budget else ""
        amounts = map(_money, (one.redeemed, one.messages, one.spent, one.expected))
        rows.append(markup.row(name, [f"{one.sent:,}", *amounts, budget, used]))
    heads = ("campaign", "sent", "coupons redeemed", "messages", "spent", "expected", "budget", "used")
    picture = f'<div class="plots">{plots.spend(report.spend, "all")}</div>' if drawn else ""
    about = (
        '<p class="dim">Coupons are spent when they are redeemed within their window, with what they took off. A budget '
        "counts beforehand, by the cost that the policy expects of each contact: “expected”, and “used” of it.</p>"
    )
    return f'<section id="spend"><h2>Spend against budget</h2>{markup.table(heads, rows)}{about}{picture}</section>'


def _method() -> str:
    lines = (
        "Some shoppers are held out by lot and never get anything. Whatever the others did more than they was caused by what "
        "was sent, give or take chance; the 95 % interval says how much chance could have done. A shopper counts from the "
        "first time a campaign looked at them, whether or not something was sent then, because for the held out nobody asked.",
        "Counted is what happens within the campaign's window after that. Shoppers whose window is not over wait.",
        "“Extra” is sharpened by what each shopper bought before, which cannot depend on the lot (CUPED); “noise removed” is "
        "the share of the variance that this takes away. Revenue per order: delta method.",
        "“95 % at every look” holds however often this page is looked at (a confidence sequence); the narrower interval only "
        "for a look that was planned. Where the wider one leaves 0 out, an effect is sure; where only the narrower, likely.",
        "“Who it works for” sorts shoppers by the value that was expected of acting, and shows what came; they should rise "
        "together. Where only a part was sent something, what came is that part of what acting does.",
    )
    return f'<section id="method"><h2>How to read this</h2>{"".join(f"<p>{escape(line)}</p>" for line in lines)}</section>'


def _value(figure: Figure, value: float) -> str:
    return _plain(figure.metric.unit, value)


def _plain(unit: str, value: float, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if unit == "share":
        return f"{100 * value:{sign}.2f} pp" if signed else f"{100 * value:.2f} %"
    return f"{value:{sign},.3f}" if unit == "count" else _money(value, signed)


def _money(value: float, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.2f}"


def _difference(figure: Figure) -> str:
    unit, interval = figure.metric.unit, figure.best.interval
    text = _plain(unit, figure.best.value, True)
    if interval is None:
        return text
    up, down = interval.low > 0, interval.high < 0
    kind = (
        "sure"
        if (down if figure.metric.bad else up)
        else "worse"
        if (up if figure.metric.bad else down)
        else ""
    )
    return f'<span class="{kind}">{text}</span><small>{_interval(figure, interval)}</small>'


def _interval(figure: Figure, interval: Range | None) -> str:
    if interval is None:
        return "too few"
    unit = figure.metric.unit
    return f"{_plain(unit, interval.low, True)}…{_plain(unit, interval.high, True)}"


def _total(figure: Figure) -> str:
    if figure.total is None:
        return ""
    ends: Iterable[float] = figure.total_interval or ()
    small = "…".join(_whole(figure, value) for value in ends)
    return _whole(figure, figure.total) + (f"<small>{small}</small>" if small else "")


def _whole(figure: Figure, value: float) -> str:
    return _money(value, True) if figure.metric.unit == "money" and abs(value) < 100 else f"{value:+,.0f}"


def _day(time: int) -> str:
    return iso(time).replace("T00:00:00+00:00", "").replace("+00:00", " UTC").replace("T", " ")
