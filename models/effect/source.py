"""Reads decisions with their outcomes, and what shoppers bought before, from the archive or from retained topics."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.effect.assigned import AMOUNTS, Decisions, Flags, Past, is_draw
from models.replay import archive, retained
from models.replay.source import Interval, SourceProblem
from schemas.settings import Settings
from schemas.topics import Topics

DAY_MS = 86_400_000
DECIDED = [
    "decision_id",
    "event_id",
    "user_id",
    "campaign",
    "kind",
    "reason",
    "arm",
    "event_time",
    "value",
    "propensity",
    "policy_version",
]
DECIDED += ["cost", "learned_version"]
LATELY = {"learned_version": ""}  # columns that decisions of earlier days lack, and what they stand for
CAME = ["decision_id", "revision", "complete", "unsubscribed", "own_coupon_cost", *AMOUNTS]
BOUGHT = ["user_id", "event_type", "event_time", "price"]


class Read(NamedTuple):
    """Decisions of an interval; money by campaign: what a budget counted (the expected cost of all that was sent), the
    part of it that was no coupons, and what its own coupons took off."""

    decisions: Decisions
    expected: dict[str, float]
    messages: dict[str, float]
    redeemed: dict[str, float]


def read(settings: Settings, interval: Interval, topics: bool = False) -> Read:
    """Decisions with event times in the interval, each with its outcome of the highest revision.

    topics: from what Kafka retains, instead of the archive. SourceProblem when there are no decisions.
    """
    names = Topics(settings)
    decided = _table(settings, "decisions", names.decisions, "decision", interval, topics, DECIDED)
    times = decided["event_time"].cast(pa.int64()).to_numpy()
    decided = decided.filter(pa.array(interval.holds(times)))
    decided = _last(decided, "event_time")  # doubles, where workers run at least once
    if not len(decided):
        raise SourceProblem(f"no decisions in {interval}; choose another interval, or archive them first")
    try:
        came = _last(
            _table(settings, "outcomes", names.outcomes, "outcome", interval, topics, CAME), "revision"
        )
    except SourceProblem:
        came = pa.table(
            {name: pa.array([], pa.string() if name == "decision_id" else pa.float64()) for name in CAME}
        )
    return _joined(decided, came)


def bought(settings: Settings, interval: Interval, days: float, topics: bool = False) -> Past | None:
    """Purchases of the interval and of the days before; None when there are none."""
    wide = Interval(interval.start - round(days * DAY_MS), interval.stop)
    try:
        found = _table(
            settings,
            "events",
            Topics(settings).behavior_events,
            "behavior_event",
            wide,
            topics,
            BOUGHT,
            "purchase",
        )
    except SourceProblem:
        return None
    if not len(found):
        return None
    return Past(
        _texts(found["user_id"]),
        found["event_time"].cast(pa.int64()).to_numpy(),
        pc.fill_null(found["price"], 0.0).to_numpy(),
    )


def _table(
    settings: Settings,
    kind: str,
    topic: str,
    schema: str,
    interval: Interval,
    topics: bool,
    columns: list[str],
    only: str = "",
) -> pa.Table:
    parts: Iterator[pa.Table] = (
        retained.read_topic(settings, topic, schema, f"effect-{uuid.uuid4().hex[:8]}")
        if topics
        else archive.read(settings, kind, interval, columns, LATELY)
    )
    some = [part.select(columns) for part in parts]
    if only:
        some = [part.filter(pc.equal(part["event_type"], only)) for part in some]
    if not some:
        raise SourceProblem(f"no {kind} in {interval}")
    return pa.concat_tables(some, promote_options="default")


def _last(table: pa.Table, by: str) -> pa.Table:
    """The row of each decision with the greatest `by`."""
    table = table.sort_by([("decision_id", "ascending"), (by, "ascending")])
    ids = table["decision_id"].combine_chunks()
    if len(ids) < 2:
        return table
    last = np.append(pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False), True)
    return table.filter(pa.array(last))


def _joined(decided: pa.Table, came: pa.Table) -> Read:
    at = pc.index_in(decided["decision_id"], value_set=came["decision_id"]).combine_chunks()
    told = pc.is_valid(at).to_numpy(zero_copy_only=False)
    place = pc.fill_null(at, 0).to_numpy(zero_copy_only=False)

    def column(name: str) -> Any:
        if not len(came):
            return np.zeros(len(decided))
        values = came[name].cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
        return np.where(told, values[place], np.nan if name == "margin" else 0.0)

    decisions = Decisions(
        user=_texts(decided["user_id"]),
        campaign=_texts(decided["campaign"]),
        kind=_texts(decided["kind"]),
        reason=_texts(decided["reason"]),
        arm=_texts(decided["arm"]),
        time=decided["event_time"].cast(pa.int64()).to_numpy(),
        value=decided["value"].to_numpy(),
        propensity=decided["propensity"].to_numpy(),
        policy=_texts(decided["policy_version"]),
        learned_version=_texts(decided["learned_version"]),
        drawn=_draws(decided),
        told=told,
        complete=column("complete") > 0,
        unsubscribed=column("unsubscribed") > 0,
        **{name: column(name) for name in AMOUNTS},
    )
    cost = np.where(decisions.reason == "emitted", decided["cost"].to_numpy(), 0.0)
    own = np.where(decisions.reason == "emitted", column("own_coupon_cost"), 0.0)
    return Read(
        decisions,
        _by(decisions.campaign, cost),
        _by(decisions.campaign, np.where(decisions.kind == "coupon", 0.0, cost)),
        _by(decisions.campaign, own),
    )


def _draws(decided: pa.Table) -> Flags:
    """(N,) whether each is a draw of an arm that is learnt."""
    found = np.zeros(len(decided), np.bool_)
    learnt = pc.not_equal(decided["learned_version"].cast(pa.string()), "").to_numpy(zero_copy_only=False)
    names = ["decision_id", "event_id", "campaign", "reason", "learned_version"]
    rows = decided.select(names).filter(pa.array(learnt)).to_pylist()
    found[learnt] = [is_draw(row) for row in rows]
    return found


def _by(names: Any, amounts: Any) -> dict[str, float]:
    return {str(name): float(amounts[names == name].sum()) for name in np.unique(names)}


def _texts(column: pa.ChunkedArray) -> Any:
    """As numpy texts of fixed width, which sort quickly."""
    return np.asarray(column.cast(pa.string()).to_pylist(), dtype=np.str_)
