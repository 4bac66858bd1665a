"""Where a transformer looks: how much of each event goes into every later one, layer by layer."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.families.transformer import Layer, Transformer
from models.featurizer import Features
from models.network import IntentNetwork


def attention(network: IntentNetwork, features: Features) -> npt.NDArray[np.float32]:
    """(layers, T, T) of one shopper's T events: the share of event s in what layer l makes of event t, heads averaged.

    A row sums to 1, later events have 0. Raises ValueError for another trunk than a transformer, or no events.
    """
    trunk = network.trunk
    if not isinstance(trunk, Transformer):
        raise ValueError(f"trunk {network.architecture.trunk!r} has no attention: explain a transformer")
    if not len(features.ids):
        raise ValueError("no events to look at")
    asked: list[Tensor] = []
    layers = [cast(Layer, layer) for layer in trunk.layers]
    hooks = [layer.project.register_forward_hook(lambda *call: asked.append(call[2])) for layer in layers]
    try:
        with torch.no_grad():
            ones = torch.ones(len(features.ids), dtype=torch.int64)
            network(torch.from_numpy(features.ids.astype(np.int64)), torch.from_numpy(features.dense), ones)
    finally:
        for hook in hooks:
            hook.remove()
    return np.stack([trunk.shares(projected).numpy() for projected in asked])
