"""What a cluster of 100 workers would need, on paper: arithmetic over the figures of `make bench-growth`, shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORKERS = 100
REPLICAS = 3  # of every topic; measured with one
RETENTION_DAYS = 7.0  # the default
LOAD = 0.5  # of saturation in an ordinary hour, so that latency holds and a third of the machines may be away
DAY_S = 86_400


@dataclass(frozen=True)
class Point:
    """What was measured at the largest number of shoppers: per event, if nothing else is said."""

    shoppers: str
    events_per_s: float
    cpu_us: float
    broker_us: float  # CPU of a broker that holds one replica
    event_bytes: float  # in the log, compressed
    prediction_bytes: float
    changelog_bytes: float
    store_bytes: float  # per shopper
    memory_mib: float  # bound of a worker


def point(figures: Mapping[str, Any]) -> Point:
    """The last point of the row of shoppers."""
    name, found = list(figures["shoppers"].items())[-1]
    return Point(
        name,
        found["events_per_s"],
        found["cpu_us_per_event"],
        1e6 * found["broker_cores_used"] / found["events_per_s"],
        found["events_bytes_per_event"],
        found["predictions_bytes_per_event"],
        found["changelog_bytes_per_event"],
        found["store_bytes_per_shopper"],
        found["memory_bound_mib"],
    )


def needs(p: Point) -> list[tuple[str, str, str]]:
    """(what, how it is reckoned, the result)."""
    most = WORKERS * p.events_per_s
    rate = LOAD * most
    written = p.prediction_bytes + p.changelog_bytes
    kept = (p.event_bytes + p.prediction_bytes) * REPLICAS
    return [
        ("events/s at saturation", f"{WORKERS} × {p.events_per_s:,.0f}", f"{most:,.0f}"),
        ("events/s planned for", f"{most:,.0f} × {LOAD:g}", f"{rate:,.0f}"),
        ("events a day", f"{rate:,.0f} × {DAY_S:,}", f"{rate * DAY_S / 1e9:,.1f} billion"),
        ("cores of workers", f"{rate:,.0f} × {p.cpu_us:.1f} µs", f"{rate * p.cpu_us / 1e6:,.0f}"),
        (
            "cores of brokers, at most",
            f"{rate:,.0f} × {p.broker_us:.1f} µs × {REPLICAS} replicas",
            f"{rate * p.broker_us * REPLICAS / 1e6:,.0f}",
        ),
        (
            "memory of workers",
            f"{WORKERS} × {p.memory_mib:,.0f} MiB",
            f"{WORKERS * p.memory_mib / 1024:,.0f} GiB",
        ),
        (
            "network, producers to brokers",
            f"{rate:,.0f} × {p.event_bytes:.0f} B",
            _speed(rate * p.event_bytes),
        ),
        ("network, brokers to workers", f"{rate:,.0f} × {p.event_bytes:.0f} B", _speed(rate * p.event_bytes)),
        (
            "network, workers to brokers",
            f"{rate:,.0f} × ({p.prediction_bytes:.0f} + {p.changelog_bytes:.0f}) B",
            _speed(rate * written),
        ),
        (
            "network, between brokers",
            f"{rate:,.0f} × {p.event_bytes + written:.0f} B × {REPLICAS - 1}",
            _speed(rate * (p.event_bytes + written) * (REPLICAS - 1)),
        ),
        (
            "disk of brokers, events and predictions",
            f"{rate:,.0f} × {kept:.0f} B × {RETENTION_DAYS:g} days",
            f"{rate * kept * RETENTION_DAYS * DAY_S / 1e12:,.1f} TB",
        ),
        (
            "disk of workers, per 100 million shoppers",
            f"10^8 × {p.store_bytes:,.0f} B",
            f"{p.store_bytes * 1e8 / 1e12:,.2f} TB",
        ),
    ]


def section(figures: Mapping[str, Any]) -> str:
    """As Markdown."""
    p = point(figures)
    lines = [
        f"### {WORKERS} workers, on paper",
        "",
        f"From the figures above at {p.shoppers} shoppers, where hardly any shopper is in memory. Partitions share "
        "nothing, so rates add up; that the cost of an event does not grow with partitions and workers is what the bars "
        "above hold. Bytes are those of the log, compressed. The broker was measured with one replica: a follower's "
        "fetch costs less than what the leader did, so its cores are an upper bound. Changelogs are compacted and come "
        "to no more than the stores do, per replica.",
        "",
        "| what | reckoned | needed |",
        "|---|---|---|",
        *(f"| {what} | {how} | {result} |" for what, how, result in needs(p)),
        "",
    ]
    return "\n".join(lines)


def _speed(bytes_per_s: float) -> str:
    return f"{bytes_per_s * 8 / 1e9:,.2f} Gbit/s"
