"""`make bench-report`: does the effect report tell the truth? Held against a made-up shop's true effects, 200 times.

Every run draws other shoppers and another lot, has the shop play its two weeks, and hands the whole to the report as
decisions with their outcomes, as `models.effect.source` would have read them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench import report
from models.effect.assigned import Decisions, Past
from models.effect.judged import Comparison
from models.effect.report import judge
from models.families.table import Array
from models.replay.source import Interval
from models.shop.panel import TrialRun, run_trial
from models.shop.population import ACTIONS, MARGIN_SHARE, NOTHING, Population

RUNS = 200
SHOPPERS, HOLDOUT, DAYS = 8_000, 0.1, 14
COUPON = ACTIONS.index("coupon_5")
DAY_MS = 86_400_000
FIGURES = ("margin", "revenue", "orders", "revenue_per_order", "unsubscribed")
LOW, HIGH = 0.92, 0.97


def decided(run: TrialRun, action: int, times: Array) -> Decisions:
    """The trial as the first decisions of its shoppers, with what came. times: (N,), ms."""
    count = len(run.treated)
    held, zeros = ~run.treated, np.zeros(count)
    return Decisions(
        user=np.array([f"{n:06}" for n in range(count)]),
        campaign=np.full(count, ACTIONS[action]),
        kind=np.full(count, "coupon"),
        reason=np.where(held, "holdout", "emitted"),
        arm=np.full(count, ""),
        time=times,
        value=zeros,
        propensity=np.where(held, HOLDOUT, 1 - HOLDOUT),
        policy=np.full(count, "one"),
        learned_version=np.full(count, ""),
        drawn=np.zeros(count, bool),
        told=np.ones(count, bool),
        complete=np.ones(count, bool),
        unsubscribed=run.seen.unsubscribed > 0,
        orders=run.seen.orders,
        revenue=run.seen.revenue,
        returned=zeros,
        margin=np.full(count, np.nan),
        coupon_cost=run.seen.coupon_cost,
        contact_cost=run.seen.contact_cost,
        contacts=run.treated.astype(float),
        redemptions=zeros,
    )


def truth(run: TrialRun) -> dict[str, float]:
    """What being treated changes on average in this shop, by figure."""
    found = {name: float(run.effect(name).mean()) for name in ("margin", "revenue", "orders", "unsubscribed")}
    each = [float(one.revenue.sum() / one.orders.sum()) for one in (run.with_action, run.without)]
    return found | {"revenue_per_order": each[0] - each[1]}


def played(seed: int, action: int) -> tuple[Comparison, dict[str, float]]:
    """The report of one run, and its truth."""
    rng = np.random.default_rng((seed, 99))
    treated = rng.random(SHOPPERS) >= HOLDOUT
    run = run_trial(Population.draw(SHOPPERS, seed), treated, action, DAYS, seed)
    rows = decided(run, action, np.sort(rng.integers(0, DAYS * DAY_MS, SHOPPERS)))
    bought = run.before > 0
    past = Past(rows.user[bought], rows.time[bought] - DAY_MS, run.before[bought])
    found = judge(rows, Interval(0, DAYS * DAY_MS), MARGIN_SHARE, past).overall
    assert found is not None
    return found, truth(run)


def covered(found: Sequence[tuple[Comparison, dict[str, float]]], name: str) -> dict[str, float]:
    """How often intervals of one figure held its truth."""
    held: dict[str, list[bool]] = {"covers": [], "covers_without_cuped": [], "covers_at_every_look": []}
    errors, cuts = [], []
    for comparison, true in found:
        figure, at = comparison.figure(name), true[name]
        intervals = (figure.best.interval, figure.plain.interval, figure.anytime)
        for kept, interval in zip(held.values(), intervals, strict=True):
            kept.append(interval is not None and interval.low <= at <= interval.high)
        errors.append((figure.best.value - at) / figure.best.error)
        cuts.append(figure.cut or 0.0)
    return {
        "true_effect": float(np.mean([true[name] for _, true in found])),
        **{of: float(np.mean(kept)) for of, kept in held.items()},
        "noise_removed": float(np.mean(cuts)),
        "mean_error_in_se": float(np.mean(errors)),
    }


def settled(found: Sequence[tuple[Comparison, dict[str, float]]]) -> dict[str, float]:
    """Runs in which the margin's intervals held the truth at all looks: the sequence's, and those of single looks."""
    kept = {"sequence": 0, "single": 0}
    for comparison, true in found:
        growing = comparison.growing
        assert growing is not None
        for name, ranges in (("sequence", growing.anytime), ("single", growing.single)):
            kept[name] += all(one is None or one.low <= true["margin"] <= one.high for one in ranges)
    return {name: count / len(found) for name, count in kept.items()}


def band(runs: int, chance: float, sure: float = 0.99) -> tuple[int, int]:
    """Counts between which a binomial number lies with probability `sure`, tails alike."""
    below, low = 0.0, 0
    weights = [math.comb(runs, n) * chance**n * (1 - chance) ** (runs - n) for n in range(runs + 1)]
    while below + weights[low] <= (1 - sure) / 2:
        below, low = below + weights[low], low + 1
    above, high = 0.0, runs
    while above + weights[high] <= (1 - sure) / 2:
        above, high = above + weights[high], high - 1
    return low, high


def uniform_distance(p_values: Sequence[float]) -> float:
    """Kolmogorov and Smirnov's distance from a uniform distribution."""
    sorted_, count = np.sort(p_values), len(p_values)
    return float(
        max(np.max(np.arange(1, count + 1) / count - sorted_), np.max(sorted_ - np.arange(count) / count))
    )


def runs_of(action: int, runs: int, first: int) -> list[tuple[Comparison, dict[str, float]]]:
    found = []
    for seed in range(first, first + runs):
        found.append(played(seed, action))
        if (seed + 1) % 20 == 0:
            print(f"{ACTIONS[action]}: {seed + 1 - first} of {runs}", flush=True)
    return found


def between(name: str, value: float, low: float, high: float) -> report.Bar:
    return report.Bar(name, value, f"{low:g} to {high:g}", low <= value <= high)


def main() -> int:
    runs = 20 if report.fast() else RUNS
    effect, nothing = runs_of(COUPON, runs, 0), runs_of(NOTHING, runs, 10_000)
    figures: dict[str, Any] = {"runs": runs, "shoppers": SHOPPERS, "held_out_share": HOLDOUT}
    figures["effect"] = {name: covered(effect, name) for name in FIGURES}
    figures["at_every_look"] = settled(effect)
    bars = [
        between(
            f"{name}: 95 % intervals that hold the true effect", figures["effect"][name]["covers"], LOW, HIGH
        )
        for name in FIGURES
    ]
    low, high = band(runs, 0.05)
    figures["nothing"] = {}
    for name in ("margin", "revenue", "orders", "revenue_per_order"):
        p_values = [found.figure(name).best.p_value or 0.0 for found, _ in nothing]
        alarms, distance = sum(p < 0.05 for p in p_values), uniform_distance(p_values)
        figures["nothing"][name] = {"alarms": alarms, "distance_from_uniform": distance}
        bars.append(between(f"{name}: false alarms of {runs} runs without an effect", alarms, low, high))
        # 1.63 / sqrt(n): the distance that one in a hundred right runs exceeds.
        bars.append(
            report.at_most(f"{name}: distance of p-values from uniform", distance, 1.63 / math.sqrt(runs))
        )
    unequal = sum(found.balance.alarm for found, _ in (*effect, *nothing))
    figures["sample_ratio_alarms"] = unequal
    bars.append(
        report.at_most(f"false alarms of group sizes in {2 * runs} runs", unequal, band(2 * runs, 0.001)[1])
    )
    bars.append(
        report.at_least(
            "runs in which the interval for every look held at all of 40",
            figures["at_every_look"]["sequence"],
            band(runs, 0.95)[0] / runs,
        )
    )
    return report.finish("honesty", figures, bars, {}, report.trial())


if __name__ == "__main__":
    sys.exit(main())
