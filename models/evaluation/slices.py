"""The same figures for parts of the shoppers: where a model is good for most and poor for some, the mean hides it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import metrics
from models.evaluation.asked import BASELINE, MODEL, Asked
from models.evaluation.bootstrap import RANKED_LEAST, Range, Resamples, YesNo, spread
from models.metrics import Binary

Array = npt.NDArray[Any]

LEAST = 10  # rows of either outcome, and shoppers, below which a slice's AUC says nothing


@dataclass(frozen=True)
class Slice:
    """Rows whose `of` is `value`. lead: the model's AUC minus the baseline's, with its paired interval."""

    of: str
    value: str
    shoppers: int
    model: Binary
    baseline: Binary
    auc: Range | None
    lead: Range | None

    @property
    def told(self) -> bool:
        """Whether there is enough for an AUC."""
        return self.auc is not None

    def to_json(self) -> dict[str, Any]:
        figures = {
            name: one.to_json(bins=False)
            for name, one in (("model", self.model), ("baseline", self.baseline))
        }
        about = {"of": self.of, "value": self.value, "shoppers": self.shoppers}
        return {**about, **figures, "auc": self.auc, "lead": self.lead}


def sliced(asked: Asked, seed: int = 0) -> tuple[Slice, ...]:
    """Every slice of every slicing that parts the rows, in order; intervals from RANKED_LEAST resamples."""
    return tuple(
        _slice(asked, of, str(value), np.flatnonzero(values == value), seed)
        for of, values in asked.slices.items()
        if (values != values[:1]).any()  # one slice of all rows says nothing new
        for value in sorted(np.unique(values), key=_order)
    )


def _order(value: str) -> tuple[int, str]:
    """Deciles by their number, names by the alphabet."""
    number = value.split(" ", maxsplit=1)[0]
    return (int(number) if number.isdigit() else 0), value


def _slice(asked: Asked, of: str, value: str, rows: Array, seed: int) -> Slice:
    labels, shopper = asked.labels[rows], asked.shopper[rows]
    scores = {name: asked.scores[name][rows] for name in (MODEL, BASELINE)}
    model, usual = (metrics.binary(labels, scores[name]) for name in (MODEL, BASELINE))
    resamples = Resamples(shopper, RANKED_LEAST, seed)
    if min(labels.sum(), (~labels).sum(), resamples.shoppers) < LEAST:
        return Slice(of, value, resamples.shoppers, model, usual, None, None)
    draws = resamples.draw(
        {name: YesNo(resamples, labels, scores[name], asked.said[name][rows]) for name in scores}
    )
    assert model.auc is not None
    assert usual.auc is not None
    apart = draws[MODEL]["auc"] - draws[BASELINE]["auc"]
    return Slice(
        of,
        value,
        resamples.shoppers,
        model,
        usual,
        spread("auc", model.auc, draws[MODEL]["auc"]),
        spread("lead", model.auc - usual.auc, apart),
    )


def deciles(amounts: Array) -> Array:
    """Which tenth each of amounts (N,) lies in, as text "<number> (<least>–<most>)"; equal amounts stay together."""
    if not len(amounts):
        return np.empty(0, dtype=str)
    edges = np.unique(np.quantile(amounts, np.arange(1, 10) / 10, method="inverted_cdf"))
    place = np.searchsorted(edges, amounts, side="left")
    names = {}
    for number, at in enumerate(np.unique(place).tolist(), 1):
        held = amounts[place == at]
        names[at] = f"{number} ({held.min():,.0f}–{held.max():,.0f})"
    return np.array([names[at] for at in place.tolist()], dtype=str)
