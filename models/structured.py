"""Rows of structured arrays moved as the plain bytes they are: numpy itself copies them field by field, 5 to 15 times slower."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def taken(rows: Array, at: Any) -> Array:
    """rows[at], a copy. rows: of any structured dtype; at: whatever indexes its rows with an array."""
    return cast(Array, plain(rows)[at].view(rows.dtype))


def put(rows: Array, at: Any, values: Array) -> None:
    """rows[at] = values, of the same dtype."""
    plain(rows)[at] = plain(values)


def plain(rows: Array) -> npt.NDArray[np.void]:
    """The same memory as elements without fields."""
    return rows.view(f"V{rows.itemsize}")
