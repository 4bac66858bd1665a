"""`replay evaluate --explain TASK`: what a release's score rests on, and LightGBM's beside it, for the report."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models import engine
from models.drift.calibration import outcomes
from models.events import EVENT_TYPES
from models.explain import trees
from models.explain.attention import attention
from models.explain.explained import Explained
from models.explain.gradients import attribute, network_of
from models.explain.permutation import Importance, of_release, of_table
from models.families.transformer import Transformer
from models.featurizer import Features
from models.release import Release
from models.replay import boosting
from models.replay.aggregates import COLUMNS, Aggregates
from models.replay.dataset import Sequences
from models.replay.explain import log_loss
from models.replay.source import Interval, SourceProblem

SHOPPERS = 200  # that inputs are shuffled among
ROWS = 5_000  # that trees are explained on
EVENTS = 20  # of one shopper


def explained(
    sequences: Sequences, of: Release, task: str, learnt: Interval, scored: Interval, seed: int
) -> Explained:
    """Of a task read off the survival curve. Raises SourceProblem where there is nothing to look at."""
    served = engine.load(of.uri, "onnx", "cpu")
    if task not in served.tasks or not task.startswith(("buy_", "lapse_")):
        able = [name for name in served.tasks if name.startswith(("buy_", "lapse_"))]
        raise SourceProblem(f"--explain {task}: of {of.id} can be explained {', '.join(able)}")
    few = sequences.share(min(SHOPPERS / len(sequences.users), 1.0), seed)
    rows, came = _moments(few, task, scored)
    if not len(rows):
        raise SourceProblem(
            f"--explain {task}: no moment in {scored} whose outcome is known; score a longer interval"
        )
    features = few.features(of.card.features)
    inputs = of_release(few, served, features, rows, task, came, log_loss, 1, seed)
    shap, columns = _of_trees(sequences, of, task, learnt, scored, seed)
    at = int(np.argmax(np.diff(few.bounds)))
    mine = slice(max(int(few.bounds[at]), int(few.bounds[at + 1]) - EVENTS), int(few.bounds[at + 1]))
    latest = Features(features.ids[mine], features.dense[mine])
    network = network_of(of)
    return Explained(
        task,
        len(rows),
        tuple(inputs),
        shap,
        columns,
        tuple(EVENT_TYPES[code] for code in few.events["type"][mine]),
        attribute(network, latest, task),
        attention(network, latest) if isinstance(network.trunk, Transformer) else None,
    )


def _of_trees(
    sequences: Sequences, of: Release, task: str, learnt: Interval, scored: Interval, seed: int
) -> tuple[dict[str, float], tuple[Importance, ...]]:
    """Empty where LightGBM is not installed, or has nothing to tell apart."""
    past, label = _moments(sequences, task, learnt)
    asked, came = _moments(sequences, task, scored)
    if not boosting.available() or len(np.unique(label)) < 2 or not len(asked):
        return {}, ()
    table, rng = Aggregates(sequences, of.card.features).table, np.random.default_rng(seed)
    shopper, time = sequences.shopper, sequences.events["time"]
    fitted = boosting.fit(table(shopper[past], time[past]), label, shopper[past], COLUMNS, seed)
    some = np.sort(rng.permutation(len(asked))[:ROWS])
    inputs = table(shopper[asked[some]], time[asked[some]])

    def predict(given: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return boosting.probability(fitted, given)

    found = of_table(predict, inputs, came[some], COLUMNS, log_loss, 1, seed)
    return trees.overall(trees.contributions(fitted, inputs), COLUMNS), tuple(found)


def _moments(
    sequences: Sequences, task: str, interval: Interval
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows (K,) where a moment of the interval is complete and the task's outcome known by its end, and the outcome."""
    times = sequences.events["time"]
    happened, decided = outcomes(task, sequences.purchases, sequences.shopper, times, interval.stop)
    rows = np.flatnonzero(sequences.last & interval.holds(times) & decided)
    return rows, happened[rows]
