"""What a search found: its trials, best first, and the recipe of the best as a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.replay import recipes
from models.search.plan import SearchProblem
from models.search.study import counted

if TYPE_CHECKING:
    import optuna

    from models.replay.train import Recipe


@dataclass(frozen=True)
class Trial:
    """One line of the result. state: complete, pruned, failed. loss: the lowest held-out loss, None when there is none."""

    number: int
    state: str
    loss: float | None
    epochs: int
    seconds: float
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """trials: best first, then those that were pruned or failed. recipe: of the best; file: where it was written."""

    trials: tuple[Trial, ...]
    recipe: Recipe
    file: Path


def found(study: optuna.Study, base: Recipe, file: Path) -> Found:
    """The result so far, its best recipe written to the file. SearchProblem when no trial was finished."""
    from optuna.trial import TrialState

    finished = [_trial(one) for one in counted(study) if one.state.is_finished()]
    order = {"complete": 0, "pruned": 1, "failed": 2}
    finished.sort(key=lambda one: (order[one.state], math.inf if one.loss is None else one.loss, one.number))
    if not finished or finished[0].state != "complete":
        states = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        raise SearchProblem(
            f"study {study.study_name}: no trial was finished yet, {states} wait; go on with more --minutes, "
            "or with a smaller --share of the shoppers"
        )
    best = finished[0]
    recipe = recipes.changed(base, best.values, f"trial {best.number}")
    note = (
        f"study {study.study_name}, trial {best.number} of {len(finished)}: held-out loss {figure(best.loss)}"
    )
    file.write_text(recipes.text(recipe, note), encoding="utf-8")
    return Found(tuple(finished), recipe, file)


def _trial(one: optuna.trial.FrozenTrial) -> Trial:
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    losses = one.intermediate_values.values()
    return Trial(
        one.number,
        states.get(one.state, "failed"),
        min(losses, default=None),
        len(losses),
        one.user_attrs.get("seconds", 0.0),
        one.params,
    )


def figure(loss: float | None) -> str:
    """A loss for a reader."""
    return "–" if loss is None else f"{loss:.4f}"
