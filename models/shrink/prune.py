"""Structured pruning of a recurrent trunk: whole units go, so that every product gets smaller.

A unit counts as much as what is made of it: the norm of the weights that read it, in the layer above (or the heads) and in
its own layer (Li et al. 2017, "Pruning filters for efficient ConvNets", with outgoing in place of incoming weights).
Zeros scattered over a matrix would save nothing: dense products take as long with them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.architecture import Architecture, Weights
from models.trunks import GATES

Ints = npt.NDArray[np.int64]


def prune(
    weights: Weights, architecture: Architecture, sizes: tuple[int, ...]
) -> tuple[Weights, Architecture]:
    """The weights with `sizes` units left in the layers, and the architecture that they are of.

    Raises ValueError for a trunk that is not recurrent, and for sizes that are not smaller in every layer.
    """
    if architecture.trunk not in GATES:
        raise ValueError(f"a {architecture.trunk} has no units to prune; prune an {', '.join(GATES)}")
    if len(sizes) != len(architecture.sizes) or not all(
        0 < left <= size for left, size in zip(sizes, architecture.sizes, strict=True)
    ):
        raise ValueError(f"sizes {sizes}: want from 1 unit up to {architecture.sizes} in each of the layers")
    kept = [_most(_importance(weights, architecture, layer), left) for layer, left in enumerate(sizes)]
    found = dict(weights)
    for layer, units in enumerate(kept):
        found |= _layer(weights, architecture, layer, units, kept[layer - 1] if layer else None)
    hidden = architecture.hidden
    read = np.concatenate([kept[-1], np.arange(hidden, weights["body.weight"].shape[1])])
    found["body.weight"] = weights["body.weight"][:, read]
    return found, replace(architecture, sizes=sizes)


def _importance(weights: Weights, architecture: Architecture, layer: int) -> npt.NDArray[np.float64]:
    """Norm of what reads each unit of the layer (units,)."""
    size = architecture.sizes[layer]
    above = f"trunk.layers.{layer + 1}.weight_ih_l0"
    readers = [weights[f"trunk.layers.{layer}.weight_hh_l0"]]
    readers.append(weights[above] if above in weights else weights["body.weight"][:, :size])
    return np.asarray(np.sqrt(sum((reader.astype(np.float64) ** 2).sum(0) for reader in readers)))


def _most(importance: npt.NDArray[np.float64], left: int) -> Ints:
    return np.sort(np.argsort(-importance, kind="stable")[:left])


def _layer(
    weights: Weights, architecture: Architecture, layer: int, units: Ints, below: Ints | None
) -> Weights:
    """Weights of a layer with these units, reading these of the layer below (None: all inputs)."""
    name, size = f"trunk.layers.{layer}", architecture.sizes[layer]
    rows = np.concatenate([gate * size + units for gate in range(GATES[architecture.trunk])])
    into = weights[f"{name}.weight_ih_l0"][rows]
    return {
        f"{name}.weight_ih_l0": into if below is None else into[:, below],
        f"{name}.weight_hh_l0": weights[f"{name}.weight_hh_l0"][rows][:, units],
        f"{name}.bias_ih_l0": weights[f"{name}.bias_ih_l0"][rows],
        f"{name}.bias_hh_l0": weights[f"{name}.bias_hh_l0"][rows],
    }
