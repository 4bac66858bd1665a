"""Decisions with their outcomes as they stand in the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from models.effect import source
from models.effect.report import judge
from models.ids import decision_id
from models.replay.source import Interval, SourceProblem
from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings
from streams import cli
from tests.streams.archiving import T0, decision, event

DAY = 86_400_000


def keep(settings: Settings, kind: str, schema: str, rows: list[dict[str, Any]]) -> None:
    """Rows as the archive agent leaves them, in one file a day."""
    codec = Codec(FileRegistry(), schema)
    table = pa.Table.from_batches([codec.decode(codec.encode_rows(rows)).batch])
    for name, kind_of in (("_partition", pa.int32()), ("_offset", pa.int64()), ("_timestamp", pa.int64())):
        table = table.append_column(name, pa.array(np.zeros(len(rows)), kind_of))
    days = np.array([row["event_time"] for row in rows]) // DAY
    for day in np.unique(days):
        folder = Path(settings.archive_uri) / kind / f"day={np.datetime64(int(day), 'D')}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pa.array(days == day)), folder / f"{kind}-0-0.parquet")


def came(number: int, revision: int = 1, **changes: Any) -> dict[str, Any]:
    row = {"outcome_id": f"o{number}", "decision_id": f"d{number}", "user_id": f"u{number}", "kind": "none"}
    return row | {"outcome_time": T0, "event_time": T0, "revision": revision} | changes


@pytest.fixture
def archived(settings: Settings) -> Settings:
    """Six hundred shoppers, every fourth held out; the last two have no outcome yet, the first has two revisions."""
    rng = np.random.default_rng(0)
    decided, outcomes, events = [], [], []
    for number in range(600):
        held = number % 4 == 0
        changes = {"reason": "holdout", "outcome": "held_back"} if held else {}
        decided.append(
            decision(number)
            | {"user_id": f"u{number}", "event_time": T0 + number, "propensity": 0.25 if held else 0.75}
            | changes
        )
        events.append(event(number, f"u{number}", event_type="purchase", price=5.0, event_time=T0 - DAY))
        if number < 598:
            bought = rng.random() < 0.5
            outcomes.append(
                came(number, revenue=20.0 * bought, orders=int(bought), own_coupon_cost=float(not held))
            )
    outcomes.append(came(0, revision=2, revenue=99.0, orders=3, margin=7.0))
    keep(settings, "decisions", "decision", decided)
    keep(settings, "outcomes", "outcome", outcomes)
    keep(settings, "events", "behavior_event", events)
    return settings


INTERVAL = Interval(T0, T0 + DAY)


def test_each_decision_has_its_last_outcome(archived: Settings) -> None:
    found = source.read(archived, INTERVAL)
    rows = found.decisions
    first = rows[rows.user == "u0"]
    assert (first.revenue[0], first.orders[0], first.margin[0]) == (99.0, 3.0, 7.0)
    assert np.isnan(rows.margin[rows.user == "u1"][0])
    assert (~rows.told).sum() == 2
    assert not rows.drawn.any()
    assert found.redeemed == {"c": 448.0}
    assert found.expected["c"] == pytest.approx(450 * 0.1)
    assert found.messages == {"c": 0.0}


def test_what_was_bought_before_sharpens(archived: Settings) -> None:
    past = source.bought(archived, INTERVAL, 2)
    assert past is not None
    assert past.before(np.array(["u3"]), np.array([T0]), 2 * DAY).tolist() == [[1.0, 5.0]]
    report = judge(source.read(archived, INTERVAL).decisions, INTERVAL, 0.3, past, 2)
    assert report.overall is not None
    assert report.overall.shoppers == {"treated": 448, "held out": 150}
    assert sum(report.overall.open.values()) == 2


def test_outside_the_interval_nothing_counts(archived: Settings) -> None:
    assert len(source.read(archived, Interval(T0, T0 + 100)).decisions) == 100
    with pytest.raises(SourceProblem, match="no decisions"):
        source.read(archived, Interval(T0 + 700, T0 + 800))


def test_without_outcomes_all_windows_are_open(settings: Settings) -> None:
    keep(settings, "decisions", "decision", [decision(n) | {"user_id": f"u{n}"} for n in range(5)])
    found = source.read(settings, INTERVAL)
    assert not found.decisions.told.any()
    assert source.bought(settings, INTERVAL, 2) is None
    assert judge(found.decisions, INTERVAL).overall is None


def test_the_command_writes_the_page(archived: Settings, tmp_path: Path) -> None:
    policy = Path(__file__).parents[3] / "deploy" / "policy.yaml"
    arguments = [
        "effect",
        "--from",
        "2026-05-28",
        "--to",
        "2026-05-30",
        "--margin-share",
        "0.3",
        "--policy",
        str(policy),
    ]
    environment = {"INTENTFLOW_ARCHIVE_URI": archived.archive_uri}
    done = CliRunner().invoke(cli.app, [*arguments, "-o", str(tmp_path / "out")], env=environment)
    assert done.exit_code == 0, done.output
    assert "All campaigns together" in done.output
    assert (tmp_path / "out" / "effect.html").exists()


def test_days_that_were_archived_before_arms_were_learnt_are_read(archived: Settings) -> None:
    for path in Path(archived.archive_uri).glob("decisions/day=*/*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["learned_version"]), path)
    found = source.read(archived, Interval(T0, T0 + 2 * DAY))
    assert set(found.decisions.learned_version.tolist()) == {""}


def test_draws_are_told_from_messages_that_waited_and_outcomes_of_open_windows_from_others(
    settings: Settings,
) -> None:
    drawn = {"learned_version": "abc", "arm": "five", "event_id": "e", "event_time": T0}
    rows = [
        decision(0) | drawn | {"decision_id": decision_id("e", "c"), "campaign": "c", "reason": "deferred"},
        decision(1) | drawn | {"decision_id": decision_id("e", "c@9"), "campaign": "c"},
    ]
    keep(settings, "decisions", "decision", rows)
    outcomes = [
        came(at, complete=at == 0) | {"decision_id": row["decision_id"]} for at, row in enumerate(rows)
    ]
    keep(settings, "outcomes", "outcome", outcomes)
    found = source.read(settings, INTERVAL).decisions
    order = np.argsort(found.reason)  # deferred, emitted
    assert found.drawn[order].tolist() == [True, False]
    assert found.complete[order].tolist() == [True, False]
    assert found.told.all()
