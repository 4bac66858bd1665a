"""When nothing is sent: quiet hours and schedules on the shopper's clock, days on which clocks change, old events."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.compiled import CompiledPolicy
from streams.local_time import Stretch, first_outside, within
from tests.streams.decide_cases import HOUR, NOON, Event, Stored, compiled, document, passed, run

EVERY_DAY = frozenset(range(7))
NIGHT = [{"from": "21:00", "until": "08:00"}]
COUPON, PUSH = 0, 1


def policy(campaign: int, changes: dict[str, Any] | None = None, **top: Any) -> CompiledPolicy:
    """One campaign of the document, changed, without caps."""
    source = document(**{"frequency_caps": [], **top})
    source["campaigns"] = [{**source["campaigns"][campaign], "cooldown_hours": 0, **(changes or {})}]
    return compiled(source)


def ms(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def test_row_3_quiet_hours_in_the_shoppers_time_zone() -> None:
    quiet = policy(COUPON, quiet_hours=NIGHT)
    tokyo = (("time_zone", "Asia/Tokyo"),)  # 12:00 UTC is 21:00 there
    (home,) = run([Event(lapse_30d=0.4)], quiet)
    (there,) = run([Event(lapse_30d=0.4, properties=tokyo)], quiet)
    assert (home.reason, home.time_zone) == ("emitted", "UTC")
    assert (there.reason, there.outcome, there.time_zone) == ("quiet_hours", "held_back", "Asia/Tokyo")


def test_row_3_the_zone_is_kept_and_the_policy_has_one_for_the_others() -> None:
    stored = Stored(capacity=0)
    run([Event(kind="search", properties=(("time_zone", "Asia/Tokyo"),))], stored=stored)
    events = [Event(lapse_30d=0.4, id="a"), Event(user="v", lapse_30d=0.4, id="b")]
    zoned = policy(COUPON, quiet_hours=NIGHT, time_zone="America/New_York")
    decisions = run(events, zoned, stored)
    assert [(d.reason, d.time_zone) for d in decisions] == [
        ("quiet_hours", "Asia/Tokyo"),
        ("emitted", "America/New_York"),
    ]


def test_row_3_a_push_that_defers_goes_out_when_quiet_hours_end() -> None:
    deferring = policy(PUSH, {"in_quiet_hours": "defer"}, quiet_hours=NIGHT)
    stored = Stored()
    (waiting,) = run([Event(buy_7d=0.1, hour=8)], deferring, stored)  # 20:00, to be sent at 21:30
    assert (waiting.outcome, waiting.reason, waiting.intervention) == ("held_back", "deferred", None)
    assert waiting.send_after == NOON + 20 * HOUR
    assert waiting.why == "the only campaign left for the event; moved to the end of quiet hours"
    assert passed(stored, 19.9, deferring) == []
    (sent,) = passed(stored, 20, deferring)
    assert sent.intervention is not None
    assert sent.intervention.push is not None
    assert sent.intervention.push["send_after"] == sent.send_after == NOON + 20 * HOUR
    assert sent.decision_id != waiting.decision_id
    assert passed(stored, 1000, deferring) == []


def test_row_3_a_push_that_expires_before_they_end_is_dropped_and_so_is_one_that_does_not_defer() -> None:
    source = document()["campaigns"][PUSH]["payload"]
    short = {
        "in_quiet_hours": "defer",
        "payload": {**source, "expires_hours": 12},
    }  # 08:00 is not before 08:00
    event = Event(buy_7d=0.1, hour=8)
    assert [d.reason for d in run([event], policy(PUSH, short, quiet_hours=NIGHT))] == ["quiet_hours"]
    assert [d.reason for d in run([event], policy(PUSH, quiet_hours=NIGHT))] == ["quiet_hours"]


def test_row_3_quiet_hours_are_of_kinds_and_a_campaign_may_be_exempt() -> None:
    night = [{**NIGHT[0], "kinds": ["push"]}]
    assert [d.reason for d in run([Event(lapse_30d=0.4, hour=10)], policy(COUPON, quiet_hours=night))] == [
        "emitted"
    ]
    exempt = policy(COUPON, {"in_quiet_hours": "send"}, quiet_hours=NIGHT)
    assert [d.reason for d in run([Event(lapse_30d=0.4, hour=10)], exempt)] == ["emitted"]


def test_row_3_not_on_sundays() -> None:
    sunday = policy(COUPON, quiet_hours=[{"from": "00:00", "until": "24:00", "weekdays": ["sun"]}])
    hours = [24 + 11.9, 24 + 12, 48 + 11.9, 48 + 12]  # NOON is a Friday
    events = [Event(user=str(hour), lapse_30d=0.4, hour=hour) for hour in hours]
    assert [d.reason for d in run(events, sunday)] == ["emitted", "quiet_hours", "quiet_hours", "emitted"]


def test_row_3_two_deferred_to_one_morning_count_there() -> None:
    capped = policy(
        PUSH,
        {"in_quiet_hours": "defer"},
        quiet_hours=NIGHT,
        frequency_caps=[{"count": 1, "hours": 12, "kinds": ["push"]}],
    )
    events = [Event(buy_7d=0.1, hour=8), Event(buy_7d=0.1, hour=21)]  # out at 08:00, and at 10:30
    assert [d.reason for d in run(events, capped)] == ["deferred", "emitted", "frequency_cap"]


@pytest.mark.parametrize(
    ("time", "opening"),
    [
        (
            ms(2026, 3, 29, 0, 30),
            ms(2026, 3, 29, 6),
        ),  # clocks go forward at 02:00: 08:00 is 06:00 UTC already
        (ms(2026, 3, 28, 21, 0), ms(2026, 3, 29, 6)),
        (ms(2026, 10, 24, 21, 0), ms(2026, 10, 25, 7)),  # and back: 08:00 is 07:00 UTC again
        (ms(2026, 10, 25, 0, 30), ms(2026, 10, 25, 7)),
    ],
)
def test_row_3_quiet_hours_end_by_the_clock_on_the_wall_when_clocks_change(time: int, opening: int) -> None:
    night = (Stretch(21 * 60, 8 * 60, EVERY_DAY),)
    assert first_outside(night, time, ZoneInfo("Europe/Berlin")) == opening


def test_row_3_an_end_that_no_clock_shows_and_one_that_is_shown_twice() -> None:
    zone = ZoneInfo("Europe/Berlin")
    night = (Stretch(22 * 60, 2 * 60 + 30, EVERY_DAY),)
    assert first_outside(night, ms(2026, 3, 28, 23), zone) == ms(2026, 3, 29, 1, 30)  # 02:30 is 03:30
    first, again = ms(2026, 10, 25, 0, 30), ms(2026, 10, 25, 1, 30)  # 02:30 and once more
    assert first_outside(night, ms(2026, 10, 24, 23), zone) == first
    assert first_outside(night, ms(2026, 10, 25, 1, 10), zone) == again


def test_hours_that_never_pause_have_no_end() -> None:
    whole = (Stretch(0, 720, EVERY_DAY), Stretch(720, 1440, EVERY_DAY))
    assert first_outside(whole, NOON, ZoneInfo("UTC")) is None


@given(
    st.integers(ms(2024, 1, 1, 0), ms(2028, 1, 1, 0)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.lists(
        st.builds(
            Stretch,
            st.integers(0, 1439),
            st.integers(0, 1440),
            st.frozensets(st.integers(0, 6), min_size=1),
        ),
        max_size=3,
    ),
)
def test_the_first_moment_outside_is_outside_and_not_before(
    time: int, name: str, found: list[Stretch]
) -> None:
    zone, stretches = ZoneInfo(name), tuple(one for one in found if one.start != one.end)
    opening = first_outside(stretches, time, zone)
    if opening is not None:
        assert opening >= time
        assert not within(stretches, opening, zone)
        assert (opening == time) == (not within(stretches, time, zone))


def test_schedule_days_and_hours_are_the_shoppers() -> None:
    days = policy(COUPON, {"schedule": {"from": "2017-11-03", "until": "2017-11-03"}})
    auckland = (("time_zone", "Pacific/Auckland"),)  # 12:00 UTC is 01:00 on the 4th there
    events = [Event(lapse_30d=0.4), Event(user="v", lapse_30d=0.4, properties=auckland)]
    assert [d.reason for d in run(events, days)] == ["emitted", "off_schedule"]
    weekdays = [{"from": "09:00", "until": "17:00", "weekdays": ["mon"]}]
    monday = policy(COUPON, {"schedule": {"hours": weekdays}})
    at = [Event(user=str(hour), lapse_30d=0.4, hour=hour) for hour in (0, 72, 78)]
    assert [d.reason for d in run(at, monday)] == ["off_schedule", "emitted", "off_schedule"]


def test_row_20_an_old_event_raises_nothing() -> None:
    guarded = policy(COUPON, max_age_minutes=30)
    event = [Event(lapse_30d=0.4)]
    assert [d.reason for d in run(event, guarded, now=NOON + 31 * 60_000)] == ["stale"]
    assert [d.reason for d in run(event, guarded, now=NOON + 30 * 60_000)] == ["emitted"]
    assert [d.reason for d in run(event, policy(COUPON), now=NOON + 10**12)] == ["emitted"]  # no guard


def test_row_20_without_a_clock_the_shoppers_own_newer_events_make_one_old() -> None:
    guarded = policy(COUPON, max_age_minutes=30)
    events = [Event(user="a", lapse_30d=0.4, latest=0.4), Event(user="b", lapse_30d=0.4, latest=0.6)]
    assert [d.reason for d in run(events, guarded)] == ["emitted", "stale"]


def test_row_20_where_a_clock_counts_quiet_hours_go_by_it_too() -> None:
    guarded = policy(COUPON, quiet_hours=[{"from": "12:10", "until": "13:00"}], max_age_minutes=30)
    event = [Event(lapse_30d=0.4)]
    assert [d.reason for d in run(event, guarded, now=NOON + 9 * 60_000)] == ["emitted"]
    assert [d.reason for d in run(event, guarded, now=NOON + 11 * 60_000)] == ["quiet_hours"]
