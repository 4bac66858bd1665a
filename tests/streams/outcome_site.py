"""For the outcome agent's tests: decisions and events on the wire, the agent as a process, and what it wrote."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from schemas.settings import Settings
from tests.streams.archiving import T0, Wire, decision, event
from tests.streams.site import Site, environment

HOUR = 3_600_000
AGENT = """
import sys
from schemas.settings import Settings
from streams import agent_metrics, outcomes
agent_metrics.POLL_RECORDS = int(sys.argv[1])
outcomes.run(Settings.load(), until_end=sys.argv[3] != "", instance=sys.argv[2])
"""
PARTITIONS = 4


def shop(settings: Settings) -> Site:
    """Topics whose records may be as old as the events of these tests."""
    return Site(
        settings.model_copy(
            update={"session_timeout_s": 6.0, "retention_days": 0.0, "event_max_age_days": 3650}
        )
    )


def agent(
    settings: Settings, batch: int, name: str = "one", until_end: bool = True
) -> subprocess.Popen[bytes]:
    """An agent that takes so many records in a step, as a process."""
    command = [sys.executable, "-c", AGENT, str(batch), name, "end" if until_end else ""]
    return subprocess.Popen(command, env=environment(settings))


def user(number: int) -> str:
    return f"u{number}"


def decided(number: int, shopper: int, at: float, **changes: Any) -> dict[str, Any]:
    """Decision `number` of a shopper, `at` hours after T0: a coupon of 3 was published, and counts for a day."""
    row = decision(number) | {"user_id": user(shopper), "event_time": T0 + round(at * HOUR)}
    row |= {"intervention_id": f"i{number}", "attribution_hours": 24.0, "coupon_value": 3.0, "arm": ""}
    return row | changes


def did(number: int, shopper: int, at: float, kind: str, **changes: Any) -> dict[str, Any]:
    return event(number, user(shopper), event_type=kind, event_time=T0 + round(at * HOUR), **changes)


def write(settings: Settings, schema: str, rows: list[dict[str, Any]]) -> None:
    """Put rows where their shopper belongs: shopper n is in partition n modulo 4."""
    wire = Wire(settings)
    for row in rows:
        wire.rows(schema, [row], int(row["user_id"][1:]) % PARTITIONS)
    wire.flush()


def last_words(site: Site) -> dict[str, dict[str, Any]]:
    """The last outcome of each decision; revisions are checked to come one by one."""
    found: dict[str, dict[str, Any]] = {}
    for row in site.read("outcome"):
        before = found.get(row["decision_id"])
        assert row["revision"] == (1 if before is None else before["revision"] + 1), row
        found[row["decision_id"]] = row
    return found
