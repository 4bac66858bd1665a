"""What a release's card says beside the model: popular items, the schema and the code it was made with."""

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from models.replay.dataset import PURCHASE, Sequences
from schemas import avro

POPULAR = 20  # items per category that a release keeps as candidates for re-ranked lists


def popular(shards: Iterable[Sequences], categories: set[str]) -> dict[str, tuple[str, ...]]:
    """Item ids bought most often, per category of the vocabulary, best first."""
    counts: Counter[int] = Counter()  # by category and item
    names: dict[int, tuple[str, str]] = {}
    for one in shards:
        events = one.events
        bought = events[(events["type"] == PURCHASE) & (events["category"] != 0) & (events["item"] != 0)]
        pairs, found = np.unique(
            (bought["category"].astype(np.uint64) << np.uint64(32)) | bought["item"], return_counts=True
        )
        counts.update(dict(zip(pairs.tolist(), found.tolist(), strict=True)))
        for pair in pairs.tolist():
            names[pair] = one.category_names[pair >> 32], one.item_names[pair & 0xFFFFFFFF]
    best: dict[str, list[str]] = {}
    for pair in sorted(counts, key=lambda pair: (-counts[pair], pair)):
        category, item = names[pair]
        items = best.setdefault(category, [])
        if category in categories and len(items) < POPULAR:
            items.append(item)
    return {category: tuple(items) for category, items in sorted(best.items()) if items}


def schema_fingerprint() -> str:
    """16 hex digits over the canonical form of the BehaviorEvent schema that events are read with."""
    form = json.dumps(avro.canonical(avro.parse(avro.current("behavior_event"))), sort_keys=True)
    return hashlib.sha256(form.encode()).hexdigest()[:16]


def git_revision() -> str:
    """Revision of the code that trains, "unknown" outside a repository; "+" behind it when files differ from it."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
