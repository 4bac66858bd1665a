"""What models of tables share: checks of what they are given, standardised inputs, and artefacts on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

CARD_FILE = "model.json"
ARRAYS_FILE = "model.safetensors"
EDGE = 1e-12  # probabilities are kept this far from 0 and 1 before a logit


def checked(inputs: Array, columns: int | None = None) -> Doubles:
    """inputs (N, F) as float64. Raises ValueError when it is no table, holds inf, or F is not `columns`."""
    table = np.asarray(inputs, np.float64)
    if table.ndim != 2:
        raise ValueError(
            f"inputs of shape {table.shape}: want a table (rows, columns); reshape one row with [None]"
        )
    if columns is not None and table.shape[1] != columns:
        raise ValueError(
            f"inputs have {table.shape[1]} columns, the model learnt from {columns}: "
            "give the columns it was fitted with, in their order"
        )
    if np.isinf(table).any():
        column = int(np.argwhere(np.isinf(table))[0, 1])
        raise ValueError(f"inputs: column {column} holds inf; write NaN for what is not known")
    return table


def checked_training(
    inputs: Array, labels: Array, amounts: bool = False, signed: bool = False
) -> tuple[Doubles, Doubles]:
    """A table (N, F) and its labels (N,), fit to learn from. signed: of a model of any numbers.

    Raises ValueError, with the mend, for no rows or columns, labels of another length, NaN labels, labels that are not
    0 or 1 or all the same, and, of a model of amounts, labels below 0.
    """
    table, wanted = checked(inputs), np.asarray(labels, np.float64)
    if not table.size:
        raise ValueError(f"inputs of shape {table.shape}: nothing to learn from; give rows and columns")
    if wanted.shape != (len(table),):
        raise ValueError(f"labels of shape {wanted.shape} for {len(table)} rows: want one label a row")
    if np.isnan(wanted).any():
        raise ValueError(
            f"labels: {int(np.isnan(wanted).sum())} are NaN; leave rows out whose label is not known"
        )
    if signed:
        if np.isinf(wanted).any():
            raise ValueError("labels: inf is no amount; cut off what is larger than can be")
        return table, wanted
    if amounts:
        if wanted.min() < 0:
            raise ValueError(f"labels: {wanted.min():g} is below 0; amounts and counts are 0 or more")
        return table, wanted
    if not np.isin(wanted, (0, 1)).all():
        strange = wanted[~np.isin(wanted, (0, 1))][0]
        raise ValueError(f"labels: {strange:g} is neither 0 nor 1; choose a model of amounts for amounts")
    if wanted.all() or not wanted.any():
        raise ValueError(
            f"labels: all {len(wanted)} are {wanted[0]:g}, and one class teaches nothing; take a longer interval"
        )
    return table, wanted


def sigmoid(logits: Array) -> Doubles:
    """1 / (1 + exp(-logits)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def logit(probabilities: Array) -> Doubles:
    """log(p / (1 - p)), finite also at 0 and 1."""
    inside = np.clip(probabilities, EDGE, 1.0 - EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def class_weights(labels: Array, balanced: bool) -> Doubles:
    """Weight of each row (N,): 1, or, balanced, such that both classes weigh as much and all together N."""
    if not balanced:
        return np.ones(len(labels))
    share = np.mean(labels)
    return np.where(labels == 1, 0.5 / share, 0.5 / (1.0 - share))


def held_out(rows: int, share: float, seed: int, groups: Array | None = None) -> npt.NDArray[np.bool_]:
    """Which of the rows (N,) are held out: about `share` of them, at random; rows of one group stay together."""
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.random(rows) < share
    names, place = np.unique(groups, return_inverse=True)
    return np.asarray((rng.random(len(names)) < share)[place])


def folds(labels: Array, count: int, seed: int, groups: Array | None = None) -> npt.NDArray[np.int64]:
    """Fold (N,) of each row, 0 … count-1: as many of each label in every one, or whole groups (N,) at random.

    Raises ValueError when there are fewer groups, or fewer rows of a class, than folds.
    """
    rng = np.random.default_rng(seed)
    if groups is not None:
        names, place = np.unique(groups, return_inverse=True)
        if len(names) < count:
            raise ValueError(f"{len(names)} groups for {count} folds: take fewer folds or more groups")
        return np.asarray((rng.permutation(len(names)) % count)[place], np.int64)
    classes = labels if np.isin(labels, (0, 1)).all() else np.zeros(len(labels))
    fold = np.empty(len(labels), np.int64)
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        if len(rows) < count:
            raise ValueError(
                f"{len(rows)} rows of class {one:g} for {count} folds: take fewer folds or more rows"
            )
        fold[rows] = rng.permutation(len(rows)) % count
    return fold


@dataclass(frozen=True)
class Standard:
    """Columns to mean 0 and deviation 1, NaN to the mean; a column that had NaN gets a second one that says where.

    log: first sign(x) log(1 + |x|), for counts, seconds and prices, whose tails outweigh everything else.
    mean, deviation: (F,). flagged: (G,), the columns that get a flag.
    """

    mean: Doubles
    deviation: Doubles
    flagged: npt.NDArray[np.int64]
    log: bool

    @classmethod
    def of(cls, inputs: Doubles, log: bool) -> Self:
        """Learnt from a training table (N, F). A column that is all NaN, or always the same, says nothing: 0."""
        table = _log(inputs) if log else inputs
        known = ~np.isnan(table)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, table, 0.0).sum(axis=0) / count
        deviation = np.sqrt((np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / count)
        same = deviation <= 1e-9 * np.maximum(np.abs(mean), 1.0)
        return cls(mean, np.where(same, np.inf, deviation), np.flatnonzero(~known.all(axis=0)), log)

    def __call__(self, inputs: Doubles) -> Doubles:
        """(N, F + G)."""
        table = ((_log(inputs) if self.log else inputs) - self.mean) / self.deviation
        missing = np.isnan(table)
        return np.hstack([np.where(missing, 0.0, table), missing[:, self.flagged].astype(np.float64)])

    def arrays(self) -> dict[str, Array]:
        return {"mean": self.mean, "deviation": self.deviation, "flagged": self.flagged}

    @classmethod
    def read(cls, arrays: Mapping[str, Array], log: bool) -> Self:
        return cls(arrays["mean"], arrays["deviation"], arrays["flagged"], log)


def _log(table: Doubles) -> Doubles:
    return np.asarray(np.sign(table) * np.log1p(np.abs(table)))


def settings(model: Any) -> dict[str, Any]:
    """What a model (a dataclass) was made with, for its card; what it learnt is in fields that `init` does not take."""
    return {name: getattr(model, name) for name in setting_names(model)}


def setting_names(model: Any) -> list[str]:
    """Names of the settings of a model or of its class."""
    return [one.name for one in fields(model) if one.init]


def write(
    folder: Path, kind: str, card: Mapping[str, Any], arrays: Mapping[str, Array] | None = None
) -> None:
    """`card` and `arrays` into `folder`, the card last: a folder without it is no model."""
    import safetensors.numpy

    folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        safetensors.numpy.save_file(contiguous, folder / ARRAYS_FILE)
    text = json.dumps({"kind": kind, **card}, indent=1, ensure_ascii=False) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def read(folder: Path, kind: str | None = None) -> tuple[dict[str, Any], dict[str, Array]]:
    """What `write` wrote. Raises ValueError when the folder holds no model, or one of another kind than asked for."""
    import safetensors.numpy

    path = folder / CARD_FILE
    if not path.exists():
        raise ValueError(f"{folder} holds no {CARD_FILE}, so no model: name a folder that `export` wrote")
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if kind is not None and card.get("kind") != kind:
        raise ValueError(
            f"{folder} holds a model of kind {card.get('kind')}, not {kind}: load it with `kinds.load`"
        )
    arrays = folder / ARRAYS_FILE
    return card, safetensors.numpy.load_file(arrays) if arrays.exists() else {}
