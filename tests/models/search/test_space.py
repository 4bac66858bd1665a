"""A search space says what is wrong with it, field by field, before anything is read or trained."""

from __future__ import annotations

from typing import Any

import pytest

from models.replay.recipes import RecipeProblem
from models.search.space import Choice, Range, SpaceProblem, parse

GOOD = {
    "rate": {"low": "5e-4", "high": 1.0e-2, "log": True},
    "lanes": [16, 32],
    "architecture": {"head": {"low": 32, "high": 96, "step": 32}},
    "architecture.dropout": [0.1, 0.3],
}


def test_nested_and_dotted_names_are_the_same_fields() -> None:
    space = parse(GOOD, "space.yaml")
    assert list(space.dimensions) == ["rate", "lanes", "architecture.head", "architecture.dropout"]
    assert space.dimensions["rate"] == Range(5e-4, 1e-2, log=True, step=None, whole=False)
    assert space.dimensions["lanes"] == Choice((16, 32))


def test_a_grid_has_every_point_once() -> None:
    space = parse({name: value for name, value in GOOD.items() if name != "rate"}, "s")
    points = space.grid()
    assert len(points) == 2 * 3 * 2
    assert len({tuple(point.values()) for point in points}) == len(points)
    assert all(space.holds(point) for point in points)
    assert {point["architecture.head"] for point in points} == {32, 64, 96}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rat": [1.0]}, "rat is no field of a recipe; did you mean rate"),
        ({"lanes": []}, "lanes has an empty list"),
        ({"lanes": [16, "many"]}, "lanes is 'many'; want a whole number"),
        ({"lanes": [16, 0]}, "lanes is 0; want 1 to 65536"),
        ({"lanes": 16}, "lanes is 16; want a list of values or"),
        ({"rate": {"low": 0.01, "high": 0.001}}, "rate ranges from 0.01 to 0.001, which is empty"),
        ({"rate": {"low": 0.01}}, "rate has no high"),
        ({"rate": {"low": 0.01, "high": 0.1, "steps": 3}}, "rate has unknown steps"),
        ({"decay": {"low": 0.0, "high": 0.1, "log": True}}, "decay has log: true, which wants low above 0"),
        ({"rate": {"low": 0.01, "high": 0.1, "log": "yes"}}, "rate has log: 'yes'"),
        ({"lanes": {"low": 1, "high": 9, "step": 0.5}}, "lanes has step 0.5; want a whole number above 0"),
        ({"architecture": {"siezs": [[1]]}}, "did you mean architecture.sizes"),
        ({"architecture": {"sizes": [[64, "wide"]]}}, "architecture.sizes is 'wide'; want a whole number"),
        ({"architecture": {"sizes": [64]}}, "architecture.sizes is 64; want a list such as [64, 64]"),
        ({"held_out": [0.1]}, "held_out changes what the held-out loss measures"),
        ({"features.version": [1]}, "features.version is no field"),
    ],
)
def test_a_mistake_names_file_field_value_and_mend(given: dict[str, Any], said: str) -> None:
    with pytest.raises((SpaceProblem, RecipeProblem)) as refused:
        parse(given, "space.yaml")
    assert str(refused.value).startswith("space.yaml: ")
    assert said in str(refused.value)


def test_a_grid_over_a_continuous_range_is_refused() -> None:
    with pytest.raises(SpaceProblem, match="rate: a grid needs a `step`"):
        parse(GOOD, "s").grid()
