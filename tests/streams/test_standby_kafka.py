"""Warm copies on a real Kafka: they follow the owners, and whoever has one takes over with nothing lost or doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import Settings
from tests.streams.live import event
from tests.streams.site import Site, Worker, worker

pytestmark = pytest.mark.kafka


def events(first: int, count: int) -> list[dict[str, Any]]:
    return [event(at % 40, at) for at in range(first, first + count)]


def page(running: Worker) -> dict[str, Any]:
    text = running.page()
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def warm(running: Worker) -> dict[str, int]:
    """Its copies that hold something."""
    copies = page(running).get("standby_changelog_offsets", {})
    return {number: offset for number, offset in copies.items() if offset}


def owned(running: Worker) -> set[str]:
    return set(page(running).get("partitions", {}))


def test_each_worker_copies_the_others_partitions_and_takes_them_over(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={"checkpoint_interval_s": 0.5, "session_timeout_s": 6.0, "standby_replicas": 1}
    )
    site = Site(settings)
    everything = {str(number) for number in range(settings.partitions)}
    other = settings.model_copy(update={"data_dir": f"{settings.data_dir}-other"})
    site.send(events(0, 400))
    with worker(settings, tmp_path) as one, worker(other, tmp_path) as two:
        site.wait(
            lambda: len(owned(one)) == len(owned(two)) == settings.partitions // 2, "an even share each"
        )
        assert owned(one) | owned(two) == everything
        site.wait(lambda: set(warm(one)) == owned(two), "copies of the other's partitions")
        before = warm(one)
        two.kill()
        site.send(events(400, 400))
        site.wait(lambda: owned(one) == everything, "the partitions of the dead")
        site.wait(lambda: len(site.read("prediction")) >= 800, "all predictions")
        opened = [line for line in one.log.splitlines() if "changelog records read" in line]
        for number, offset in before.items():
            line = next(line for line in reversed(opened) if f"partition {number} open" in line)
            assert int(line.split(" open: ")[1].split()[0]) < offset, "it read on from its copy"
        assert one.stop() == 0, one.log
    ids = [row["event_id"] for row in site.read("prediction")]
    assert sorted(ids) == sorted(row["event_id"] for row in events(0, 800))


def test_a_rebalance_leaves_partitions_that_stay_as_they_are(settings: Settings, tmp_path: Path) -> None:
    site = Site(settings)
    site.send(events(0, 200))
    with worker(settings, tmp_path) as one:
        site.wait(lambda: len(site.read("prediction")) == 200, "200 predictions")
        other = settings.model_copy(update={"data_dir": f"{settings.data_dir}-other"})
        with worker(other, tmp_path) as two:
            site.wait(lambda: len(owned(two)) == settings.partitions // 2, "half of the partitions")
            site.send(events(200, 200))
            site.wait(lambda: len(site.read("prediction")) >= 400, "400 predictions")
            kept = owned(one)
            assert two.stop() == 0, two.log
        for number in kept:
            assert one.log.count(f"partition {number} open:") == 1, one.log
        assert one.stop() == 0, one.log
