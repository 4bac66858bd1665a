"""`make bench-training`: events per second of training, on one core, and what they are worth.

GRU4Rec on YooChoose clicks against its official PyTorch code (bench/official.py): the same sessions, 100 units, tied item
vectors, cross entropy with 2,048 negatives, the same number of clicks to predict in a batch; one epoch each in turn, as
CPU seconds, so that a busy machine slows both; and what both rank after the same number of epochs. Then the network of the
live path on real baskets: events per second, what making batches takes, and what packing saves.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import official, report
from bench.models import logs, yoochoose
from bench.models.ranking import Task, measured
from bench.models.row import NoData
from bench.processes import say
from models.families.gru4rec import GRU4Rec
from models.families.interface import Sessions
from models.network import IntentNetwork
from models.replay.dataset import Sequences
from models.replay.labels import vocabulary
from models.replay.lanes import Array, Part, lanes, parts
from models.replay.material import Material, Rows
from models.replay.source import Interval
from models.replay.train import Recipe, train
from models.replay.world import Alone
from models.tasks import expanded, split

ROUNDS = 3
EPOCHS = 5
QUALITY = ("recall@20", "mrr@20")
BATCHES = (32, 512)  # clicks to predict between two updates; the official settings are for 32
LIKE = {"width": 100, "negatives": 2048, "flatter": 0.5}
# Those of its paramfiles/rsc15_xe_shared_100_best.py, but for the size of the batch.
OFFICIAL = {
    "layers": [100],
    "loss": "cross-entropy",
    "constrained_embedding": True,
    "dropout_p_hidden": 0.4,
    "learning_rate": 0.2,
    "momentum": 0.2,
    "n_sample": 2048,
    "sample_alpha": 0.5,
    "logq": 1.0,
}
OURS = {"sharpness": 12}  # chosen on training sessions, see bench/models/yoochoose.yaml
SHARE = 0.25  # of the households
LEARNT = Interval.between("2017-01-01", "2017-08-01")


def main() -> int:
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    bars: list[report.Bar] = []
    for name, measure in (("gru4rec", next_item), ("network", live_path)):
        try:
            figures[name] = measure(bars)
        except NoData as absent:
            figures[name] = f"not measured: {absent}"
    return report.finish("training", figures, bars, report.libraries(("torch",)), report.trial())


def next_item(bars: list[report.Bar]) -> dict[str, Any]:
    """GRU4Rec's figures, beside those of the official code where that is here."""
    task = yoochoose.task()
    found: dict[str, Any] = {f"batch_{batch}": _ours(task, batch) for batch in BATCHES}
    share = max(found[f"batch_{batch}"]["loader_share"] for batch in BATCHES)
    bars.append(report.at_most("share of training that making batches takes, GRU4Rec", share, 0.1))
    try:
        file = official.checkout()
    except official.NoCheckout as absent:
        return found | {"official": str(absent)}
    for batch in BATCHES:
        found[f"batch_{batch}"] |= (pair := _pair(file, task.train, batch))
        name = f"events/s of ours over the official code's, GRU4Rec, batch {batch}"
        bars.append(report.at_least(name, pair["ours_over_official"], 1.0))
        theirs = _theirs(file, task, batch)
        found[f"batch_{batch}"] |= {f"official_{metric}": value for metric, value in theirs.items()}
        for metric in QUALITY:
            name = f"{metric} of ours less the official code's, batch {batch}, {_epochs()} epochs"
            bars.append(report.at_least(name, found[f"batch_{batch}"][metric] - theirs[metric], 0.0))
    found["official_sha256"] = official.fingerprint(file)
    return found


def _ours(task: Task, batch: int) -> dict[str, Any]:
    model = GRU4Rec(epochs=_epochs(), cells=cells(task.train, batch), **LIKE, **OURS).fit(task.train)
    return _quality(measured(model, task)) | {"loader_share": model.speed["loader_share"]}


def _theirs(file: Path, task: Task, batch: int) -> dict[str, Any]:
    model = official.Official(file, batch_size=batch, n_epochs=_epochs(), **OFFICIAL)
    return _quality(measured(model.fit(task.train), task))


def _quality(metrics: dict[str, float]) -> dict[str, Any]:
    found = {name: metrics[name] for name in QUALITY}
    say(f"after {_epochs()} epochs: {found}")
    return found


def _pair(file: Path, sessions: Sessions, batch: int) -> dict[str, float]:
    """Medians over rounds of one epoch each in turn."""
    events, rates = len(sessions.items), list[tuple[float, float]]()
    for seed in range(1 if report.fast() else ROUNDS):
        both = (
            GRU4Rec(epochs=1, cells=cells(sessions, batch), **LIKE, **OURS),
            official.Official(file, batch_size=batch, n_epochs=1, **OFFICIAL),
        )
        ours, theirs = (events / cpu_seconds(partial(model.fit, sessions, seed)) for model in both)
        say(f"batch {batch}: {ours:.0f} events/s, the official code {theirs:.0f}")
        rates.append((ours, theirs))
    return {
        "events_per_cpu_s": statistics.median(ours for ours, _ in rates),
        "official_events_per_cpu_s": statistics.median(theirs for _, theirs in rates),
        "ours_over_official": statistics.median(ours / theirs for ours, theirs in rates),
    }


def cells(sessions: Sessions, batch: int) -> int:
    """Items of a batch of ours with `batch` clicks to predict: the first of a session is not predicted."""
    return round(batch * len(sessions.items) / (len(sessions.items) - len(sessions)))


def live_path(bars: list[report.Bar]) -> dict[str, Any]:
    """What training the worker's network costs, and what of it is making batches."""
    recipe, log = Recipe(), logs.read("completejourney").share(0.03 if report.fast() else SHARE, 0)
    rows, words = _material(log, recipe)
    marks: list[float] = []
    begun = time.process_time()
    train(
        log,
        LEARNT.stop,
        replace(recipe, epochs=2),
        0,
        lambda epoch: marks.append(time.process_time() - begun),
    )
    epoch, events = marks[1] - marks[0], len(rows.last)
    loading = cpu_seconds(lambda: _load(rows, recipe))
    bars.append(
        report.at_most(
            "share of training that making batches takes, the worker's network", loading / epoch, 0.1
        )
    )
    found: dict[str, Any] = {
        "events": events,
        "epoch_cpu_s": epoch,
        "events_per_cpu_s": events / epoch,
        "loader_share": loading / epoch,
        "prepared_once_cpu_s": marks[0] - epoch,
    }
    return found | _layouts(rows, words, recipe)


def _material(log: Sequences, recipe: Recipe) -> tuple[Rows, int]:
    """The rows that `train` learns from, and how many categories it names."""
    material = Material([log], LEARNT.stop, recipe, split(expanded(recipe.tasks)), Alone())
    words = vocabulary(material.bought(), recipe.categories)
    material.overall(words, np.random.default_rng(0), None)
    return material.learnt(0), len(words.names)


def _load(rows: Rows, recipe: Recipe) -> None:
    """All batches of an epoch, made and not learnt from."""
    for part in _packed(rows, recipe):
        rows.inputs(part.rows)


def _packed(rows: Rows, recipe: Recipe) -> Iterator[Part]:
    cut = lanes(rows.bounds, rows.shoppers, recipe.lanes, np.random.default_rng(0))
    return parts(rows.bounds, cut, recipe.rounds)


def _layouts(rows: Rows, categories: int, recipe: Recipe) -> dict[str, Any]:
    """The network's trunk forwards and backwards over all events: packed, and with shoppers by chance, padded."""
    there = np.flatnonzero(np.diff(rows.bounds))
    shuffled = np.random.default_rng(0).permutation(there)
    by_chance = np.split(shuffled, np.arange(recipe.lanes, len(shuffled), recipe.lanes))
    layouts = {
        "packed": list(_packed(rows, recipe)),
        "padded": list(padded(rows.bounds, by_chance, recipe.rounds)),
    }
    events, found = len(rows.last), dict[str, Any]()
    network = IntentNetwork(recipe.features, recipe.architecture, categories)
    for name, layout in layouts.items():
        found[f"{name}_rows"] = sum(len(part.rows) for part in layout)
        found[f"{name}_pass_events_per_cpu_s"] = events / cpu_seconds(
            lambda layout=layout: _through(network, rows, layout, "cpu")
        )
    if torch.cuda.is_available():
        network.to("cuda")
        found["cuda_packed_pass_events_per_s"] = events / seconds(
            lambda: _through(network, rows, layouts["packed"], "cuda")
        )
    else:
        found["cuda"] = "not measured: no GPU here"
    return found


def padded(bounds: Array, groups: list[Array], rounds: int) -> Iterator[Part]:
    """Parts in which everybody is as long as the group's longest: what is missing is the shopper's last event again.

    groups: shoppers with at least one event each.
    """
    for shoppers in groups:
        starts = bounds[shoppers]
        left = bounds[shoppers + 1] - starts
        longest = int(left.max())
        for first in range(0, longest, rounds):
            at = np.arange(first, min(first + rounds, longest))
            rows = starts + np.minimum(at[:, None], left - 1)
            yield Part(rows.ravel(), np.full(len(at), len(shoppers)), first == 0)


def _through(network: IntentNetwork, rows: Rows, layout: list[Part], device: str) -> None:
    hidden = torch.empty(0)
    for part in layout:
        ids, dense = (given.to(device) for given in rows.inputs(part.rows))
        carried = None if part.fresh else hidden[: part.batch_sizes[0]]
        trunk, after = network(ids, dense, torch.from_numpy(part.batch_sizes), carried)
        hidden = after.detach()
        network.zero_grad()
        trunk.square().mean().backward()
    if device == "cuda":
        torch.cuda.synchronize()


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process for it."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def seconds(work: Callable[[], object]) -> float:
    """By the clock, after a first time that does not count."""
    work()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _epochs() -> int:
    return 1 if report.fast() else EPOCHS


if __name__ == "__main__":
    sys.exit(main())
