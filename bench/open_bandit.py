"""Real logs of two policies in one shop (Open Bandit, the small version: Saito et al. 2020), for `make bench-ope`.

Each policy is told from the other's log; the truth is the mean reward of its own log, itself of few clicks, so that the
interval of a relative error holds both. Thompson sampling changed by the hour and logged no probability but that of what it
showed: the policy told from the random log is what it showed on average in each position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.models.row import data
from models.families.logistic import Logistic
from models.families.table import Doubles
from models.ope.estimators import Estimate, Z, dm, dr, ips, snips, switch_dr
from models.ope.log import Log, TooLittleOverlap, overlap
from models.ope.rewards import cross_fitted

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("bts", "random")
POSITIONS, FOLDS, SWITCH, STRENGTH = 3, 3, 10.0, 10.0


def told() -> dict[str, dict[str, Any]]:
    """Figures by campaign and direction. Raises NoData where the logs are absent."""
    found: dict[str, dict[str, Any]] = {}
    for campaign in CAMPAIGNS:
        logs = {policy: read(policy, campaign) for policy in POLICIES}
        for asked, other in (POLICIES, POLICIES[::-1]):
            (own, place), (log, position) = logs[asked], logs[other]
            found[f"{campaign}_{asked}_from_{other}"] = compared(
                log, position, shown(own, place)[position], own.rewards
            )
    judged = [one["dr_relative_error_95"] for one in found.values() if "dr_relative_error_95" in one]
    held = sum(low <= 0 <= high for low, high in (map(float, one.split(" … ")) for one in judged))
    text = f"{held} of {len(judged)}, {len(found) - len(judged)} refused"
    return {"real": {"dr_intervals_with_the_truth": text}, **found}


def read(policy: str, campaign: str) -> tuple[Log, Any]:
    """A log, and the position (N,) of each round, from 0."""
    import pandas as pd

    (path,) = data("open_bandit_small", f"{policy}/{campaign}.csv.gz")
    rows = pd.read_csv(path, usecols=["item_id", "position", "click", "propensity_score"])
    items = rows["item_id"].to_numpy()
    chances, count = rows["propensity_score"].to_numpy(), len(affinities(path))
    return Log.of(items, rows["click"].to_numpy(), chances, count), rows["position"].to_numpy() - 1


def affinities(path: Any) -> list[str]:
    """Columns of affinity, one for each item of the campaign."""
    import pandas as pd

    return [name for name in pd.read_csv(path, nrows=0).columns if name.startswith("user-item_affinity_")]


def shown(log: Log, position: Any) -> Doubles:
    """What a policy showed on average, (positions, A): exactly even where all chances are."""
    if (log.propensities == log.propensities[0]).all():
        return np.full((POSITIONS, log.count), 1.0 / log.count)
    counts = np.zeros((POSITIONS, log.count))
    np.add.at(counts, (position, log.actions), 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def compared(log: Log, position: Any, target: Doubles, truth: Doubles) -> dict[str, Any]:
    """Every estimator's value with the relative error's 95 % interval, or why it was refused."""
    contexts = np.eye(POSITIONS)[position]
    q = cross_fitted(contexts, log, Logistic(strength=STRENGTH), FOLDS, apart=False)
    seen = overlap(log.weights(target))
    found: dict[str, Any] = {
        "truth": float(truth.mean()),
        "truth_se": float(truth.std(ddof=1) / np.sqrt(len(truth))),
        "ess": seen.ess,
        "weight_max": seen.weight,
    }
    ways: dict[str, Callable[[], Estimate]] = {
        "ips": lambda: ips(log, target),
        "snips": lambda: snips(log, target),
        "dm": lambda: dm(log, target, q),
        "dr": lambda: dr(log, target, q),
        "switch_dr": lambda: switch_dr(log, target, q, SWITCH),
    }
    for name, way in ways.items():
        try:
            found |= {f"{name}{key}": one for key, one in against(way(), truth).items()}
        except TooLittleOverlap as refused:
            found[name] = f"refused: {str(refused).partition(':')[0]}"
    return found


def against(found: Estimate, truth: Doubles) -> dict[str, Any]:
    """Relative error by the delta method; estimate and truth come from different rounds."""
    mean, error = float(truth.mean()), float(truth.std(ddof=1) / np.sqrt(len(truth)))
    ratio = found.value / mean
    spread = Z * np.hypot(found.error, ratio * error) / mean
    return {
        "": found.value,
        "_se": found.error,
        "_relative_error": ratio - 1,
        "_relative_error_95": f"{ratio - 1 - spread:+.2f} … {ratio - 1 + spread:+.2f}",
    }
