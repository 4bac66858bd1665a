"""Hillstrom's trial of 64,000 customers: e-mail about men's clothes, about women's, or none, a third each."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models.row import data
from models.families.table import Doubles
from models.uplift.trial import Trial

NUMBERS = ("recency", "history", "mens", "womens", "newbie")
NAMES = ("zip_code", "channel", "history_segment")
FLAGS, ZIP = (2, 3, 4), (5, 6, 7)  # places of mens, womens, newbie; of the kinds of place they live in
CONTROL, MENS, WOMENS = "No E-Mail", "Mens E-Mail", "Womens E-Mail"


def customers() -> Any:
    """The rows, as pandas reads them. Raises NoData where they are absent."""
    import pandas as pd

    (path,) = data("hillstrom", "hillstrom.csv.gz")
    return pd.read_csv(path)


def inputs(rows: Any) -> Doubles:
    """What is known before the e-mail (N, 18): numbers, then names as columns of 0 and 1."""
    import pandas as pd

    found = pd.concat([rows[list(NUMBERS)], pd.get_dummies(rows[list(NAMES)])], axis=1)
    return np.asarray(found.to_numpy(np.float64))


def trial(arm: str, outcome: str) -> Trial:
    """The rows of an arm and of the control."""
    rows = customers()
    rows = rows[rows["segment"].isin((arm, CONTROL))]
    return Trial.of(inputs(rows), (rows["segment"] == arm).to_numpy(), rows[outcome].to_numpy())
