"""The worker as a process on a real broker: every event predicted once, whatever happens to it on the way."""

from __future__ import annotations

import signal
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from models import promotion, releases_topic
from schemas.kafka import confluent_config
from schemas.settings import Settings
from streams import policy_document
from streams.policy import Policy
from tests.models.releases import written
from tests.streams.decide_cases import document
from tests.streams.live import event
from tests.streams.site import Site, Worker, worker

POLICY = Path(__file__).parents[2] / "deploy" / "policy.yaml"


def events(first: int, count: int, users: int = 40) -> list[dict[str, Any]]:
    return [event(at % users, at) for at in range(first, first + count)]


def predicted(site: Site) -> list[str]:
    return [row["event_id"] for row in site.read("prediction")]


def publish(site: Site, document: str) -> None:
    policy = policy_document.parse(document, "test policy")
    from schemas.codec import Codec
    from schemas.registry import open_registry

    (value,) = Codec(open_registry(site.settings), "policy").encode_rows(
        [policy.row(int(time.time() * 1000))]
    )
    producer = Producer(confluent_config(site.settings))
    producer.produce(site.topics.policies, value=value, key=site.settings.policy_name)
    producer.flush(10)


def live(running: Worker) -> bool:
    return '"ready": true' in running.page()


def predicts_once_through_a_stop(site: Site, folder: Path) -> None:
    """Shared by both brokers: predict, stop by SIGTERM within 10 s, go on where it stopped."""
    first, second = events(0, 300), events(300, 300)
    site.send(first)
    with worker(site.settings, folder) as running:
        site.wait(lambda: len(predicted(site)) == 300, "300 predictions")
        begun = time.monotonic()
        assert running.stop() == 0, running.log
        assert time.monotonic() - begun < 10
    site.send(second)
    with worker(site.settings, folder) as running:
        site.wait(lambda: len(predicted(site)) >= 600, "600 predictions")
        assert running.stop() == 0, running.log
    assert sorted(predicted(site)) == sorted(row["event_id"] for row in first + second)


@pytest.mark.embedded
def test_on_the_embedded_broker_every_event_is_predicted_once(settings: Settings, tmp_path: Path) -> None:
    predicts_once_through_a_stop(Site(settings), tmp_path)


@pytest.mark.kafka
def test_on_kafka_every_event_is_predicted_once(settings: Settings, tmp_path: Path) -> None:
    predicts_once_through_a_stop(Site(settings), tmp_path)


@pytest.mark.kafka
@pytest.mark.parametrize("wipe", [False, True], ids=["data kept", "data folder lost"])
def test_killed_in_the_middle_it_loses_and_doubles_nothing(
    settings: Settings, tmp_path: Path, wipe: bool
) -> None:
    settings = settings.model_copy(
        update={"checkpoint_interval_s": 0.5, "batch_records": 50, "session_timeout_s": 6.0}
    )
    site = Site(settings)
    everything: list[dict[str, Any]] = []
    for turn in range(3):
        rows = events(turn * 400, 400)
        everything += rows
        with worker(settings, tmp_path) as running:
            site.wait(lambda running=running: live(running), "ready")  # type: ignore[misc]
            site.send(rows)
            time.sleep(0.3 * turn)
            running.kill()
        if wipe:
            (tmp_path / "worker").rename(tmp_path / f"lost-{turn}")
    with worker(settings, tmp_path) as running:
        site.wait(lambda: live(running), "ready")
        site.wait(lambda: len(predicted(site)) >= len(everything), "all predictions")
        assert running.stop() == 0, running.log
    assert sorted(predicted(site)) == sorted(row["event_id"] for row in everything)
    assert site.read("dead_letter") == []


@pytest.mark.kafka
def test_one_worker_becomes_two_and_one_again_and_every_event_is_predicted_once(
    settings: Settings, tmp_path: Path
) -> None:
    site = Site(settings)
    other = settings.model_copy(update={"data_dir": str(tmp_path / "other")})
    site.send(events(0, 200))
    with worker(settings, tmp_path) as first:
        site.wait(lambda: len(predicted(site)) == 200, "200 predictions")
        with worker(other, tmp_path) as second:
            site.wait(
                lambda: live(second) and first.page().count('"state": "live"') == 2, "partitions shared"
            )
            site.send(events(200, 200))
            site.wait(lambda: len(predicted(site)) >= 400, "400 predictions")
            assert second.stop() == 0, second.log
        site.wait(lambda: first.page().count('"state": "live"') == 4, "all partitions back")
        site.send(events(400, 200))
        site.wait(lambda: len(predicted(site)) >= 600, "600 predictions")
        assert first.stop() == 0, first.log
    assert sorted(predicted(site)) == sorted(row["event_id"] for row in events(0, 600))


@pytest.mark.kafka
def test_release_and_policy_change_without_a_restart_and_a_bad_one_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    site = Site(settings)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: live(running), "ready")
        site.send(events(0, 100))
        site.wait(lambda: len(predicted(site)) == 100, "100 predictions")
        assert site.read("decision") == []
        publish(site, POLICY.read_text())
        other = written(settings.releases_uri, seed=5)
        promotion.promote(settings, other)
        site.wait(lambda: other.id in running.page(), "the other release")
        site.send(events(100, 100))
        site.wait(lambda: len(predicted(site)) == 200, "200 predictions")
        releases = [row["release"] for row in site.read("prediction")]
        assert releases.count(site.release.id) == 100
        assert releases.count(other.id) == 100
        (Path(settings.releases_uri) / other.id / "model.safetensors").write_bytes(b"cut short")
        key = settings.model_name.encode()
        releases_topic.write(settings, {key: dict(releases_topic.read(settings))[key]}, "the same again")
        site.wait(lambda: "SHA-256" in running.page(), "the refusal")
        assert '"healthy": true' in running.page()


@pytest.mark.kafka
def test_what_waits_is_sent_once_though_nobody_comes_and_the_worker_was_killed(
    settings: Settings, tmp_path: Path
) -> None:
    """By the clock on the wall: the messages' hour comes after the last event, and after the crash."""
    settings = settings.model_copy(update={"timer_lateness_s": 0.0, "session_timeout_s": 6.0})
    site, source = Site(settings), document(frequency_caps=[])
    reminder = {**source["campaigns"][1], "cooldown_hours": 0, "budget": {"count": 30, "pacing": "none"}}
    reminder["trigger"] = {"event_types": ["search"], "score": "buy_7d", "at_least": 0.0}
    reminder["value"] = {"margin_per_conversion": 1, "lift": 1, "cost_per_contact": 0.5, "minimum": -1}
    reminder["payload"] = {**reminder["payload"], "send_after_minutes": 0.4}
    publish(site, Policy.model_validate({**source, "campaigns": [reminder]}).to_yaml())

    def reasons() -> list[str]:
        return sorted(row["reason"] for row in site.read("decision"))

    with worker(settings, tmp_path) as running:
        site.wait(lambda: live(running), "ready")
        now = int(time.time() * 1000)
        site.send(
            [
                {**event(user, user, event_type="search"), "event_id": str(uuid.uuid4()), "event_time": now}
                for user in range(100)
            ]
        )
        site.wait(lambda: len(reasons()) == 100, "100 decisions")
        running.kill()
    assert reasons() == ["budget"] * 70 + ["deferred"] * 30
    assert site.read("intervention") == []
    with worker(settings, tmp_path) as running:
        site.wait(lambda: len(site.read("intervention")) >= 30, "30 messages")
        assert running.stop() == 0, running.log
    sent = site.read("intervention")
    assert len({row["intervention_id"] for row in sent}) == len(sent) == 30
    assert all(row["emitted_at"] >= row["push"]["send_after"] == now + 24_000 for row in sent)
    assert reasons() == ["budget"] * 70 + ["deferred"] * 30 + ["emitted"] * 30


@pytest.mark.kafka
def test_a_worker_that_was_frozen_hears_what_came_meanwhile_before_pauses_end(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"timer_lateness_s": 0.0, "session_timeout_s": 45.0})
    site, source = Site(settings), document(frequency_caps=[])
    coupon = {**source["campaigns"][0], "cooldown_hours": 0}
    coupon["trigger"] = {"event_types": ["add_to_cart"], "score": "buy_7d", "at_least": 0.0}
    coupon["trigger"]["idle_minutes"] = 0.25
    coupon["value"] = {"margin_per_conversion": 1, "lift": 1, "cost_per_contact": 0.5, "minimum": -1}
    publish(site, Policy.model_validate({**source, "campaigns": [coupon]}).to_yaml())

    def send(kind: str, users: range) -> None:
        now = {"event_type": kind, "event_time": int(time.time() * 1000)}
        site.send([{**event(user, user), "event_id": str(uuid.uuid4()), **now} for user in users])

    with worker(settings, tmp_path) as running:
        site.wait(lambda: live(running), "ready")
        send("add_to_cart", range(60))
        begun = time.monotonic()
        site.wait(lambda: len(predicted(site)) == 60, "60 predictions")
        time.sleep(2.5)  # its partitions are idle now
        running.process.send_signal(signal.SIGSTOP)
        send("page_view", range(50))
        time.sleep(max(0.0, begun + 17.0 - time.monotonic()))
        running.process.send_signal(signal.SIGCONT)
        site.wait(lambda: len(site.read("decision")) >= 10, "10 pauses that nobody ended")
        time.sleep(3)
        assert running.stop() == 0, running.log
    assert {row["user_id"] for row in site.read("decision")} == {f"user-{user}" for user in range(50, 60)}
    assert len(predicted(site)) == 110


@pytest.mark.kafka
def test_bad_records_go_to_dead_letters_with_their_bytes_and_the_rest_is_scored(
    settings: Settings, tmp_path: Path
) -> None:
    site = Site(settings)
    producer = Producer(confluent_config(settings, message_max_bytes=16_000_000))
    site.send(events(0, 50))
    huge = b"\x00" + b"x" * 10_000_000
    for value in (b"garbage", None, huge, b"\x00\x00\x00\xff\xff" + b"y"):
        producer.produce(site.topics.behavior_events, value=value, key=b"user-1", headers=[("trace", b"1")])
    producer.flush(20)
    site.send(events(50, 50))
    with worker(settings, tmp_path) as running:
        site.wait(lambda: len(predicted(site)) == 100, "100 predictions")
        site.wait(lambda: len(site.read("dead_letter")) == 4, "4 dead letters")
        letters = {row["reason"]: row for row in site.read("dead_letter")}
        metrics = running.page("/metrics")
    assert set(letters) == {"undecodable", "null_value", "oversized", "unknown_schema"}
    assert letters["oversized"]["value"] == huge
    assert letters["undecodable"]["headers"] == [{"name": "trace", "value": b"1"}]
    assert 'intentflow_dropped_total{reason="oversized"} 1.0' in metrics


@pytest.mark.kafka
def test_it_refuses_to_start_on_missing_topics_and_says_what_to_do(
    settings: Settings, tmp_path: Path
) -> None:
    with worker(settings, tmp_path) as running:
        assert running.process.wait(30) != 0
        assert "topics create" in running.log
