"""A bandit as JSON, exact to the last bit, and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from models.bandit.policies import KINDS, LinearBandit
from models.families import table

SUMS = ("rounds", "newest", "weight", "square")


def dumped(bandit: LinearBandit) -> str:
    """Kind, settings and posterior: some kilobytes, since the arrays are as small as actions and context."""
    settings = {name: one for name, one in table.settings(bandit).items() if name != "posterior"}
    known = bandit.posterior
    sums = {name: getattr(known, name) for name in SUMS}
    arrays = {"gram": known.gram.tolist(), "moment": known.moment.tolist()}
    return json.dumps(
        {"kind": bandit.kind, "settings": settings, "posterior": sums | arrays}, allow_nan=False
    )


def loaded(text: str) -> LinearBandit:
    """What `dumped` wrote: it chooses alike. Raises ValueError, saying what is wrong, for anything else."""
    try:
        found: dict[str, Any] = json.loads(text)
        made = KINDS[found["kind"]](**found["settings"])
        kept = found["posterior"]
        for name in SUMS:
            setattr(made.posterior, name, kept[name])
        for name in ("gram", "moment"):
            array = np.array(kept[name], np.float64)
            wanted = getattr(made.posterior, name).shape
            if array.shape != wanted or not np.isfinite(array).all():
                raise ValueError(f"{name} of shape {array.shape}: want finite numbers {wanted}")
            setattr(made.posterior, name, array)
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"no bandit ({problem}): give what `dumped` wrote, whole") from None
    return made
