"""`make bench-deciding`: what deciding adds to an event, µs: candidates found by columns, and the few walked.

Batches of 4,096 events of 20,000 shoppers in a shop's usual mix, three in a hundred a purchase. Scores are drawn so
that their means are the base rates that the demo's policy names (after a basket 80 in 100 are back within a week, 4 in
100 stay silent for 30 days). The policy is the demo's with an audience, a schedule and an experiment more. The book of
contacts is the worker's own over a store in memory, and each batch is committed, its contacts encoded. Decisions are
not encoded: that is publishing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench import report
from models.context import CONTEXT
from models.events import DEVICES, TYPE_CODE
from models.survival import TASKS
from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams.candidates import Scored, find_candidates
from streams.compiled import CompiledPolicy
from streams.contacts import ZONE, ContactBook, Said
from streams.decide import decide
from streams.policy_document import parse

BATCH, SHOPPERS, LIMIT_US = 4_096, 20_000, 3.0
POLICY = Path(__file__).parents[1] / "deploy" / "policy.yaml"
MIX = {
    "page_view": 0.40,
    "item_view": 0.36,
    "search": 0.08,
    "add_to_cart": 0.06,
    "click": 0.05,
    "purchase": 0.03,
    "coupon_redeem": 0.01,
    "intervention_exposed": 0.01,
}
CATEGORIES = tuple(f"category-{n}" for n in range(300))
POPULAR = {name: tuple(f"{name}-{n}" for n in range(20)) for name in CATEGORIES}
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York")
RATES = {"buy_3d": (2.0, 2.0), "buy_7d": (4.0, 1.0), "buy_30d": (24.0, 1.0), "lapse_30d": (1.0, 24.0)}  # beta
START = 1_767_225_600_000  # 2026-01-01
GAP_MS = 50  # between two events of the shop


def main() -> int:
    batches = 20 if report.fast() else 200
    policy = CompiledPolicy(typical(), TASKS)
    kept: dict[str, bytes | None] = {}
    book = ContactBook(Codec(FileRegistry(), "contact"), lambda users: [kept.get(user) for user in users])
    rng = np.random.default_rng(0)
    found, decided, reasons = [], [], dict[str, int]()
    for number in range(batches):
        scored = batch(rng, number)
        start = time.perf_counter()
        candidates = find_candidates(scored, policy)
        between = time.perf_counter()
        decisions = decide(scored, book, policy, START)
        changes = book.end()
        values = book.encode(changes)
        done = time.perf_counter()
        book.settle(changes)
        kept.update(zip((user for user, _ in changes), values, strict=True))
        found.append((between - start) * 1e6)
        decided.append((done - between) * 1e6)  # finds the candidates once more itself
        for decision in decisions:
            reasons[decision.reason] = reasons.get(decision.reason, 0) + 1
        assert len(candidates.row) == len(decisions)
    events, total = batches * BATCH, sum(reasons.values())
    typical_us = float(np.median(decided[batches // 10 :])) / BATCH
    figures: dict[str, Any] = {
        "events": events,
        "campaigns": len(policy.campaigns),
        "decisions_per_1000_events": 1000 * total / events,
        "us_per_event": typical_us,
        "us_per_event_p95": float(np.quantile(decided[batches // 10 :], 0.95)) / BATCH,
        "us_per_event_to_find_candidates": float(np.median(found)) / BATCH,
        "us_per_decision": typical_us * events / total,
        "share_of_decisions": {reason: count / total for reason, count in sorted(reasons.items())},
    }
    bar = report.at_most("deciding, µs per event", typical_us, LIMIT_US)
    return report.finish("deciding", figures, [bar], {}, report.trial())


def typical() -> Any:
    """The demo's policy with an audience, a schedule and an experiment."""
    document = yaml.safe_load(POLICY.read_text(encoding="utf-8"))
    coupon, push, *_ = document["campaigns"]
    coupon["experiment"] = {
        "salt": "bench",
        "arms": [{"name": "control", "share": 20, "nothing": True}, {"name": "two", "share": 80}],
    }
    push["audience"] = {"events_at_least": 2, "devices": ["mobile", "app", "desktop"]}
    push["schedule"] = {"from": "2026-01-01", "until": "2026-12-31"}
    return parse(yaml.safe_dump(document, sort_keys=False), "bench")


def batch(rng: np.random.Generator, number: int) -> Scored:
    """Scored events as the earlier stages hand them over; one in a hundred tells its shopper's time zone."""
    users = [f"shopper-{at}" for at in rng.integers(SHOPPERS, size=BATCH)]
    ids = [f"{number:08}-{at:08}" for at in range(BATCH)]
    times = START + (number * BATCH + np.arange(BATCH, dtype=np.int64)) * GAP_MS
    context = np.zeros(BATCH, CONTEXT)
    context["events"], context["sessions"] = rng.integers(50, size=BATCH), 3
    context["previous_time"] = times - 60_000
    kinds = np.array([TYPE_CODE[name] for name in MIX], np.uint8)
    top_scores = np.sort(rng.random((BATCH, 5)), axis=1)[:, ::-1] / 5
    return Scored(
        user_ids=users,
        event_ids=ids,
        prediction_ids=ids,
        event_type=rng.choice(kinds, BATCH, p=list(MIX.values())),
        event_time=times,
        tasks=TASKS,
        scores=np.stack([rng.beta(*RATES[task], BATCH) for task in TASKS], axis=1).astype(np.float32),
        top=rng.integers(len(CATEGORIES), size=(BATCH, 5)).astype(np.int32),
        top_scores=top_scores.astype(np.float32),
        categories=CATEGORIES,
        popular=POPULAR,
        release="bench",
        category_ids=[None] * BATCH,
        device=rng.integers(len(DEVICES), size=BATCH).astype(np.uint8),
        properties=[()] * BATCH,
        context=context,
        said=[Said(at, users[at], ZONE, True, ZONES[at % len(ZONES)]) for at in range(0, BATCH, 100)],
    )


if __name__ == "__main__":
    sys.exit(main())
