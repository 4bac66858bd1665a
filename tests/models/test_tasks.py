"""Names of tasks: known ones are sorted by kind, others are refused by name."""

import pytest

from models import tasks
from models.events import EVENT_TYPES


def test_tasks_are_sorted_by_what_makes_their_score() -> None:
    found = tasks.split(("spend_30d", "session_buy", "buy_7d", "returns_30m", "orders_7d", "lapse_30d"))
    assert found == (
        ("buy_7d", "lapse_30d"),
        ("session_buy", "returns_30m"),
        ("spend_30d", "orders_7d"),
        (),
    )
    assert found.sizes == [2, 2, 0]


def test_the_type_of_the_next_event_is_a_task_of_each_type() -> None:
    found = tasks.expanded(("next_type", "buy_7d"))
    assert found[0] == "buy_7d"
    assert found[1:] == tuple(f"next_{name}" for name in EVENT_TYPES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("buy_4d",), "buy_4d.*one of"),
        (("churn",), "'churn': want buy_<d>d"),
        (("returns_0m",), "'returns_0m': want"),
        (("session_buy", "session_buy"), "'session_buy' is there twice"),
        (("next_click",), "'next_click': types of the next event come all together"),
    ],
)
def test_other_names_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.split(names)


def test_a_release_names_them_in_order() -> None:
    with pytest.raises(ValueError, match="want them in the order buy_7d, session_buy"):
        tasks.check_tasks(("session_buy", "buy_7d"))


def test_units_of_horizons() -> None:
    assert [tasks.minutes(name) for name in ("returns_30m", "returns_2h", "returns_1d")] == [30, 120, 1440]
    assert tasks.days("spend_30d") == 30
