"""Of which type is the shopper's next event? A row per moment that another event follows within the interval."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.asked import CONSTANT, MODEL, AskedTypes
from models.events import EVENT_TYPES
from models.replay.dataset import Sequences
from models.replay.predicted import Predicted
from models.replay.questions import MOST_ROWS
from models.replay.splits import Part, Split
from models.replay.targets import targets
from models.tasks import NEXT_TYPES

Array = npt.NDArray[Any]


def next_type(
    sequences: Sequences, predicted: Predicted, split: Split, session_gap_s: float
) -> AskedTypes | None:
    """None where the model has no head for it, or no moment with a prediction is followed by an event."""
    if not set(NEXT_TYPES) <= set(predicted.tasks):
        return None
    rows, came = _asked(sequences, split.score, session_gap_s)
    shopper = sequences.shopper[rows]
    at = predicted.latest(shopper, sequences.events["time"][rows], exactly=True)
    known = at >= 0
    if not known.any():
        return None
    # Each type counts as seen once beforehand, so that none is held impossible (Laplace).
    counts = np.bincount(_asked(sequences, split.learn, session_gap_s)[1], minlength=len(EVENT_TYPES)) + 1
    columns = [predicted.tasks.index(name) for name in NEXT_TYPES]
    scores = {
        MODEL: predicted.rows(at[known]).scores[:, columns].astype(np.float64),
        CONSTANT: np.tile(counts / counts.sum(), (int(known.sum()), 1)),
    }
    title = "type of the next event, asked at every event"
    return AskedTypes(
        "next_type", title, EVENT_TYPES, shopper[known], came[known], scores, int((~known).sum())
    )


def _asked(sequences: Sequences, part: Part, session_gap_s: float) -> tuple[Array, Array]:
    """Rows (N,) of the part's moments, every k-th where there are many, and the type (N,) that came next."""
    found = targets(sequences, NEXT_TYPES, part.interval.stop, session_gap_s)
    asked = found.known[:, 0] & sequences.last & (sequences.events["time"] >= part.interval.start)
    rows = np.flatnonzero(asked & part.of(sequences.shopper))
    rows = rows[:: max(1, -(-len(rows) // MOST_ROWS))]
    return rows, found.values[rows].argmax(axis=1)
