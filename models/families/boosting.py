"""Gradient-boosted trees, and forests, of LightGBM: of classes, counts, amounts and medians.

Trees take columns as they are, NaN included. How many there are is found on rows that are held out, and all rows are then
learnt from with that many.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array

KIND = "boosting"
TREES_FILE = "trees.txt"  # LightGBM's own text


@dataclass
class Boosting:
    """objective: binary P(label); poisson and tweedie the expected count or amount; l1 its median, which has the least MAE;
    l2 the mean of numbers of either sign."""

    objective: Literal["binary", "poisson", "tweedie", "l1", "l2"] = "binary"
    forest: bool = (
        False  # trees side by side, each the mean in its leaves of its own sample of the rows; not of l1
    )
    trees: int = 1000  # at most; exactly, of a forest and where nothing is held out
    rate: float = 0.03  # learning rate; of no effect in a forest
    leaves: int = 15  # of a tree
    least_rows: int = 50  # in a leaf
    columns: float = 0.5  # share of the columns that a tree is given
    columns_by_node: float = 1.0  # share of those that a split is chosen from
    rows: float = 0.7  # share of the rows that a tree is given
    random_splits: bool = False  # a threshold at random for each column: extremely randomised trees
    l1: float = 0.0
    l2: float = 5.0
    balanced: bool = False  # both classes weigh as much; probabilities then want calibration (calibrated.py)
    held_out: float = 0.15  # share of the rows for early stopping; 0: none
    patience: int = 50  # trees without gain on them before it stops
    _trees: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.forest and self.objective == "l1":
            raise ValueError(
                "boosting: objective l1 with forest; a forest gives means, take forest=False for medians"
            )

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel. Rows of one group are held out together."""
        import lightgbm

        rows, wanted = self._checked(inputs, labels)
        weights = table.class_weights(wanted, self.balanced)
        count = self.trees
        if self.held_out and not self.forest:
            apart = table.held_out(len(rows), self.held_out, seed, groups)
            self._checked(rows[~apart], wanted[~apart])
            if not apart.any():
                raise ValueError(
                    f"{len(rows)} rows are too few to hold {self.held_out:g} of them out: held_out=0"
                )
            learnt = lightgbm.Dataset(
                rows[~apart], wanted[~apart], weight=weights[~apart], params=self._quiet()
            )
            judge = learnt.create_valid(rows[apart], wanted[apart], weight=weights[apart])
            stop = lightgbm.early_stopping(self.patience, verbose=False)
            count = lightgbm.train(
                self._parameters(seed), learnt, self.trees, valid_sets=[judge], callbacks=[stop]
            ).best_iteration
        whole = lightgbm.Dataset(rows, wanted, weight=weights, params=self._quiet())
        self._trees = lightgbm.train(self._parameters(seed), whole, max(count, 1))
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label) (N,), or the expected (l1: median) amount, of inputs (N, F)."""
        rows = table.checked(inputs, self._trees.num_feature())
        if not len(rows):
            return np.zeros(0)
        found = np.asarray(self._trees.predict(rows, num_threads=1), np.float64)
        if self.forest and self.objective == "binary":
            return np.clip(found, 0.0, 1.0)
        return found if self.objective == "l2" else np.maximum(found, 0.0)

    def importance(self) -> npt.NDArray[np.float64]:
        """Share (F,) of each column in the gain of all splits."""
        gain = np.asarray(self._trees.feature_importance("gain"), np.float64)
        return gain / max(float(gain.sum()), 1e-300)

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = self._trees.model_to_string().encode()
        (folder / TREES_FILE).write_bytes(text)
        card = {"settings": table.settings(self), "trees_sha256": hashlib.sha256(text).hexdigest()}
        table.write(folder, KIND, card)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Checked by its hash first: LightGBM takes the process down over a text that was cut short."""
        import lightgbm

        card, _ = table.read(folder, KIND)
        text = (folder / TREES_FILE).read_bytes()
        if hashlib.sha256(text).hexdigest() != card["trees_sha256"]:
            raise ValueError(
                f"{folder / TREES_FILE} is not what {table.CARD_FILE} was written for: it was changed or cut short; "
                "copy the model again or train a new one"
            )
        made = cls(**card["settings"])
        made._trees = lightgbm.Booster(model_str=text.decode())
        return made

    def _checked(self, inputs: Array, labels: Array) -> tuple[table.Doubles, table.Doubles]:
        return table.checked_training(
            inputs, labels, amounts=self.objective != "binary", signed=self.objective == "l2"
        )

    def _parameters(self, seed: int) -> dict[str, Any]:
        # The leaf of a forest's tree is to hold the mean of its labels. LightGBM's own forest of classes averages one Newton
        # step of each tree in logits: of 12 % buyers it made 19 %.
        return {
            "objective": "regression" if self.forest else self.objective,
            "boosting": "rf" if self.forest else "gbdt",
            "learning_rate": self.rate,
            "num_leaves": self.leaves,
            "feature_fraction": self.columns,
            "feature_fraction_bynode": self.columns_by_node,
            "bagging_fraction": self.rows,
            "bagging_freq": 1,
            "extra_trees": self.random_splits,
            "lambda_l1": self.l1,
            "lambda_l2": self.l2,
            "seed": seed,
            **self._quiet(),
        }

    def _quiet(self) -> dict[str, Any]:
        """What the data set has to know as well: it drops columns that no split of so many rows could use."""
        return {
            "min_data_in_leaf": self.least_rows,
            "num_threads": 1,  # the same sums in the same order: one seed, one result
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
