"""`make bench-ope`: what a policy would have earned, told from another's log, against what it does earn.

Two bandits that know the truth (models/ope/synthetic.py), 30 actions, 5 numbers of context, logged by a policy that likes
bad actions (β = -3), 10,000 rounds a log, 10 logs of each of 20 bandits:

published  the protocol of zr-obp's synthetic bench: its law of rewards, a target learnt from a log of its own (logistic,
           weighted by reward over propensity), rewards expected by one logistic model of context and action, 3 folds
far        actions that differ widely and products that no model here can learn; the target is drawn to the best (β = 3)

`floor` is DR with the true expected rewards, which no estimator without knowledge of them can beat by much. Then real
logs (bench/open_bandit.py), whose truth is itself a mean of few clicks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import open_bandit, report
from bench.models.row import NoData
from models.families.logistic import Logistic
from models.families.table import Array, Doubles
from models.ope.estimators import Estimate, dm, dr, ips, snips, switch_dr
from models.ope.log import Log
from models.ope.rewards import cross_fitted
from models.ope.synthetic import Bandit

BANDITS, LOGS = (4, 2) if report.fast() else (20, 10)
ROUNDS, FOLDS, SWITCH = 10_000, 3, 10.0
LOGGED, FAR = -3.0, 3.0  # β
Policy = Callable[[Doubles], Array]


@dataclass(frozen=True)
class Setting:
    """Bandits, the target on each of them, and the model of rewards."""

    name: str
    alike: bool
    apart: bool  # a model of rewards for each action
    strength: float  # of the logistic's penalty

    def target(self, bandit: Bandit) -> Policy:
        if not self.alike:
            return lambda contexts: bandit.softmax(contexts, FAR)
        return learnt(bandit)


SETTINGS = (Setting("published", True, False, 0.01), Setting("far", False, True, 1.0))


def main() -> int:
    try:
        real = open_bandit.told()
    except NoData as absent:
        print(f"skipped: {absent}")
        return 0
    figures: dict[str, Any] = {"runs": BANDITS * LOGS, "rounds": ROUNDS}
    bars: list[report.Bar] = []
    for setting in SETTINGS:
        found = figures[setting.name] = told(setting)
        if setting.alike:
            bars.append(
                report.at_most("published: mean relative error of DR", found["dr_relative_error"], 0.01)
            )
        bars += [
            report.at_least(f"{setting.name}: 95 % intervals that cover", found["dr_covers"], 0.92),
            report.at_most(f"{setting.name}: 95 % intervals that cover ", found["dr_covers"], 0.97),
            *(
                report.at_most(
                    f"{setting.name}: squared error of DR over that of {other.upper()}",
                    found["dr_relative_rmse"] ** 2 / found[f"{other}_relative_rmse"] ** 2,
                    1.0,
                )
                for other in ("ips", "dm")
            ),
        ]
    return report.finish(
        "ope", figures | real, bars, report.libraries(("scikit-learn", "pandas")), report.trial()
    )


def told(setting: Setting) -> dict[str, float]:
    """Figures of each estimator over all logs: mean relative error with its standard error, root mean square, coverage."""
    errors: dict[str, list[float]] = {}
    covers: dict[str, list[bool]] = {}
    ess, weight = [], []
    for place in range(BANDITS):
        bandit = Bandit(alike=setting.alike, seed=place)
        target = setting.target(bandit)
        truth = bandit.value_of(target)
        for turn in range(LOGS):
            estimates = estimated(setting, bandit, target, seed=1000 * place + turn)
            for name, one in estimates.items():
                errors.setdefault(name, []).append(one.value / truth - 1)
                covers.setdefault(name, []).append(one.low <= truth <= one.high)
            ess.append(estimates["dr"].overlap.ess)
            weight.append(estimates["dr"].overlap.weight)
        print(f"{setting.name}: bandit {place + 1} of {BANDITS}, worth {truth:.4f}", flush=True)
    found: dict[str, float] = {"ess": float(np.mean(ess)), "weight_max": float(np.max(weight))}
    for name, each in errors.items():
        apart = np.abs(each)
        found |= {
            f"{name}_relative_error": float(apart.mean()),
            f"{name}_relative_error_se": float(apart.std(ddof=1) / np.sqrt(len(apart))),
            f"{name}_relative_rmse": float(np.sqrt((apart**2).mean())),
            f"{name}_covers": float(np.mean(covers[name])),
        }
    return found


def estimated(setting: Setting, bandit: Bandit, target: Policy, seed: int) -> dict[str, Estimate]:
    """All estimators on one log."""
    contexts = bandit.contexts(ROUNDS, 2 * seed)
    log = logged(bandit, contexts, 2 * seed + 1)
    wanted = target(contexts)
    q = cross_fitted(contexts, log, Logistic(strength=setting.strength), FOLDS, seed, setting.apart)
    return {
        "ips": ips(log, wanted),
        "snips": snips(log, wanted),
        "dm": dm(log, wanted, q),
        "dr": dr(log, wanted, q),
        "switch_dr": switch_dr(log, wanted, q, SWITCH),
        "floor": dr(log, wanted, bandit.expected(contexts)),
    }


def logged(bandit: Bandit, contexts: Doubles, seed: int) -> Log:
    return bandit.log(contexts, bandit.softmax(contexts, LOGGED), seed)


def learnt(bandit: Bandit) -> Policy:
    """A policy from a log of its own: which action, weighted by reward over propensity (zr-obp's IPWLearner)."""
    from sklearn.linear_model import LogisticRegression

    contexts = bandit.contexts(ROUNDS, 10**6)
    log = logged(bandit, contexts, 10**6 + 1)
    model = LogisticRegression(C=100.0, max_iter=10_000)
    policy: Policy = model.fit(contexts, log.actions, log.rewards / log.propensities).predict_proba
    return policy


if __name__ == "__main__":
    sys.exit(main())
