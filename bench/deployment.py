"""What a measurement runs on: topics, an untrained release of the default size, and a policy with some candidates.

Random weights cost what trained ones cost; thresholds are set from the scores that these weights give, so that a few
events in a hundred are candidates.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from confluent_kafka import Producer

from bench.workload import CATEGORIES, ITEMS, Workload
from models import promotion
from models.architecture import Architecture
from models.engine import Engine, load
from models.events import EVENT_TYPES, hash_strings, pack
from models.featurizer import FeatureSpec
from models.network import IntentNetwork, weights_of
from models.release import Card, Release, write
from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import PREFIX, Settings
from streams.policy import Policy
from streams.policy_document import load as load_policy
from streams.rows import Rows
from streams.sequences import Sequences

POLICY = Path(__file__).resolve().parent.parent / "deploy" / "policy.yaml"
SAMPLE = Workload(shoppers=2_000, events=20_000, seed=2)
# Campaign of the policy -> its events here, and the share of these that should be candidates.
CANDIDATES = {
    "winback_coupon": ("purchase", 0.05),
    "weekly_reminder": ("purchase", 0.05),
    "redeemed_list": ("add_to_cart", 0.1),
    "mailed_list": ("item_view", 0.01),
}


def deploy(bootstrap: str, folder: Path, **settings: Any) -> Settings:
    """Topics, release and policy on the broker; default settings but for addresses, folders and `settings`."""
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}CACHE"]:
        del os.environ[name]  # a measurement is of the defaults, and workers inherit the environment
    made = Settings.load(
        bootstrap_servers=bootstrap,
        app_id="bench",
        data_dir=str(folder / "worker"),
        releases_uri=str(folder / "releases"),
        archive_uri=str(folder / "archive"),
        **settings,
    )
    topics.create(made)
    topics.check(made)
    release = untrained_release(made)
    promotion.promote(made, release, "random weights, for measurements")
    publish(made, policy_for(load(release.uri)))
    return made


def untrained_release(settings: Settings) -> Release:
    """A release of the default architecture with random weights."""
    torch.manual_seed(0)
    spec, architecture = FeatureSpec(), Architecture()
    network = IntentNetwork(spec, architecture, len(CATEGORIES)).eval()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    popular = {
        name: tuple(f"item-{(at * 20 + n) % ITEMS:05d}" for n in range(20))
        for at, name in enumerate(CATEGORIES)
    }
    card = Card(
        model=settings.model_name,
        categories=CATEGORIES,
        popular=popular,
        metrics={},
        data_from=now,
        data_until=now,
        seed=0,
        git_revision="random weights",
        schema_fingerprint="random weights",
        features=spec,
        architecture=architecture,
    )
    return write(settings.releases_uri, card, weights_of(network))


def policy_for(engine: Engine) -> Policy:
    """deploy/policy.yaml with triggers on this workload's events and thresholds at the engine's own scores."""
    document = load_policy(POLICY).model_dump()
    types, scores = _sample_scores(engine)
    for campaign in document["campaigns"]:
        event_type, share = CANDIDATES[campaign["id"]]
        score = campaign["trigger"]["score"]
        column = scores[types == EVENT_TYPES.index(event_type), engine.tasks.index(score)]
        threshold = float(np.quantile(column.astype(np.float64), 1.0 - share))
        campaign["trigger"] = {"event_types": [event_type], "score": score, "at_least": threshold}
        campaign["value"] = {
            "margin_per_conversion": 10.0,
            "lift": 0.1,
            "cost_per_contact": 0.0,
            "minimum": 0.0,
        }
    return Policy.model_validate(document)


def publish(settings: Settings, policy: Policy) -> None:
    """Put the policy on the topic that workers follow."""
    codec = Codec(open_registry(settings), "policy")
    (value,) = codec.encode_rows([policy.row(int(time.time() * 1000))])
    producer = Producer(confluent_config(settings, enable_idempotence=True))
    producer.produce(topics.Topics(settings).policies, value=value, key=settings.policy_name)
    if producer.flush(30.0):
        raise RuntimeError("the broker did not take the policy within 30 s")


def _sample_scores(engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    """Event types (N,) and task scores (N, tasks) of a sample of the workload, every shopper with some history."""
    settings, spec = Settings(), FeatureSpec()
    rows = Rows(SAMPLE.shoppers, settings.ring_events, engine.state_size, lambda users: [None] * len(users))
    sequences = Sequences(rows, engine, spec)
    schema = Codec(open_registry(settings), "behavior_event").arrow_schema
    types, scores, offset = [], [], 0
    for batch in SAMPLE.batches(schema, size=2_000):
        users = [user.encode() for user in batch.column("user_id").to_pylist()]
        events, ids = pack(batch), hash_strings(batch.column("event_id"))
        offsets = np.arange(offset, offset + len(users))
        applied = sequences.apply(rows.locate(users), events, ids, offsets)
        types.append(events["type"])
        scores.append(engine.heads(applied.trunk).tasks)
        offset += len(users)
    return np.concatenate(types), np.concatenate(scores)
