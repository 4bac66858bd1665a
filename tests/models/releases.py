"""Small untrained releases for tests of engines, releases and whoever serves them."""

from pathlib import Path

import numpy as np
import torch

from models import release, trunks
from models.architecture import Architecture, Calibration
from models.featurizer import DENSE, FeatureSpec
from models.network import IntentNetwork, weights_of
from models.release import OTHER, Card, Release

CATEGORIES = (*(f"category {n}" for n in range(7)), OTHER)
SKEWED = Calibration(
    tuple(np.linspace(0.5, 2, 13).tolist()), tuple(np.linspace(-1, 1, 13).tolist()), category_temperature=1.7
)


def card(**changes: object) -> Card:
    settings: dict[str, object] = {
        "model": "intent",
        "categories": CATEGORIES,
        "popular": {"category 1": ("item a", "item b")},
        "metrics": {"buy_7d": {"auc": 0.8}},
        "data_from": "2017-01-01T00:00:00+00:00",
        "data_until": "2017-08-01T00:00:00+00:00",
        "seed": 7,
        "git_revision": "0" * 40,
        "schema_fingerprint": "f" * 16,
        "features": FeatureSpec(item_buckets=64, category_buckets=16),
        "architecture": Architecture(sizes=(16, 16), head=16, memory=8),
    }
    return Card(**{**settings, **changes})  # type: ignore[arg-type]


def untrained(of: Card, seed: int = 0) -> IntentNetwork:
    torch.manual_seed(seed)
    return IntentNetwork(of.features, of.architecture, len(of.categories), of.tasks).eval()


def written(folder: Path | str, seed: int = 0, **changes: object) -> Release:
    """A release with random weights in `folder`."""
    of = card(**changes)
    return release.write(str(folder), of, weights_of(untrained(of, seed)))


def random_inputs(of: Card, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, dense and hidden states for one step of `rows` shoppers."""
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, size, rows) for size in of.features.vocabulary()], 1).astype(np.int32)
    dense = rng.normal(size=(rows, of.features.dense_size)).astype(np.float32)
    same = rng.random(rows) < 0.5  # an event of the moment of the one before
    dense[np.ix_(same, [DENSE.index("log_since_previous"), DENSE.index("first_event")])] = 0.0
    return ids, dense, _states(of, rows, rng)


def _states(of: Card, rows: int, rng: np.random.Generator) -> np.ndarray:
    """The last float of a state is the weight of its memory, in 0…1; a transformer's first are 0 or 1."""
    states = rng.normal(size=(rows, of.architecture.state_size)).astype(np.float32)
    states[:, -1] = rng.random(rows)
    sums = sum(trunks.state_parts(of.architecture))
    usual = slice(sums, sums + of.architecture.habits_size)
    states[:, usual] = rng.random((rows, of.architecture.habits_size))
    recall = of.architecture.recall
    if recall:
        first = usual.stop
        states[:, first : first + 2 * recall] = rng.integers(0, 9, (rows, 2 * recall))
        states[:, first + 2 * recall] = rng.integers(0, recall, rows)
    if of.architecture.trunk == "transformer":
        states[:, : of.architecture.window] = rng.integers(0, 2, (rows, of.architecture.window))
    return states


TRUNKS = {
    "lstm of one layer": Architecture(sizes=(16,), head=16, memory=8),
    "lstm of two layers": Architecture(sizes=(24, 16), head=16, memory=8),
    "lstm of three layers": Architecture(sizes=(16, 16, 16), head=16, memory=8),
    "lstm with recall": Architecture(sizes=(16, 16), head=16, memory=8, recall=5),
    "lstm with habits": Architecture(sizes=(16, 16), head=16, memory=8, habits=True),
    "lstm with habits and recall": Architecture(sizes=(16, 16), head=16, memory=8, recall=5, habits=True),
    "gru": Architecture("gru", (24, 16), head=16, memory=8),
    "rnn": Architecture("rnn", (16, 16), head=16, memory=8),
    "tcn": Architecture("tcn", (24, 16, 16), head=16, memory=8),
    "transformer": Architecture("transformer", (16, 16), window=6, head=16, memory=8),
}
