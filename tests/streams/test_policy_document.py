"""A policy that is not in order is refused with file, line, field, value and mend."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streams.policy_document import PolicyProblem, load, parse
from tests.streams.decide_cases import TASKS, document

Change = Callable[[dict[str, Any]], None]


def _set(*path: Any) -> Change:
    *way, last, value = path

    def change(source: dict[str, Any]) -> None:
        part: Any = source
        for key in way:
            part = part[key]
        part[last] = value

    return change


def _arms(first: float, second: float, **payload: Any) -> list[dict[str, Any]]:
    return [
        {"name": "a", "share": first, "nothing": True},
        {"name": "b", "share": second, "payload": payload},
    ]


def _learning(**changes: Any) -> Change:
    how = {"floor": 5, "margin_share": 0.3} | changes
    return _set("campaigns", 0, "experiment", {"salt": "x", "arms": _arms(50, 50), "learning": how})


def _learnt(campaign: int, arms: list[dict[str, Any]], **changes: Any) -> Change:
    """The campaign with arms that are learnt, a cooldown of a day and a window of 24 hours."""

    def change(source: dict[str, Any]) -> None:
        how = {"floor": 5, "margin_share": 0.3}
        source["campaigns"][campaign] |= {
            "cooldown_hours": 24,
            "attribution_hours": 24,
            "experiment": {"salt": "x", "arms": arms, "learning": how},
        } | changes

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("holdout", "share", 1.0), "holdout.share: 1.0: input should be less than 1"),
        (_set("holdout", "share", "a tenth"), "holdout.share: 'a tenth': input should be a valid number"),
        (_set("holdout", "salt", ""), "holdout.salt: '': string should have at least 1 character"),
        (_set("kill_switch", "off"), "kill_switch: 'off': input should be a valid boolean"),
        (_set("colour", "red"), "colour: unknown key; correct its spelling or remove it"),
        (_set("frequency_caps", 0, "hours", 0), "frequency_caps[0].hours: 0: input should be greater than 0"),
        (
            _set("frequency_caps", 0, "hours", float("inf")),
            "frequency_caps[0].hours: inf: input should be a finite number",
        ),
        (
            _set("frequency_caps", 0, "kinds", ["fax"]),
            "frequency_caps[0].kinds[0]: 'fax': input should be 'coupon', ",
        ),
        (_set("consent", "push", "maybe"), "consent.push: 'maybe': input should be 'opt_in' or 'opt_out'"),
        (_set("campaigns", 0, "kind", "sms"), "campaigns[0].kind: want one of coupon, push, rerank"),
        (_set("campaigns", 1, "id", "winback"), "campaigns: the id 'winback' is used 2 times; give each"),
        (_set("campaigns", 0, "id", "Win back"), "campaigns[0].id: 'Win back': string should match pattern"),
        (_set("campaigns", 0, "prio", 1), "campaigns[0].prio: unknown key"),
        (_set("campaigns", 0, "trigger", "event_types", ["purchas"]), "did you mean 'purchase'?"),
        (
            _set("campaigns", 0, "trigger", "at_least", 1.4),
            "campaigns[0].trigger.at_least: 1.4: input should be less",
        ),
        (_set("campaigns", 0, "trigger", "at_most", 0.1), "campaigns[0].trigger: at_least is above at_most"),
        (
            _set("campaigns", 0, "trigger", "at_least", None),
            "campaigns[0].trigger: no bound; write at_least or at_most",
        ),
        (
            _set("campaigns", 0, "trigger", "score", "lapse_3d"),
            "campaigns[0].trigger.score: unknown score 'lapse_3d'; did",
        ),
        (
            _set("campaigns", 0, "value", "score", "joy"),
            "campaigns[0].value.score: unknown score 'joy'; known: buy_3d",
        ),
        (
            _set("campaigns", 0, "value", "cost_per_contact", -1),
            "campaigns[0].value.cost_per_contact: -1: input should",
        ),
        (
            _set("campaigns", 0, "payload", "value", 0),
            "campaigns[0].payload.value: 0: input should be greater than 0",
        ),
        (_set("campaigns", 0, "payload", {"size": 3}), "campaigns[0].payload.value: is missing; add it"),
        (_set("campaigns", 1, "payload", "send_after_minutes", 9999), "it expires before it may be sent"),
        (
            _set("campaigns", 1, "payload", "variables", {"a": "{x.__class__}"}),
            "a has the placeholder {x.__class__}; write",
        ),
        (_set("campaigns", 1, "payload", "variables", {"a": "{score!r}"}), "a has the placeholder {score}"),
        (
            _set("time_zone", "Europe/Berln"),
            "time_zone: 'Europe/Berln' is no time zone; write an IANA name such as",
        ),
        (_set("time_zone", "../etc"), "time_zone: '../etc' is no time zone"),
        (_set("max_age_minutes", 0), "max_age_minutes: 0: input should be greater than 0"),
        (_set("name", "a@b"), "name: 'a@b': string should match pattern"),
        (
            _set("quiet_hours", [{"from": 1260, "until": "08:00"}]),
            'quiet_hours[0].from: 1260 is a number to YAML; write a time of day in quotes, such as "21:00"',
        ),
        (
            _set("quiet_hours", [{"from": "21:00", "until": "8"}]),
            "quiet_hours[0].until: '8' is no time of day; write \"HH:MM\"",
        ),
        (
            _set("quiet_hours", [{"from": "08:00", "until": "08:00"}]),
            'quiet_hours[0]: from and until are both "08:00"',
        ),
        (
            _set("quiet_hours", [{"from": "21:00", "until": "08:00", "weekdays": ["sunday"]}]),
            "quiet_hours[0].weekdays[0]: 'sunday': input should be 'mon', ",
        ),
        (_set("kind_cooldowns", {"push": -1}), "kind_cooldowns.push: -1: input should be greater"),
        (_set("bots", {"pattern": []}), "bots.pattern: unknown key"),
        (
            _set("campaigns", 0, "purpose", "fun"),
            "campaigns[0].purpose: 'fun': input should be 'marketing' or",
        ),
        (
            _set("campaigns", 0, "in_quiet_hours", "defer"),
            "campaigns[0].in_quiet_hours: 'defer': input should be",
        ),
        (
            _set("campaigns", 0, "cooldown_after_purchase_hours", 2),
            "campaigns[0]: cooldown_after_purchase_hours 2 holds back what a purchase triggers",
        ),
        (
            _set("campaigns", 0, "schedule", {"from": "2026-12-24", "until": "2026-12-01"}),
            "campaigns[0].schedule: until 2026-12-01 is before from 2026-12-24",
        ),
        (
            _set("campaigns", 0, "schedule", {"from": "soon"}),
            "campaigns[0].schedule.from: 'soon' is no day; write",
        ),
        (
            _set("campaigns", 0, "audience", {"devices": ["fridge"]}),
            "unknown device 'fridge'; known: unknown, ",
        ),
        (
            _set("campaigns", 0, "audience", {"events_at_least": 5, "events_at_most": 2}),
            "campaigns[0].audience: events_at_least 5 is above events_at_most 2",
        ),
        (
            _set("campaigns", 0, "experiment", {"salt": "x", "arms": _arms(50, 40)}),
            "campaigns[0].experiment.arms: the shares add up to 90 %; make them add up to 100 %",
        ),
        (
            _set("campaigns", 0, "experiment", {"salt": "x", "arms": _arms(50, 50, value=-5.0)}),
            "campaigns[0]: experiment: arm 'b': payload.value: -5.0: input should be greater than 0",
        ),
        (
            _set("campaigns", 0, "experiment", {"salt": "x", "arms": _arms(50, 50, valeu=5.0)}),
            "arm 'b': payload.valeu: 5.0: extra inputs are not permitted",
        ),
        (_learning(floor=0), "learning.floor: 0: input should be greater than 0"),
        (_learning(floor=150), "learning.floor: 150: input should be less than or equal to 100"),
        (
            _learning(method="guess"),
            "learning.method: 'guess': input should be 'thompson', 'linucb' or 'greedy'",
        ),
        (_learning(margin_share=None), "campaigns[0].experiment.learning.margin_share: "),
        (_learning(least_outcomes=0), "learning.least_outcomes: 0: input should be greater"),
        (
            _learnt(0, _arms(50, 50), attribution_hours=25),
            "campaigns[0]: cooldown_hours 24 is below attribution_hours 25: what the next draw brings would be learnt of the "
            "draw before; raise cooldown_hours or lower attribution_hours",
        ),
        (
            _learnt(0, _arms(50, 50, category=None)),
            "arm 'b': payload.category: None: in arm 'a' it is 'next', and rules look at it before the draw counts; where "
            "arms are learnt give all arms the same category",
        ),
        (
            _learnt(1, _arms(50, 50, send_after_minutes=5)),
            "arm 'b': payload.send_after_minutes: 5.0: in arm 'a' it is 90.0",
        ),
        (
            _learnt(1, _arms(50, 50, expires_hours=5)),
            "arm 'b': payload.expires_hours: 5.0: in arm 'a' it is 48.0",
        ),
        (
            _learnt(2, _arms(50, 50, candidates="popular")),
            "arm 'b': payload.candidates: 'popular': in arm 'a' it is 'next_item'",
        ),
        (
            _learnt(2, _arms(50, 50, top_categories=5)),
            "arm 'b': payload.top_categories: 5: in arm 'a' it is 2",
        ),
        (_set("campaigns", 2, "payload", "size", 0), "campaigns[2].payload.size: 0: input should be greater"),
        (
            _set("campaigns", 2, "cooldown_hours", -1),
            "campaigns[2].cooldown_hours: -1: input should be greater",
        ),
    ],
)
def test_a_fault_is_named_with_its_mend(change: Change, message: str) -> None:
    source = document()
    change(source)
    with pytest.raises(PolicyProblem) as problem:
        parse(yaml.safe_dump(source, sort_keys=False), "shop.yaml", TASKS)
    assert message in str(problem.value)
    assert str(problem.value).startswith("shop.yaml: line ")


def test_every_fault_is_told_with_its_line() -> None:
    text = (
        "name: a\nholdout:\n  salt: s\n  share: 2\nfrequency_caps:\n  - count: 1\n    hours: -1\nkill: true\n"
    )
    with pytest.raises(PolicyProblem) as problem:
        parse(text, "p.yaml")
    lines = str(problem.value).splitlines()
    assert [line.split(":")[1:3] for line in lines] == [
        [" line 4", " holdout.share"],
        [" line 7", " frequency_caps[0].hours"],
        [" line 8", " kill"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "p.yaml: line 1: name: is written twice; keep one"),
        ("[[[", "p.yaml: not YAML"),
        ("a: &x [*x]", "has a YAML alias"),
        ("just words", "holds no policy; it must have the keys name, kill_switch"),
        ("", "holds no policy"),
        ("name: \x00", "not YAML"),
        ("!!python/object:os.system {}", "not YAML"),
        ("when: 2017-13-45\n", "not YAML: month must be"),
        ("when: !!bool maybe\n", "not YAML"),
        ("[" * 3000, "not YAML"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyProblem) as problem:
        parse(text, "p.yaml")
    assert message in str(problem.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyProblem, match=r"none.yaml: cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(PolicyProblem, match=r"latin.yaml: cannot be read .* UTF-8 YAML"):
        load(tmp_path / "latin.yaml")


@given(
    st.one_of(
        st.text(),
        st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(yaml.safe_dump),
    )
)
def test_no_text_brings_anything_but_a_problem(text: str) -> None:
    with pytest.raises(PolicyProblem):
        parse(text, "p.yaml")


@given(
    st.sampled_from(["name", "holdout", "consent", "frequency_caps", "campaigns"]),
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_no_value_of_a_part_brings_anything_but_a_policy_or_a_problem(part: str, value: Any) -> None:
    with contextlib.suppress(PolicyProblem):
        parse(yaml.safe_dump(document(**{part: value})), "p.yaml", TASKS)


@pytest.mark.parametrize(
    ("campaign", "payload"),
    [(0, {"value": 5.0, "expires_hours": 5}), (1, {"template": "other"}), (2, {"size": 7})],
)
def test_arms_that_are_learnt_may_differ_in_what_no_rule_looks_at(
    campaign: int, payload: dict[str, Any]
) -> None:
    source = document()
    _learnt(campaign, _arms(50, 50, **payload))(source)
    assert parse(yaml.safe_dump(source), "p.yaml").campaigns[campaign].experiment is not None
