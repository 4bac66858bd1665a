"""Pauses, messages that wait and budgets in the pass over a partition: through crashes anywhere, and with nobody there."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import choosing
from streams.compiled import CompiledPolicy
from streams.interventions import compose
from tests.streams.decide_cases import compiled, document
from tests.streams.live import CODECS, START, Partition, event, records, release

MINUTE = 60_000


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release(tmp_path_factory.mktemp("release"))


def policy(**budget: Any) -> CompiledPolicy:
    """A coupon 20 quiet minutes after a cart, a message 30 minutes after a search; whatever the scores."""
    source = document(frequency_caps=[])
    worth = {"margin_per_conversion": 100, "lift": 1, "cost_per_contact": 0.5, "minimum": -1}
    waits = {"event_types": ["add_to_cart"], "score": "lapse_30d", "at_least": 0.0, "idle_minutes": 20}
    later = {"event_types": ["search"], "score": "lapse_30d", "at_least": 0.0}
    coupon, push, _ = source["campaigns"]
    changes = {
        "value": worth,
        "cooldown_hours": 0,
        "budget": {"pacing": "none", **budget} if budget else None,
    }
    payload = {**push["payload"], "send_after_minutes": 30}
    source["campaigns"] = [
        {
            **coupon,
            **changes,
            "trigger": waits,
            "payload": {"value": 1.0, "category": None, "expires_hours": 24},
        },
        {**push, **changes, "trigger": later, "payload": payload},
    ]
    return compiled(source)


def decisions(partition: Partition) -> list[dict[str, Any]]:
    rows = CODECS.decision.decode_rows([value for name, value in partition.published if name == "decision"])
    return [{name: value for name, value in row.items() if name != "decided_at"} for row in rows]


def interventions(partition: Partition) -> list[str]:
    values = [value for name, value in partition.published if name == "intervention"]
    return [row["intervention_id"] for row in CODECS.intervention.decode_rows(values)]


def _told(partition: Partition) -> list[tuple[Any, ...]]:
    """What was decided; scores differ in the last bits with the size of a batch."""
    names = ("decision_id", "event_id", "campaign", "reason", "event_time", "send_after", "intervention_id")
    return [tuple(row[name] for name in names) for row in decisions(partition)]


def cart(user: int, at: int) -> dict[str, Any]:
    return event(user, at, event_type="add_to_cart")


def test_a_pause_survives_a_crash_and_ends_with_nobody_there(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri, policy=policy())
    partition.process(records([cart(1, 0), event(2, 1, event_type="search")]))
    partition.crash()
    partition.idle(2)  # time stands still with events that are played
    partition.idle(2, START + 19 * MINUTE)
    assert interventions(partition) == []
    work = partition.idle(2, START + 20 * MINUTE)
    assert (work.live, work.timers) == (True, {"rang": 1})
    partition.crash()
    partition.idle(2, START + 31 * MINUTE)
    partition.idle(2, START + 5000 * MINUTE)
    assert [row["reason"] for row in decisions(partition)] == ["deferred", "emitted", "emitted"]
    assert len(set(interventions(partition))) == 2


def test_a_lost_transaction_rings_again(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri, policy=policy())
    partition.process(records([cart(1, 0)]))
    lost = partition.shoppers.idle(1, partition.policy, START + 30 * MINUTE)  # never committed
    assert len(lost.decisions) == 1
    partition.crash()
    partition.idle(1, START + 30 * MINUTE)
    (once,) = decisions(partition)
    assert once["decision_id"] == lost.decisions[0].decision_id


def test_a_timer_that_raises_is_withdrawn_and_costs_nothing_else(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the pass over other shoppers' events; it raises after its budget was asked, and had one timer more."""

    def composing(campaign: Any, moment: Any, *arguments: Any) -> Any:
        if moment.user_id == "user-1":
            raise ZeroDivisionError("no such offer")
        return compose(campaign, moment, *arguments)

    monkeypatch.setattr(choosing, "compose", composing)
    partition = Partition(tmp_path, uri, policy=policy(count=2))
    search = [event(user, 2, event_type="search") for user in (1, 2)]
    partition.process(records([*search, event(1, 3, event_type="add_to_cart"), cart(3, 4)]))
    work = partition.process(records([event(9, 60, event_type="page_view")], 4))
    assert work.timers == {"rang": 4, "raised": 2}
    told = [(row["user_id"], row["campaign"], row["reason"]) for row in decisions(partition)]
    assert told == [
        ("user-1", "reminder", "deferred"),
        ("user-2", "reminder", "deferred"),
        ("user-1", "winback", "withdrawn"),
        ("user-3", "winback", "emitted"),
        ("user-1", "reminder", "withdrawn"),
        ("user-2", "reminder", "emitted"),
    ]
    assert decisions(partition)[2]["why"] == "deciding it raised ZeroDivisionError: no such offer"
    assert len(partition.predictions()) == 5
    partition.crash()
    assert partition.shoppers.contacts.get("user-1").sent == ()
    assert {name: sum(count for _, count in days.values()) for name, days in _spent(partition).items()} == {
        "reminder": 1,
        "winback": 1,
    }
    assert not partition.shoppers.contacts.timers


def _spent(partition: Partition) -> dict[str, dict[str, tuple[float, int]]]:
    return partition.shoppers.contacts.budgets.spent()


@pytest.mark.parametrize("restart", ["", "from the checkpoint", "by redo"])
def test_an_old_upload_does_not_ring_its_own_pause(restart: str, tmp_path: Path, uri: str) -> None:
    """It comes in one go, and its own events end its pauses, whatever its times are to those of the others."""
    interval = 1e9 if restart == "by redo" else 1e-9
    partition = Partition(tmp_path, uri, policy=policy(), interval=interval)
    log = [event(9, 600, event_type="page_view"), cart(1, 0), event(1, 100, event_type="page_view")]
    log += [cart(2, 10), event(8, 601, event_type="page_view")]
    partition.process(records(log[:1]))
    if restart:
        assert partition.crash() == 0
    if restart == "by redo":
        assert not partition.process(records(log[:1])).live
    partition.process(records(log[1:], 1))
    (rang,) = decisions(partition)
    assert (rang["event_id"], rang["reason"]) == (cart(2, 10)["event_id"], "emitted")  # nothing came after it
    assert rang["event_time"] == START + 600 * MINUTE + 1


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.integers(0, 200), st.sampled_from(["add_to_cart", "search", "purchase"])
        ),
        min_size=1,
        max_size=25,
    ),
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["go on", "crash", "no local write"])), min_size=1),
    st.sampled_from([{}, {"count": 4}, {"money": 2.0}]),
)
@settings(max_examples=25)
def test_where_it_is_cut_and_crashes_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory,
    uri: str,
    log: list[tuple[int, int, str]],
    cuts: list[tuple[int, str]],
    budget: dict[str, Any],
) -> None:
    times = sorted(at for _, at, _ in log)
    rows = [
        {**event(user, at, event_type=kind), "event_id": f"00000000-0000-5000-8000-{number:012}"}
        for number, ((user, _, kind), at) in enumerate(zip(log, times, strict=True))
    ]
    whole = Partition(tmp_path_factory.mktemp("whole"), uri, policy=policy(**budget))
    whole.process(records(rows))
    whole.idle(len(rows), START + 10_000 * MINUTE)
    cut, first, turn = Partition(tmp_path_factory.mktemp("cut"), uri, policy=policy(**budget)), 0, 0
    while first < len(rows):
        size, fate = cuts[turn % len(cuts)]
        cut.process(records(rows[first : first + size], first), local_write=fate != "no local write")
        first, turn = first + size, turn + 1
        if fate != "go on":
            cut.crash()
    cut.idle(len(rows), START + 10_000 * MINUTE)
    assert _told(cut) == _told(whole)
    assert interventions(cut) == interventions(whole)
    assert len(set(interventions(cut))) == len(interventions(cut))
