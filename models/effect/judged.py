"""Comparisons of groups that chance made: figures, how sure they are, whether the groups are sound, whom it works for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.effect import balance as balances
from models.effect.assigned import HELD, TREATED, Assigned, Decisions, Past
from models.effect.balance import Balance
from models.effect.difference import Effect, adjusted, difference, ratio, variance_cut
from models.effect.margin import net
from models.effect.sequential import LEAST, always
from models.evaluation.bootstrap import Range
from models.families.table import Doubles
from models.uplift.measures import Decile, calibration

PARTS = 10
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Metric:
    """title and unit of a figure; a share is told in percentage points, more of `bad` is worse."""

    name: str
    title: str
    unit: str = "money"
    bad: bool = False


METRICS = (
    Metric("margin", "Margin after coupons and messages"),
    Metric("revenue", "Revenue less returns"),
    Metric("converted", "Bought something", "share"),
    Metric("orders", "Orders", "count"),
    Metric("revenue_per_order", "Revenue per order", "ratio"),
    Metric("unsubscribed", "Withdrew consent", "share", bad=True),
)


@dataclass(frozen=True)
class Figure:
    """A metric of a comparison. best: what counts, sharpened by the past where that is known; anytime: at every look.

    total: `best` times the treated shoppers, what it all came to; None for ratios.
    """

    metric: Metric
    plain: Effect
    best: Effect
    cut: float | None
    anytime: Range | None
    total: float | None
    total_interval: Range | None

    @property
    def verdict(self) -> str:
        """sure: at every look; likely: at this one, if it was planned; open: it could be nothing."""
        for interval, word in ((self.anytime, "sure"), (self.best.interval, "likely")):
            if interval is not None and not interval.low <= 0 <= interval.high:
                return word
        return "open"

    def to_json(self) -> dict[str, Any]:
        return {
            "treated": self.plain.treated,
            "control": self.plain.control,
            "difference": self.plain.value,
            "interval": self.plain.interval,
            "best": self.best.value,
            "best_interval": self.best.interval,
            "p_value": self.best.p_value,
            "variance_cut": self.cut,
            "anytime_interval": self.anytime,
            "total": self.total,
            "total_interval": self.total_interval,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Growing:
    """The margin's difference after so many shoppers (K,), with both intervals; NaN where one is not told."""

    shoppers: list[int]
    value: list[float]
    single: list[Range | None]
    anytime: list[Range | None]


@dataclass(frozen=True)
class Comparison:
    """One group against another. sent: share of the treated to whom something was published within their window."""

    name: str
    title: str
    treated: str
    control: str
    shoppers: dict[str, int]
    open: dict[str, int]
    mixed: int
    sent: float
    balance: Balance
    figures: tuple[Figure, ...]
    deciles: tuple[Decile, ...]
    growing: Growing | None

    def figure(self, name: str) -> Figure:
        return next(one for one in self.figures if one.metric.name == name)

    def to_json(self) -> dict[str, Any]:
        balance = {
            "found": self.balance.found,
            "expected": self.balance.expected,
            "p_value": self.balance.p_value,
            "alarm": self.balance.alarm,
        }
        return {
            "title": self.title,
            "treated": self.treated,
            "control": self.control,
            "shoppers": self.shoppers,
            "windows_open": self.open,
            "in_both_groups": self.mixed,
            "share_sent": self.sent,
            "sample_ratio": balance,
            "metrics": {one.metric.name: one.to_json() for one in self.figures},
            "deciles": [vars(one) for one in self.deciles],
        }


def outcomes(rows: Decisions, margin_share: float) -> dict[str, Doubles]:
    """Figures by decision (N,). margin_share: of revenue, where an outcome tells no margin of its own; returns cost it, too."""
    kept = rows.revenue - rows.returned
    return {
        "margin": net(
            rows.revenue, rows.returned, rows.margin, rows.coupon_cost, rows.contact_cost, margin_share
        ),
        "revenue": kept,
        "converted": (rows.orders > 0).astype(float),
        "orders": rows.orders,
        "unsubscribed": rows.unsubscribed.astype(float),
    }


def against_holdout(
    assigned: Assigned, name: str, title: str, margin_share: float, past: Past | None, days: float
) -> Comparison | None:
    """Everybody not held out against who was. None when a group is empty."""
    arm = assigned.group == TREATED
    if arm.all() or not arm.any():
        return None
    shares = assigned.expected[~np.isnan(assigned.expected)]
    held = np.repeat([True, False], [assigned.counts.get(HELD, 0), assigned.counts.get(TREATED, 0)])
    chance = np.full(len(held), shares.mean()) if len(shares) < len(held) else shares
    return _compared(
        assigned,
        arm,
        name,
        title,
        (TREATED, HELD),
        balances.holdout_balance(held, chance),
        margin_share,
        past,
        days,
    )


def against_arm(
    assigned: Assigned,
    campaign: str,
    treated: str,
    control: str,
    margin_share: float,
    past: Past | None,
    days: float,
) -> Comparison | None:
    """One arm of an experiment against another; other arms are left out."""
    both = np.isin(assigned.group, (treated, control))
    some = replace(assigned, rows=assigned.rows[both], group=assigned.group[both], share=assigned.share[both])
    arm = some.group == treated
    if arm.all() or not arm.any():
        return None
    shares = {name: float(some.share[some.group == name].mean()) for name in (treated, control)}
    counts = {name: assigned.counts.get(name, 0) for name in shares}
    title = f"{campaign}: arm {treated} against {control}"
    sound = balances.balance(counts, shares)
    return _compared(
        some, arm, f"{campaign}-{treated}", title, (treated, control), sound, margin_share, past, days
    )


def _compared(
    assigned: Assigned,
    arm: Any,
    name: str,
    title: str,
    names: tuple[str, str],
    sound: Balance,
    margin_share: float,
    past: Past | None,
    days: float,
) -> Comparison:
    rows = assigned.rows
    found = outcomes(rows, margin_share)
    before = None if past is None else past.before(rows.user, rows.time, round(days * DAY_MS))
    figures = tuple(_figure(one, found, arm, before) for one in METRICS)
    return Comparison(
        name=name,
        title=title,
        treated=names[0],
        control=names[1],
        shoppers={names[0]: int(arm.sum()), names[1]: int((~arm).sum())},
        open={one: assigned.open.get(one, 0) for one in names},
        mixed=assigned.mixed,
        sent=float((rows.contacts[arm] > 0).mean()),
        balance=sound,
        figures=figures,
        deciles=_deciles(rows.value, arm, found["margin"]),
        growing=_growing(found["margin"], arm, before),
    )


def _figure(metric: Metric, found: Mapping[str, Doubles], arm: Any, before: Doubles | None) -> Figure:
    if metric.unit == "ratio":
        plain = ratio(found["revenue"], found["orders"], arm)
        return Figure(metric, plain, plain, None, always(plain, len(arm)), None, None)
    values, cut = found[metric.name], None
    plain = best = difference(values, arm)
    if before is not None:
        best = adjusted(values, arm, before)
        cut = variance_cut(plain, best)
    many, interval = int(arm.sum()), best.interval
    total = Range(many * interval.low, many * interval.high) if interval else None
    return Figure(metric, plain, best, cut, always(best, len(arm)), many * best.value, total)


def _deciles(value: Doubles, arm: Any, margin: Doubles) -> tuple[Decile, ...]:
    """By expected value of acting; fewer parts where a tenth of the shoppers holds too few of a group."""
    for parts in (PARTS, PARTS // 2, 3):
        if min(arm.sum(), (~arm).sum()) < LEAST // 2:
            break
        try:
            return tuple(calibration(value, arm, margin, parts))
        except ValueError:
            continue
    return ()


def _growing(margin: Doubles, arm: Any, before: Doubles | None, points: int = 40) -> Growing | None:
    """As it was to be seen while shoppers came in, oldest first."""
    if len(arm) < 2 * LEAST:
        return None
    counts = np.unique(np.geomspace(LEAST, len(arm), points).astype(int)).tolist()
    seen = []
    for count in counts:
        some = arm[:count]
        if some.all() or not some.any():
            continue
        past = None if before is None else before[:count]
        seen.append(
            (
                count,
                difference(margin[:count], some) if past is None else adjusted(margin[:count], some, past),
            )
        )
    return Growing(
        [count for count, _ in seen],
        [effect.value for _, effect in seen],
        [effect.interval for _, effect in seen],
        [always(effect, count) for count, effect in seen],
    )
