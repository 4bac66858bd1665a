"""The policy's own sums and names, and that the policy shipped for the demo is in order."""

from pathlib import Path

import yaml

from schemas import avro
from streams.policy import KINDS, Policy
from streams.policy_document import load, parse
from tests.streams.decide_cases import DOCUMENT, TASKS, codec, compiled, document

SHIPPED = Path(avro.FOLDER).parent / "deploy" / "policy.yaml"


def policy(source: dict[str, object]) -> Policy:
    return parse(yaml.safe_dump(source), "test.yaml", TASKS)


def test_the_demos_policy_is_in_order_and_has_all_kinds() -> None:
    found = load(SHIPPED, TASKS)
    assert {campaign.kind for campaign in found.campaigns} == set(KINDS)
    types = {name for campaign in found.campaigns for name in campaign.trigger.event_types}
    assert types == {"purchase", "coupon_redeem", "intervention_exposed"}


def test_version_is_of_what_is_said_not_of_how() -> None:
    text = yaml.safe_dump(DOCUMENT)
    reordered = yaml.safe_dump(dict(reversed(DOCUMENT.items())), sort_keys=False)
    versions = {parse(t, "x").version for t in (text, "# a comment\n" + text, reordered)}
    assert len(versions) == 1
    (version,) = versions
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert policy(document(kill_switch=True)).version != version


def test_a_default_written_out_is_the_same_policy() -> None:
    assert policy(document(kill_switch=False)) == policy(document())
    shipped = load(SHIPPED)
    assert parse(shipped.to_yaml(), "again") == shipped


def test_the_record_fits_its_schema_and_keeps_the_text() -> None:
    shipped, text = load(SHIPPED), SHIPPED.read_text(encoding="utf-8")
    rows = [shipped.row(5), shipped.row(6, document=text)]
    again = codec("policy").decode_rows(codec("policy").encode_rows(rows))
    assert again == rows
    assert {parse(row["document"], "topic policies").version for row in again} == {shipped.version}


def test_reach_is_the_longest_window_that_counts_a_sent_one() -> None:
    from streams.contacts import Sent

    found = compiled()
    hours = {
        (campaign, kind): found.reach(Sent(campaign, kind, 0, "")) / 3_600_000
        for campaign, kind in (
            ("winback", "coupon"),
            ("reminder", "push"),
            ("list", "rerank"),
            ("gone", "push"),
        )
    }
    assert hours == {
        ("winback", "coupon"): 100,
        ("reminder", "push"): 72,
        ("list", "rerank"): 0,
        ("gone", "push"): 72,
    }


def test_the_json_schema_describes_every_setting() -> None:
    schema = Policy.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    names = {name for part in parts for name in part["properties"]}
    assert {
        "kill_switch",
        "at_least",
        "margin_per_conversion",
        "send_after_minutes",
        "top_categories",
    } <= names
