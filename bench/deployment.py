"""What a measurement runs on: topics, an untrained release of the default size, and a policy with some candidates.

Random weights cost what trained ones cost, but what they score means nothing: it moves with the pace of the events.
So candidates are chosen by the type of an event alone, 15 in 1,000, of which about 1 in 100 events raises an intervention.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from confluent_kafka import Producer

from bench.throwaway import card
from bench.workload import CATEGORIES, ITEMS
from models import promotion
from models.architecture import Architecture
from models.featurizer import FeatureSpec
from models.network import IntentNetwork, weights_of
from models.release import Release, write
from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import PREFIX, Settings
from streams.policy import Policy
from streams.policy_document import load as load_policy

POLICY = Path(__file__).resolve().parent.parent / "deploy" / "policy.yaml"
# Campaign of the policy -> the events that it looks at here, whatever their score: 15 in 1,000 (bench/workload.py).
CANDIDATES = {"winback_coupon": "wishlist", "redeemed_list": "coupon_redeem"}


def deploy(bootstrap: str, folder: Path, policy: bool = True, **settings: Any) -> Settings:
    """Topics, release and, unless not wanted, a policy on the broker; default settings but for addresses, folders and
    `settings`."""
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}CACHE"]:
        del os.environ[name]  # a measurement is of the defaults, and workers inherit the environment
    made = Settings.load(
        bootstrap_servers=bootstrap,
        data_dir=str(folder / "worker"),
        releases_uri=str(folder / "releases"),
        archive_uri=str(folder / "archive"),
        **({"app_id": "bench"} | settings),
    )
    topics.create(made)
    topics.check(made)
    release = untrained_release(made)
    promotion.promote(made, release, "random weights, for measurements")
    if policy:
        publish(made, policy_for())
    return made


def untrained_release(settings: Settings, seed: int = 0) -> Release:
    """A release of the default architecture with random weights."""
    torch.manual_seed(seed)
    spec, architecture = FeatureSpec(), Architecture()
    network = IntentNetwork(spec, architecture, len(CATEGORIES)).eval()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    popular = {
        name: tuple(f"item-{(at * 20 + n) % ITEMS:05d}" for n in range(20))
        for at, name in enumerate(CATEGORIES)
    }
    made = card(
        model=settings.model_name,
        categories=CATEGORIES,
        popular=popular,
        data_from=now,
        data_until=now,
        seed=seed,
        features=spec,
        architecture=architecture,
    )
    return write(settings.releases_uri, made, weights_of(network))


def policy_for() -> Policy:
    """deploy/policy.yaml with the two campaigns of CANDIDATES, each worth its while; caps and cooldowns as they are."""
    document = load_policy(POLICY).model_dump()
    document["campaigns"] = [found for found in document["campaigns"] if found["id"] in CANDIDATES]
    for campaign in document["campaigns"]:
        score = campaign["trigger"]["score"]
        campaign["trigger"] = {"event_types": [CANDIDATES[campaign["id"]]], "score": score, "at_least": 0.0}
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
