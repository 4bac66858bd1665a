"""What each column adds to the answer of LightGBM's trees: TreeSHAP (Lundberg et al., Nature Machine Intelligence 2, 2020),
computed by LightGBM itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def contributions(booster: Any, inputs: Array) -> npt.NDArray[np.float64]:
    """(N, F + 1) of inputs (N, F): each column's part of the raw answer (log-odds of a binary model), the mean answer last.

    A row sums to booster.predict(inputs, raw_score=True).
    """
    return np.asarray(booster.predict(inputs, pred_contrib=True), np.float64)


def overall(found: Array, names: Sequence[str]) -> dict[str, float]:
    """Mean absolute contribution by column, the strongest first; found: as from `contributions`."""
    size = np.abs(found[:, :-1]).mean(axis=0)
    if len(size) != len(names):
        raise ValueError(f"{len(names)} names for {len(size)} columns")
    return {names[at]: float(size[at]) for at in np.argsort(-size, kind="stable")}
