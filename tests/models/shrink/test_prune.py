"""A pruned network is the network without the units that nobody listens to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.architecture import Architecture
from models.engine import check_shapes
from models.network import network_from, weights_of
from models.release import write
from models.shrink.prune import prune
from tests.models.releases import TRUNKS, card, random_inputs, untrained


@pytest.mark.parametrize("trunk", ["lstm of one layer", "lstm of two layers", "gru", "rnn"])
def test_units_that_nothing_reads_can_go(trunk: str) -> None:
    of = card(architecture=TRUNKS[trunk])
    weights = weights_of(untrained(of))
    sizes = of.architecture.sizes
    left = tuple(size - 5 for size in sizes)
    for layer, size in enumerate(sizes):
        deaf = np.random.default_rng(layer).choice(size, 5, replace=False)
        weights[f"trunk.layers.{layer}.weight_hh_l0"][:, deaf] = 0
        above = f"trunk.layers.{layer + 1}.weight_ih_l0"
        weights[above if above in weights else "body.weight"][:, deaf] = 0
    smaller, architecture = prune(weights, of.architecture, left)
    assert architecture.sizes == left
    one = network_from(of.features, of.architecture, len(of.categories), weights)
    other = network_from(of.features, architecture, len(of.categories), smaller)
    hidden = [torch.zeros(9, of.architecture.state_size), torch.zeros(9, architecture.state_size)]
    for turn in range(4):
        ids, dense, _ = (torch.from_numpy(part) for part in random_inputs(of, 9, turn))
        with torch.inference_mode():
            first, hidden[0] = one.step(ids, dense, hidden[0])
            second, hidden[1] = other.step(ids, dense, hidden[1])
            for wanted, got in zip(one.heads(first), other.heads(second), strict=True):
                assert torch.allclose(wanted, got, atol=1e-5)


def test_a_pruned_release_can_be_served(tmp_path: object) -> None:
    of = card(architecture=TRUNKS["lstm of two layers"])
    weights, architecture = prune(weights_of(untrained(of)), of.architecture, (8, 4))
    made = write(str(tmp_path), replace(of, architecture=architecture), weights)
    check_shapes(made, made.weights())


@pytest.mark.parametrize(
    ("architecture", "sizes", "message"),
    [
        (TRUNKS["tcn"], (8, 8, 8), "a tcn has no units to prune"),
        (TRUNKS["gru"], (8,), r"sizes \(8,\): want from 1 unit up to \(24, 16\)"),
        (TRUNKS["gru"], (8, 17), "want from 1 unit up to"),
    ],
)
def test_what_cannot_be_pruned_is_said(
    architecture: Architecture, sizes: tuple[int, ...], message: str
) -> None:
    of = card(architecture=architecture)
    with pytest.raises(ValueError, match=message):
        prune(weights_of(untrained(of)), architecture, sizes)
