"""A study: what it tries, prunes and keeps, and that it goes on after any end. Losses here are computed, not trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.replay import recipes
from models.replay.train import Epoch, Recipe
from models.search.found import Found
from models.search.plan import Plan, SearchProblem
from models.search.space import parse
from models.search.trials import Tell, search

SPACE = parse({"rate": {"low": 1e-4, "high": 1e-1, "log": True}, "lanes": [8, 16, 32]}, "space")
BASE = Recipe(epochs=4)
ABOUT = {"data": "one"}


class Valley:
    """Stands for training: the loss falls to how far the recipe is from rate 0.01 and 16 lanes."""

    def __init__(self) -> None:
        self.tried: list[Recipe] = []
        self.minutes = 0  # an epoch takes one

    def __call__(self, recipe: Recipe, tell: Tell) -> None:
        self.tried.append(recipe)
        distance = abs(recipe.rate - 0.01) * 10 + abs(recipe.lanes - 16) / 16
        for number in range(1, recipe.epochs + 1):
            self.minutes += 1
            tell(Epoch(number, 1.0, 1.0 + distance + 1 / number, 0.0))


def run(folder: Path, valley: Any, space: Any = SPACE, name: str = "study", **plan: Any) -> Found:
    return search(folder, name, space, BASE, Plan(**plan), ABOUT, valley, lambda text: None, _clock(valley))


def _clock(valley: Any) -> Callable[[], float]:
    return lambda: 60.0 * getattr(valley, "minutes", 0)


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_the_best_recipe_comes_first_and_is_written(tmp_path: Path, method: Any) -> None:
    found = run(tmp_path, Valley(), method=method, trials=12, pruner="none")
    losses = [one.loss for one in found.trials]
    assert losses == sorted(losses, key=lambda loss: loss or 0.0)
    assert len(found.trials) == 12
    assert recipes.read(found.file) == found.recipe
    assert found.recipe.lanes == found.trials[0].values["lanes"]
    assert found.recipe.epochs == BASE.epochs


def test_the_base_recipe_is_tried_first(tmp_path: Path) -> None:
    valley = Valley()
    run(tmp_path, valley, trials=2)
    assert (valley.tried[0].rate, valley.tried[0].lanes) == (BASE.rate, BASE.lanes)


def test_a_grid_tries_every_point_once_also_over_two_calls(tmp_path: Path) -> None:
    space = parse({"lanes": [8, 16, 32], "epochs": [2, 3]}, "space")
    first, second = _Dies(at=4), Valley()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first, space, method="grid", pruner="none")
    found = run(tmp_path, second, space, method="grid", pruner="none")
    tried = [(recipe.lanes, recipe.epochs) for recipe in (*first.tried[:-1], *second.tried)]
    assert sorted(tried) == [(lanes, epochs) for lanes in (8, 16, 32) for epochs in (2, 3)]
    assert len(found.trials) == 6


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_bad_trials_end_early(tmp_path: Path, pruner: Any) -> None:
    found = run(tmp_path, Valley(), pruner=pruner, trials=16, method="random")
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert pruned
    assert all(one.epochs < BASE.epochs for one in pruned)
    assert found.trials[0].state == "complete"


def test_a_trial_that_diverges_counts_as_failed_and_the_search_goes_on(tmp_path: Path) -> None:
    def diverges(recipe: Recipe, tell: Tell) -> None:
        tell(Epoch(1, 1.0, float("nan") if recipe.lanes == 8 else 1.0, 0.0))

    space = parse({"lanes": [8, 16]}, "space")
    found = run(tmp_path, diverges, space, method="grid")
    assert [(one.state, one.values["lanes"]) for one in found.trials] == [("complete", 16), ("failed", 8)]


def test_a_network_too_large_for_the_memory_is_a_failed_trial(tmp_path: Path) -> None:
    def grows(recipe: Recipe, tell: Tell) -> None:
        if recipe.lanes == 16:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        tell(Epoch(1, 1.0, 1.0, 0.0))

    found = run(tmp_path, grows, parse({"lanes": [8, 16]}, "space"), method="grid")
    assert [(one.state, one.values["lanes"]) for one in found.trials] == [("complete", 8), ("failed", 16)]


def test_a_grid_whose_queue_was_cut_off_is_filled_up(tmp_path: Path) -> None:
    import optuna

    (tmp_path / "study").mkdir()
    storage = f"sqlite:///{tmp_path / 'study' / 'study.db'}"
    optuna.create_study(study_name="study", storage=storage).enqueue_trial({"lanes": 8})
    found = run(tmp_path, Valley(), parse({"lanes": [8, 16]}, "space"), method="grid")
    assert sorted(one.values["lanes"] for one in found.trials) == [8, 16]


def test_when_time_is_over_the_running_trial_goes_back_to_the_queue(tmp_path: Path) -> None:
    slow = Valley()
    first = run(tmp_path, slow, pruner="none", trials=3, minutes=5)
    assert [one.number for one in first.trials] == [0]
    cut = slow.tried[-1]
    fast = Valley()
    found = run(tmp_path, fast, pruner="none", trials=3)
    assert fast.tried[0] == cut
    assert len(found.trials) == 3


def test_a_study_of_other_data_or_another_space_is_refused(tmp_path: Path) -> None:
    run(tmp_path, Valley(), trials=1)
    with pytest.raises(SearchProblem, match="begun with data one, and this is two"):
        search(tmp_path, "study", SPACE, BASE, Plan(trials=1), {"data": "two"}, Valley())
    with pytest.raises(SearchProblem, match="begun with space"):
        run(tmp_path, Valley(), parse({"lanes": [8]}, "space"), trials=1)
    with pytest.raises(SearchProblem, match="begun with base"):
        search(tmp_path, "study", SPACE, replace(BASE, clip=2.0), Plan(trials=1), ABOUT, Valley())


def test_a_study_in_use_is_refused(tmp_path: Path) -> None:
    def again(recipe: Recipe, tell: Tell) -> None:
        with pytest.raises(SearchProblem, match="another process"):
            run(tmp_path, Valley(), trials=1)
        tell(Epoch(1, 1.0, 1.0, 0.0))

    run(tmp_path, again, trials=1)


def test_without_a_finished_trial_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SearchProblem, match="more --minutes"):
        run(tmp_path, Valley(), minutes=1)


class _Dies(Valley):
    """As a user who presses Ctrl-C in the at-th trial."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def __call__(self, recipe: Recipe, tell: Tell) -> None:
        super().__call__(recipe, tell)
        if len(self.tried) == self._at:
            raise KeyboardInterrupt
