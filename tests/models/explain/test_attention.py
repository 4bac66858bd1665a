"""Attention as it is shown is the one that the transformer computes with."""

import numpy as np
import pytest
import torch

from models.architecture import Architecture
from models.explain.attention import attention
from models.families.transformer import Layer, Transformer
from models.featurizer import Features
from models.network import IntentNetwork
from tests.models.releases import card, random_inputs, untrained

EVENTS, WINDOW = 9, 5
ONE_HEAD = Architecture("transformer", (16,), window=WINDOW, attention_heads=1, head=16, memory=8)


def shown(architecture: Architecture) -> tuple[IntentNetwork, Features, np.ndarray]:
    of = card(architecture=architecture)
    ids, dense, _ = random_inputs(of, EVENTS)
    network, features = untrained(of), Features(ids, dense)
    return network, features, attention(network, features)


def test_shares_of_an_event_sum_to_one_over_it_and_what_the_window_reaches() -> None:
    _, _, shares = shown(Architecture("transformer", (16, 16), window=WINDOW, head=16, memory=8))
    assert shares.shape == (2, EVENTS, EVENTS)
    np.testing.assert_allclose(shares.sum(2), 1.0, atol=1e-5)
    distance = np.arange(EVENTS)[:, None] - np.arange(EVENTS)
    assert (shares[:, (distance < 0) | (distance > WINDOW)] == 0).all()


def test_the_layer_computes_with_these_shares() -> None:
    network, features, shares = shown(ONE_HEAD)
    assert isinstance(network.trunk, Transformer)
    layer = network.trunk.layers[0]
    assert isinstance(layer, Layer)
    mixed: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    layer.merge.register_forward_hook(lambda module, given, found: mixed.append(given[0]))
    layer.project.register_forward_hook(lambda module, given, found: values.append(found.chunk(3, 2)[2]))
    with torch.no_grad():
        network(
            torch.from_numpy(features.ids),
            torch.from_numpy(features.dense),
            torch.ones(EVENTS, dtype=torch.int64),
        )
    torch.testing.assert_close(torch.from_numpy(shares[0]) @ values[0][0], mixed[0][0], atol=1e-5, rtol=1e-4)


def test_another_trunk_and_no_events_are_refused() -> None:
    of = card()
    with pytest.raises(ValueError, match="'lstm' has no attention"):
        attention(untrained(of), Features(*random_inputs(of, 3)[:2]))
    of = card(architecture=ONE_HEAD)
    with pytest.raises(ValueError, match="no events"):
        attention(untrained(of), Features(*random_inputs(of, 0)[:2]))
