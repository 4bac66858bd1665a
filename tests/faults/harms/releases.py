"""Harm by a release that cannot be used."""

from __future__ import annotations

import numpy as np

from models import promotion, release
from tests.faults.harms.common import STARTED_S, alone
from tests.faults.run import Run
from tests.faults.shop import until


def release_of_nan(run: Run) -> None:
    """A release that answers everything with NaN is promoted: it is refused, the one in use stays, and comes back."""
    good = run.book.release
    weights = {name: np.full_like(value, np.nan) for name, value in good.weights().items()}
    slot = alone(run)
    promotion.promote(run.shop.settings, release.write(run.shop.settings.releases_uri, good.card, weights))
    try:
        until(lambda: bool(slot.health().get("refused")), lambda: f"a refusal in {slot.health()}", STARTED_S)
        run.progress()
    finally:
        promotion.promote(run.shop.settings, good)
