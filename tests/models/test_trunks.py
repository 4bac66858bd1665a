"""Sizes that cannot be those of a trunk are named; shapes are those of the modules."""

import pytest

from models import trunks
from models.architecture import PRESETS, Architecture
from models.families.trunk import trunk


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trunk": "lstn"}, "trunk 'lstn': want one of lstm, gru"),
        ({"sizes": ()}, r"sizes \(\): want a number of units"),
        ({"trunk": "tcn", "kernel": 1}, "kernel 1: want at least 2"),
        ({"trunk": "transformer", "sizes": (64, 32)}, "one size in all layers"),
        ({"trunk": "transformer", "sizes": (6, 6)}, "a multiple of its 4 attention heads"),
        ({"trunk": "transformer", "window": 0}, "window 0: want at least 1"),
    ],
)
def test_impossible_sizes_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", PRESETS)
def test_shapes_are_those_of_the_module(preset: str) -> None:
    architecture = PRESETS[preset]
    module = trunk(architecture, 11)
    found = {f"trunk.{name}": tuple(value.shape) for name, value in module.state_dict().items()}
    assert found == trunks.shapes(architecture, 11)
