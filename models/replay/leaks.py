"""The leakage checks of a replay: `--check-leakage`. Each raises Leak, or says what it found.

point in time    features from the log cut at a row are those from the whole log, for what the network reads and for what
                 the baselines read
shuffled labels  baseline and boosting, learnt on shuffled outcomes, rank held-out rows no better than chance
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from models import baseline
from models.evaluation.leakage import Check, Leak, Table, same_when_cut, shuffled_labels
from models.featurizer import DENSE, ID_COLUMNS, FeatureSpec
from models.replay import boosting, questions
from models.replay.aggregates import COLUMNS, Aggregates
from models.replay.dataset import Sequences
from models.replay.questions import Rows
from models.replay.source import Interval, iso
from models.replay.splits import Split

Array = npt.NDArray[Any]
Featurize = Callable[[Sequences], Table]  # a table with a row per event
Describe = Callable[[Sequences, Array, Array], Table]  # of shoppers at moments

CUTS = 6  # times at which the log is cut; each compares one row per shopper


def check(sequences: Sequences, split: Split, spec: FeatureSpec, seed: int = 0) -> tuple[Check, ...]:
    """All checks. Raises Leak at the first that does not hold."""
    rng = np.random.default_rng(seed)
    interval = Interval(split.learn.interval.start, split.score.interval.stop)

    def network(of: Sequences) -> Table:
        features = of.features(spec)
        return Table(
            (*ID_COLUMNS, *DENSE), np.concatenate([features.ids, features.dense], axis=1, dtype=np.float32)
        )

    def aggregates(of: Sequences, shopper: Array, moment: Array) -> Table:
        return Table(COLUMNS, Aggregates(of, spec).table(shopper, moment))

    found = [
        events_in_time("the network's features", sequences, network, rng),
        moments_in_time("recency, frequency and aggregates", sequences, aggregates, interval, rng),
    ]
    return (apart(split), *found, *_shuffled(sequences, split, spec, seed))


def apart(split: Split) -> Check:
    """Raises Leak unless learnt and scored rows share no shopper, or no time: outcomes end with their part's interval."""
    learn, tune, score = split.learn, split.tune, split.score
    if learn.shoppers is None or tune.shoppers is None or score.shoppers is None:
        if max(learn.interval.stop, tune.interval.stop) > score.interval.start:
            raise Leak(
                f"leakage: outcomes are learnt up to {iso(learn.interval.stop)}, within {score.interval}"
            )
        return Check(
            "learnt outcomes end before the scored ones begin",
            iso(learn.interval.stop),
            iso(score.interval.start),
        )
    shared = int(((learn.shoppers | tune.shoppers) & score.shoppers).sum())
    if shared:
        raise Leak(f"leakage: {shared:,} shoppers are both learnt from and scored; part them by user id")
    return Check("shoppers both learnt from and scored", "0", "0")


def events_in_time(title: str, sequences: Sequences, features: Featurize, rng: np.random.Generator) -> Check:
    """Cuts the log at random rows, also in the midst of a basket, and compares every shopper's last row with itself."""
    rows = rng.choice(len(sequences), min(CUTS, len(sequences)), replace=False).tolist()
    cuts = [_cut(sequences, row) for row in rows]
    compared = [np.flatnonzero(stops > sequences.bounds[:-1]) for stops in cuts]
    last = [stops[shopper] - 1 for stops, shopper in zip(cuts, compared, strict=True)]
    found = features(sequences)  # of a long log: only what is compared is kept
    wholes = [Table(found.names, found.values[at]) for at in last]
    del found
    for stops, shopper, at, whole in zip(cuts, compared, last, wholes, strict=True):
        found = features(sequences.until(stops))
        ends = np.cumsum(stops - sequences.bounds[:-1])[shopper] - 1
        again = Table(found.names, found.values[ends])
        same_when_cut(title, whole, again, _namer(sequences, shopper, sequences.events["time"][at]))
    count = sum(len(at) for at in last)
    return Check(f"point in time: {title}", f"{count:,} rows the same", "all the same")


def moments_in_time(
    title: str, sequences: Sequences, describe: Describe, interval: Interval, rng: np.random.Generator
) -> Check:
    """Cuts the log behind random moments and compares what is said of every shopper at them."""
    compared = 0
    for moment in rng.integers(interval.start, interval.stop, CUTS).tolist():
        stops = _stops(sequences, moment + 1)
        shopper = np.flatnonzero(stops > sequences.bounds[:-1])
        if not len(shopper):
            continue
        at = np.full(len(shopper), moment)
        pair = (describe(sequences, shopper, at), describe(sequences.until(stops), shopper, at))
        compared += same_when_cut(title, *pair, _namer(sequences, shopper, at))
    return Check(f"point in time: {title}", f"{compared:,} rows the same", "all the same")


def _cut(sequences: Sequences, row: int) -> Array:
    """Where the log ended for each shopper (U,) when this row was its last."""
    stops = _stops(sequences, int(sequences.events["time"][row]))
    stops[sequences.shopper[row]] = row + 1
    return stops


def _stops(sequences: Sequences, moment: int) -> Array:
    """Behind each shopper's last row before the first one at or after the moment (U,): what the log held of it then."""
    later = np.flatnonzero(sequences.events["time"] >= moment)
    stops = sequences.bounds[1:].copy()
    owners, first = np.unique(sequences.shopper[later], return_index=True)
    stops[owners] = later[first]
    return stops


def _namer(sequences: Sequences, shopper: Array, moment: Array) -> Callable[[int], str]:
    return lambda row: f"shopper {sequences.users[int(shopper[row])].as_py()!r} at {iso(int(moment[row]))}"


def _shuffled(sequences: Sequences, split: Split, spec: FeatureSpec, seed: int) -> list[Check]:
    aggregates, found = Aggregates(sequences, spec), []
    days = questions.BUY_DAYS[0]
    asked = {
        f"buy_{days}d": [questions.buys(sequences, part, days) for part in (split.learn, split.score)],
        f"lapse_{questions.LAPSE_DAYS}d": [
            questions.lapses(sequences, part) for part in (split.learn, split.score)
        ],
    }
    for name, parts in asked.items():
        rows = Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        learnt, scored = np.split(np.arange(len(rows.came)), [len(parts[0].came)])
        if not len(learnt) or not len(scored):
            continue
        tables = {
            "baseline": baseline.features(sequences.purchases, rows.shopper, rows.moment),
            "LightGBM": aggregates.table(rows.shopper, rows.moment) if boosting.available() else None,
        }
        for model, inputs in tables.items():
            if inputs is not None:
                fit = _fitter(model, inputs, rows.shopper, seed)
                title = f"shuffled labels: {model}, {name}"
                found.append(shuffled_labels(title, rows.came, learnt, scored, fit, seed))
    return found


def _fitter(
    model: str, inputs: Array, shopper: Array, seed: int
) -> Callable[[Array, Array], Callable[[Array], Array]]:
    def fit(at: Array, labels: Array) -> Callable[[Array], Array]:
        if model == "baseline":
            line = baseline.fit(inputs[at], labels)
            return lambda asked: baseline.probability(line, inputs[asked])
        trees = boosting.fit(inputs[at], labels, shopper[at], COLUMNS, seed)
        return lambda asked: boosting.probability(trees, inputs[asked])

    return fit
