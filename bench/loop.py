"""`make bench-loop`: a closed loop on made-up shoppers: what a learner earns over the hold-out, beside an oracle and habits.

30,000 shoppers of models/shop, a tenth of them never sent anything, five seeds. Every morning each policy sees what a site
sees and chooses an action for each shopper under the same daily budget; what was over- or underspent is made good the next
day. Days 1 to 28 are the learning period, in which the learner begins with nothing; days 29 to 56 are judged.

`gain` is the true expected margin, after coupons and contacts, over doing nothing, so that luck is no part of it; `seen` is
what a report would say: margin per shopper less the hold-out's. The oracle knows the true effects of the day, not more:
like the others it does not look ahead to whom it tires. Regret of a day is the share of the best choice's gain that the
learner missed, both in the shop as the learner made it; it cannot come to 0, since nobody sees the latents. Then the
learner's values are spent through a day in 288 parts, at which redemptions so far are known (models/pacing.py), twice a seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench import report
from bench.loop_policies import AboveThreshold, Learner, Oracle, Policy, Random, Ranked, SortedByScore
from models.budget import allocate
from models.families.logistic import Logistic
from models.families.table import Array, Doubles
from models.pacing import Pacer
from models.shop.browsing import HOURS
from models.shop.panel import Panel
from models.shop.population import ACTIONS, NOTHING, Population

SHOPPERS, SEEDS, LEARNING, JUDGED = 30_000, 5, 28, 28
DAILY = 0.03  # budget by shopper and day, money
HOLDOUT = 0.1
HISTORY = 10  # days without campaigns that the score of the habits is learnt from
THRESHOLD = 0.05  # chance of an order today, about the mean
PARTS, PACED_DAYS = 288, 2
CURVE = (0.0, *np.cumsum(HOURS / HOURS.sum())[:-1].tolist(), 1.0)  # share of the day's visitors that has come
T_975 = 2.776  # of Student's t with 4 degrees of freedom


@dataclass
class Played:
    """One policy in one shop, day by day."""

    gain: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def judged(self, days: list[float]) -> float:
        """Mean over the days that are judged."""
        return float(np.mean(days[LEARNING:]))


def play(panel: Panel, policy: Policy, held: Array, days: int, regretted: bool) -> Played:
    """`days` days. held: bool (N,), who never gets anything. regretted: regret is measured, which takes a while."""
    found, daily, over = Played(), DAILY * len(held), 0.0
    for _ in range(days):
        allowed, plan = allowed_today(panel, held), max(daily - over, 0.0)
        chosen = policy.choose(panel.seen(), allowed, plan)
        truth = panel.truth()
        value = truth.margin - truth.margin[:, [NOTHING]]
        found.gain.append(float(value[np.arange(len(held)), chosen].sum()))
        if regretted:
            found.regret.append(1.0 - found.gain[-1] / allocate(value, truth.spent, plan, allowed).value)
        came = panel.step(chosen)
        found.spent.append(float(came.spent.sum()))
        over += found.spent[-1] - daily
        found.seen.append(float((came.margin[~held].mean() - came.margin[held].mean()) * (~held).sum()))
        policy.hear(came)
    return found


def allowed_today(panel: Panel, held: Array) -> Array:
    """Actions (N, A) that the shop and the hold-out allow."""
    allowed = panel.allowed()
    allowed[held] = np.arange(len(ACTIONS)) == NOTHING
    return allowed


def scored(population: Population, seed: int) -> Logistic:
    """P(order today), learnt on days before the first campaign."""
    panel, rows, bought = Panel(population, seed + 1000), [], []
    for _ in range(HISTORY):
        rows.append(panel.seen()[:, :-2])
        bought.append(panel.step(np.full(len(population), NOTHING)).converted)
    return Unworn(strength=10.0).fit(np.concatenate(rows), np.concatenate(bought))


class Unworn(Logistic):
    """A model of the columns that there are without campaigns; it takes no notice of contacts."""

    def predict(self, inputs: Array) -> Doubles:
        """See Logistic."""
        return super().predict(inputs[:, :-2])


def paced(panel: Panel, learner: Learner, held: Array) -> float:
    """Spend of a day against its plan, when shoppers come one after the other. The day passes."""
    allowed, seen = allowed_today(panel, held), panel.seen()
    value, cost = learner.expected(seen)
    pacer = Pacer(DAILY * len(held), 1.02 * DAILY * len(held), CURVE, steps=PARTS, forecast=float(len(held)))
    order = np.random.default_rng((panel.day, 14)).permutation(len(held))
    upto = np.interp(np.arange(PARTS + 1) / PARTS, np.linspace(0, 1, len(CURVE)), CURVE) * len(held)
    chosen, reserved = np.full(len(held), NOTHING), 0.0
    for part in range(PARTS):
        some = order[int(upto[part]) : int(upto[part + 1])]
        chosen[some] = pacer.choose(value[some], cost[some], part / PARTS, allowed[some])
        reserved += float(cost[some, chosen[some]].sum())
        pacer.correct(float(panel.come(chosen).spent.sum()) - pacer.spent)
    return float(panel.step(chosen).spent.sum()) / pacer.budget


def makers(population: Population, seed: int) -> dict[str, Callable[[Panel], Policy]]:
    """All policies by name. Habits come with the middle coupon and with a push: the better of both counts."""
    score = scored(population, seed)
    found: dict[str, Callable[[Panel], Policy]] = {
        "oracle": Oracle,
        "learner": lambda panel: Learner(panel.seen(), seed),
        "random": lambda _: Random(seed),
    }
    for action in ("coupon_5", "push"):
        found[f"everyone_{action}"] = lambda _, action=action: Ranked(action, seed)  # type: ignore[misc]
        found[f"sorted_by_p_buy_{action}"] = lambda _, action=action: SortedByScore(action, seed, score)  # type: ignore[misc]
        found[f"score_above_threshold_{action}"] = lambda _, action=action: AboveThreshold(  # type: ignore[misc]
            action, seed, score, THRESHOLD
        )
    return found


def shop(seed: int, shoppers: int, days: int) -> tuple[dict[str, Played], list[float]]:
    """Every policy in the shop of one seed, and what the paced days spent of their plan."""
    population = Population.draw(shoppers, seed)
    held = np.random.default_rng((seed, 15)).random(shoppers) < HOLDOUT
    found: dict[str, Played] = {}
    spends: list[float] = []
    for name, make in makers(population, seed).items():
        panel = Panel(population, seed)
        policy = make(panel)
        found[name] = play(panel, policy, held, days, name == "learner")
        if isinstance(policy, Learner):
            spends = [paced(panel, policy, held) for _ in range(PACED_DAYS)]
        print(f"seed {seed}: {name} {found[name].judged(found[name].gain):,.0f} a day", flush=True)
    return found, spends


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % interval, by Student's t."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - T_975 * error, mean + T_975 * error


def main() -> int:
    shoppers, days = (4_000, LEARNING + 7) if report.fast() else (SHOPPERS, LEARNING + JUDGED)
    shops, spends = [], []
    for seed in range(SEEDS):
        found, spend = shop(seed, shoppers, days)
        shops.append(found)
        spends += spend
    shares = {
        name: [one[name].judged(one[name].gain) / one["oracle"].judged(one["oracle"].gain) for one in shops]
        for name in shops[0]
    }
    figures: dict[str, dict[str, float]] = {}
    for name, values in shares.items():
        mean, low, high = interval(values)
        seen = [one[name].judged(one[name].seen) for one in shops]
        figures[name] = {
            "share_of_oracle": mean,
            "share_low": low,
            "share_high": high,
            "gain_by_day": float(np.mean([one[name].judged(one[name].gain) for one in shops])),
            "gain_seen_by_day": float(np.mean(seen)),
            "spend_of_budget": float(np.mean([np.sum(one[name].spent) for one in shops]))
            / (DAILY * shoppers * days),
        }
    regret = np.mean([one["learner"].regret for one in shops], axis=0)
    weeks = {
        f"week_{week + 1}": float(part.mean()) for week, part in enumerate(np.split(regret, len(regret) // 7))
    }
    flatter = [
        float(np.mean(one["learner"].regret[:LEARNING]) - np.mean(one["learner"].regret[LEARNING:]))
        for one in shops
    ]
    learnt, _, _ = interval(shares["learner"])
    bars = [report.at_least("learner: profit over hold-out as share of the oracle's", learnt, 0.9)]
    for habit in ("random", "everyone", "sorted_by_p_buy", "score_above_threshold"):
        kinds = [name for name in shares if name.startswith(habit)]
        best = max(kinds, key=lambda name: float(np.mean(shares[name])))
        ahead = [one - other for one, other in zip(shares["learner"], shares[best], strict=True)]
        bars.append(
            report.at_least(
                f"learner less {best}, share of the oracle: lower end of 95 %", interval(ahead)[1], 0.0
            )
        )
    bars += [
        report.at_least(
            "regret of a learning day less that of a judged day: lower end of 95 %", interval(flatter)[1], 0.0
        ),
        report.at_most(
            "spend of a paced day: most that it is off plan, %",
            100 * max(abs(one - 1.0) for one in spends),
            2.0,
        ),
    ]
    return report.finish(
        "loop",
        {"shoppers": shoppers, "policies": figures, "regret_of_a_day": weeks},
        bars,
        report.libraries(("scikit-learn",)),
        report.trial(),
    )


if __name__ == "__main__":
    sys.exit(main())
