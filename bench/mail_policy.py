"""Which of two e-mails, if any, for whom: what policies learnt from Hillstrom's trial are worth, for `make bench-uplift`.

Everybody's policy is learnt from the other four of five folds, TURNS times over, and valued by DR with the trial's chances of
a third: 64,000 rounds, paired against an e-mail about men's clothes for all, the best thing to do for everybody alike. An
e-mail costs `cost` outcomes: a hundredth of a visit, say. `net` is outcomes less cost per customer, in percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench import report
from bench.hillstrom import CONTROL, MENS, WOMENS, customers, inputs
from models.families import table
from models.families.logistic import Logistic
from models.families.table import Array, Doubles
from models.ope.estimators import Estimate, dr, estimate
from models.ope.log import Log
from models.ope.rewards import cross_fitted
from models.uplift.arms import Arms
from models.uplift.learners import Learner

ACTIONS = (CONTROL, MENS, WOMENS)
TURNS = 1 if report.fast() else 4
FOLDS = 5
COSTS = {"visit": (0.0, 0.04, 0.06, 0.08, 0.1), "conversion": (0.0, 0.002, 0.004, 0.006)}
STATED = ("visit", 0.08)  # the bar's: an e-mail to everybody costs about what it brings
FIXED = {"nobody": 0, "all_mens": 1, "all_womens": 2}


def told(learner: Learner) -> tuple[dict[str, Any], list[report.Bar]]:
    """Figures by outcome and cost, and bars. Raises NoData where the trial is absent."""
    rows = customers()
    known, names = inputs(rows), rows["segment"].to_numpy()
    figures: dict[str, Any] = {}
    bars = []
    for outcome, costs in COSTS.items():
        came = rows[outcome].to_numpy(np.float64)
        effects = [learnt(learner, known, names, came, turn) for turn in range(TURNS)]
        for cost in costs:
            found = net(known, names, came, effects, cost)
            name = f"{outcome}_at_{cost:g}"
            figures[name] = found
            if not cost:
                bars.append(
                    report.at_least(
                        f"{outcome}: policy less all-Mens by DR, pp, upper end of 95 %", found["most_pp"], 0
                    )
                )
            if (outcome, cost) == STATED:
                text = f"{outcome}, an e-mail costs {cost:g}: cost-aware policy less all-Mens, pp, lower end of 95 %"
                bars.append(report.at_least(text, found["least_pp"], 0))
    return figures, bars


def learnt(learner: Learner, known: Doubles, names: Array, came: Doubles, turn: int) -> Doubles:
    """Effects of every action (N, 3), of nothing 0, each row's from the other folds."""
    fold = table.folds(np.zeros(len(known)), FOLDS, turn)
    found = np.zeros((len(known), len(ACTIONS)))
    for one in range(FOLDS):
        rest = fold != one
        arms = Arms.fit(learner, known[rest], names[rest], came[rest], list(ACTIONS[1:]), CONTROL, turn)
        found[~rest, 1:] = arms.effects(known[~rest])
    return found


def net(known: Doubles, names: Array, came: Doubles, effects: list[Doubles], cost: float) -> dict[str, float]:
    """What the policy and the same for everybody bring less their cost, and the difference, paired, with its interval."""
    price = np.array([0.0, cost, cost])
    actions = np.searchsorted(np.array(sorted(ACTIONS)), names)
    place = np.array([ACTIONS.index(name) for name in sorted(ACTIONS)])[actions]
    log = Log.of(place, came - price[place], np.full(len(place), 1 / 3), len(ACTIONS))
    gross = Log.of(place, came, log.propensities, len(ACTIONS))
    q = cross_fitted(known, gross, Logistic(strength=10.0), FOLDS) - price
    policies = [np.eye(len(ACTIONS))[(one - price).argmax(axis=1)] for one in effects]
    ours = over_turns([dr(log, one, q) for one in policies])
    fixed = {name: dr(log, np.tile(np.eye(3)[one], (len(log), 1)), q) for name, one in FIXED.items()}
    ahead = ours.minus(fixed["all_mens"])
    best = max(fixed, key=lambda name: fixed[name].value)
    shares = np.mean(policies, axis=(0, 1))
    return {
        "net_pp": 100 * ours.value,
        **{f"net_{name}_pp": 100 * one.value for name, one in fixed.items()},
        **_interval("", ahead),
        **_interval("best_of_all_alike_", ours.minus(fixed[best])),
        "share_mens": float(shares[1]),
        "share_womens": float(shares[2]),
    }


def over_turns(each: list[Estimate]) -> Estimate:
    """One estimate of policies that were learnt several times over: of each customer, the mean of the terms."""
    worst = min((one.overlap for one in each), key=lambda one: one.ess)
    return estimate(np.mean([one.terms for one in each], axis=0), worst)


def _interval(name: str, found: Estimate) -> Mapping[str, float]:
    ends = {"ahead": found.value, "least": found.low, "most": found.high}
    return {f"{name}{key}_pp": 100 * one for key, one in ends.items()}
