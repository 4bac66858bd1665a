"""Recipes go to a file and back; a mistake in one names the field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.architecture import Architecture
from models.replay import recipes
from models.replay.recipes import RecipeProblem
from models.replay.train import Recipe


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    recipe = replace(
        Recipe(),
        rate=0.0123,
        architecture=Architecture(sizes=(48, 32), memory_rate=0.01),
        tasks=("buy_7d", "session_buy"),
    )
    (tmp_path / "recipe.yaml").write_text(recipes.text(recipe, "trial 3"))
    assert recipes.read(tmp_path / "recipe.yaml") == recipe


def test_every_number_of_a_recipe_has_bounds_that_its_default_keeps() -> None:
    numbers = {
        name: value
        for name, value in recipes.values(Recipe()).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for name, value in numbers.items():
        low, high = recipes.BOUNDS[name]
        assert low <= value <= high, name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch: 3", "epoch is no field of a recipe; did you mean epochs"),
        ("epochs: 0", "epochs is 0; want 1 to 1000"),
        ("epochs: 2.5", "epochs is 2.5; want a whole number"),
        ("epochs: true", "epochs is True; want a whole number"),
        ("rate: fast", "rate is 'fast'; want a float"),
        ("tasks: [buy_4d]", "task 'buy_4d': want buy_<d>d"),
        ("architecture: {trunk: lstn}", "trunk 'lstn': want one of"),
        ("architecture: {dropout: 1.0}", "architecture.dropout is 1.0; want 0 to 0.95"),
        ("- 1", "holds no fields"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_mistake_names_file_field_and_mend(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeProblem) as refused:
        recipes.read(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeProblem, match="nowhere"):
        recipes.read(tmp_path / "nowhere")
