"""Others read what the worker publishes: Kafka's own console consumer, and fastavro with nothing but the schema file."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import fastavro
import pytest

from schemas.settings import Settings
from tests.brokers.kafka import Kafka
from tests.streams.live import event
from tests.streams.site import Site, worker
from tests.streams.test_worker_kafka import publish

POLICY = """
name: default
kill_switch: false
holdout: {salt: test, share: 0.0}
consent: {coupon: opt_out, push: opt_out, rerank: opt_out}
frequency_caps: []
campaigns:
"""
CAMPAIGN = """
  - id: {kind}
    kind: {kind}
    trigger: {{event_types: [{event}], score: buy_7d, at_least: 0.0}}
    value: {{margin_per_conversion: 7.0, lift: 1.0, cost_per_contact: 0.0, minimum: 0.0}}
    cooldown_hours: 0
    priority: 1
    payload: {payload}
"""
PAYLOADS = {
    "coupon": ("purchase", "{value: 2.0, minimum_spend: 10.0, category: null, expires_hours: 24}"),
    "push": ("click", "{template: hello, send_after_minutes: 5, expires_hours: 24}"),
    "rerank": ("search", "{size: 2, top_categories: 5, expires_minutes: 60}"),
}
SCHEMA = Path(__file__).parents[2] / "schemas" / "intervention.avsc"


@pytest.mark.kafka
def test_the_three_kinds_are_read_by_console_consumer_and_fastavro(
    settings: Settings, kafka_broker: Kafka, tmp_path: Path
) -> None:
    site = Site(settings)
    campaigns = [CAMPAIGN.format(kind=kind, event=at, payload=text) for kind, (at, text) in PAYLOADS.items()]
    publish(site, POLICY + "".join(campaigns))
    rows = [
        event(at, at, event_type=kind) for at, (kind, _) in enumerate(list(PAYLOADS.values()) * 4, start=1)
    ]
    with worker(settings, tmp_path) as running:
        site.wait(lambda: '"policy": "' in running.page(), "the policy")
        site.send(rows)
        site.wait(lambda: len(site.read("decision")) >= len(rows) - 4, "decisions")
        site.wait(lambda: len(site.read("intervention")) >= 8, "interventions")
    topic = site.topics.interventions
    schema = fastavro.parse_schema(json.loads(SCHEMA.read_text()))
    read = []
    for key, value in site.read_raw(topic):
        assert key is not None
        assert value is not None
        assert value[0] == 0
        found = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, schema)
        assert isinstance(found, dict)
        assert found["user_id"] == key.decode()
        assert found[found["kind"]] is not None
        assert found["expires_at"] > found["event_time"]
        read.append(found)
    assert {"coupon", "push"} <= {row["kind"] for row in read}
    printed = kafka_broker.tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", kafka_broker.bootstrap),
        *("--topic", topic),
        *("--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "8000"),
        *("--property", "print.key=true", "--property", "key.separator=|"),
    )
    keys = re.findall(r"^(user-\d+)\|", printed, re.MULTILINE)
    assert sorted(keys) == sorted(row["user_id"] for row in read)
