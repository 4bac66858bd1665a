"""Publishing a policy, stopping everything, and going on."""

import re
from pathlib import Path

import pytest
import yaml

from schemas.settings import Settings
from schemas.topics import Topics
from streams.cli.log import Log
from streams.cli.policies import enabled, learnt, switched
from streams.policy_document import PolicyProblem, parse
from tests.models.releases import written
from tests.streams.cli.conftest import Run, put, send
from tests.streams.decide_cases import DOCUMENT
from tests.streams.learning.cases import learning, preferring

DEMO = Path(__file__).parents[3] / "deploy" / "policy.yaml"


@pytest.mark.parametrize(
    "document",
    [
        DEMO.read_text(encoding="utf-8"),
        yaml.safe_dump(DOCUMENT),  # no kill_switch written
        yaml.safe_dump(DOCUMENT, default_flow_style=True, width=10_000),  # all on one line
        "kill_switch : true\n" + yaml.safe_dump(DOCUMENT),
        '"kill_switch": true\n' + yaml.safe_dump(DOCUMENT),
    ],
)
@pytest.mark.parametrize("killed", [True, False])
def test_only_the_switch_is_changed(document: str, killed: bool) -> None:
    before, after = parse(document, "before"), parse(switched(document, killed), "after")
    assert after == before.model_copy(update={"kill_switch": killed})


def test_the_marketers_comments_are_kept() -> None:
    text = DEMO.read_text(encoding="utf-8")
    assert switched(switched(text, True), False) == text
    changed = [
        one
        for one, other in zip(text.splitlines(), switched(text, True).splitlines(), strict=True)
        if one != other
    ]
    assert len(changed) == 1


@pytest.mark.parametrize(
    "document",
    [
        DEMO.read_text(encoding="utf-8"),
        yaml.safe_dump(DOCUMENT),
        yaml.safe_dump(DOCUMENT, default_flow_style=True),
    ],
)
@pytest.mark.parametrize("on", [True, False])
def test_one_campaign_is_stopped_and_nothing_else_changes(document: str, on: bool) -> None:
    before = parse(document, "before")
    for stopped in before.campaigns:
        after = parse(enabled(document, stopped.id, on), "after")
        expected = {one.id: one.enabled if one.id != stopped.id else on for one in before.campaigns}
        assert {one.id: one.enabled for one in after.campaigns} == expected
        same = [one.model_copy(update={"enabled": True}) for one in after.campaigns]
        assert same == [one.model_copy(update={"enabled": True}) for one in before.campaigns]


def test_stopping_a_campaign_keeps_the_marketers_comments() -> None:
    text = DEMO.read_text(encoding="utf-8")
    assert enabled(enabled(text, "winback_coupon", False), "winback_coupon", True) == text
    changed = enabled(text, "weekly_reminder", False).splitlines()
    assert [line for line in changed if line not in text.splitlines()] == ["    enabled: false"]


def test_a_campaign_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(PolicyProblem, match="no campaign 'x'; it has winback_coupon, weekly_reminder"):
        enabled(DEMO.read_text(encoding="utf-8"), "x", False)


@pytest.mark.parametrize("page", ["interventions.md"])
def test_what_the_pages_show_is_a_policy(page: str) -> None:
    text = (DEMO.parents[1] / "docs" / page).read_text(encoding="utf-8")
    first, experiment, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert parse(first + experiment, page).campaigns[0].id == "cart_left"


def test_check_tells_every_fault_with_its_line(run: Run, tmp_path: Path) -> None:
    assert "4 of 4 campaigns enabled" in run("policy", "check", str(DEMO)).output
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        DEMO.read_text(encoding="utf-8").replace("buy_7d", "buy_8d").replace("share: 0.1 ", "share: 1.1 ")
    )
    assert "holdout.share" in run("policy", "check", str(bad), code=1).stderr
    bad.write_text(DEMO.read_text(encoding="utf-8").replace("buy_7d", "buy_8d"))
    told = run("policy", "check", str(bad), code=1).stderr
    assert "unknown score 'buy_8d'; did you mean 'buy_7d'?" in told
    assert told.count("line ") == 2


def test_two_files_differ_campaign_by_campaign(run: Run, tmp_path: Path) -> None:
    text = DEMO.read_text(encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("share: 0.1 ", "share: 0.2 ").replace("at_most: 0.40", "at_most: 0.35"))
    assert run("policy", "diff", str(DEMO), str(other)).output.splitlines()[1:] == [
        "  holdout.share: 0.1 -> 0.2",
        "  campaigns.weekly_reminder.trigger.at_most: 0.4 -> 0.35",
    ]
    assert ": 0 changes" in run("policy", "diff", str(DEMO), str(DEMO)).output


def test_the_schema_for_editors_is_current_and_the_demos_policy_names_it(run: Run) -> None:
    kept = DEMO.with_name("policy.schema.json")
    mend = "intentflow policy schema > deploy/policy.schema.json"
    assert kept.read_text(encoding="utf-8") == run("policy", "schema").output, mend
    first = DEMO.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={kept.name}"


@pytest.mark.embedded
def test_history_survives_what_compaction_leaves_and_rollback_goes_back(
    run: Run, shop: Settings, tmp_path: Path
) -> None:
    assert "no policy 'default' is published" in run("policy", "history", code=1).stderr
    text, other = DEMO.read_text(encoding="utf-8"), tmp_path / "other.yaml"
    other.write_text(text.replace("share: 0.1 ", "share: 0.2 "))
    old, new = (parse(one, "x").version for one in (text, other.read_text(encoding="utf-8")))
    assert "has no earlier" not in run("policy", "publish", str(DEMO)).output
    assert "an earlier version of 'default' was never published" in run("policy", "rollback", code=1).stderr
    run("policy", "publish", str(other))
    assert "holdout.share: 0.2 -> 0.1" in run("policy", "diff", str(DEMO)).output
    assert "holdout.share: 0.1 -> 0.2" in run("policy", "diff", old, new).output
    assert "is no file and no published version" in run("policy", "diff", "nothing.yaml", code=1).stderr
    assert f"published default version {old}" in run("policy", "rollback").output
    shown = run("policy", "show").output
    assert f"# default version {old}" in shown
    assert text.rstrip() in shown
    lines = run("policy", "history").output.splitlines()
    assert [re.findall("version (\\w+)", line)[0] for line in lines] == [old, new, old]
    assert [line.endswith("(in force)") for line in lines] == [True, False, False]
    assert len(keys := _keys(shop)) == len(set(keys) - {b"default"}) + 3, (
        "a key of its own for each publication"
    )
    run("policy", "rollback", new)
    assert f"# default version {new}" in run("policy", "show").output
    assert "version 'abc' of 'default' was never published" in run("policy", "rollback", "abc", code=1).stderr


def _keys(settings: Settings) -> list[bytes | None]:
    with Log(settings) as log:
        return [record.key for record in log.newest(Topics(settings).policies, 0)]


@pytest.mark.embedded
def test_publish_kill_and_go_on(run: Run, shop: Settings) -> None:
    assert "no policy 'default' is published" in run("policy", "show", code=1).stderr
    assert "no policy 'default' is published" in run("policy", "kill", code=1).stderr
    version = parse(DEMO.read_text(encoding="utf-8"), "demo").version
    assert f"published default version {version}" in run("policy", "publish", str(DEMO)).output
    assert "kill switch on: nothing is sent" in run("policy", "kill").output
    assert parse(run("policy", "show").output, "shown").kill_switch
    run("policy", "unkill")
    assert "nothing of winback_coupon is sent" in run("policy", "kill", "winback_coupon").output
    assert not parse(run("policy", "show").output, "shown").campaigns[0].enabled
    assert "winback_coupon goes out again" in run("policy", "unkill", "winback_coupon").output
    shown = run("policy", "show").output
    assert f"# default version {version}" in shown
    assert DEMO.read_text(encoding="utf-8").rstrip() in shown


@pytest.mark.embedded
def test_a_policy_that_the_release_in_use_cannot_serve_is_not_published(
    run: Run, shop: Settings, tmp_path: Path
) -> None:
    release = written(shop.releases_uri, tasks=("buy_3d", "buy_7d"))
    assert f"promoted {release.id}, before it none" in run("models", "promote", release.id).output
    assert "unknown score 'lapse_30d'" in run("policy", "publish", str(DEMO), code=1).stderr
    assert "no policy" in run("policy", "show", code=1).stderr


@pytest.mark.embedded
def test_another_name_is_published_with_a_warning(run: Run, shop: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(DEMO.read_text(encoding="utf-8").replace("name: default", "name: other  "))
    assert "workers follow 'default'" in run("policy", "publish", str(other)).stderr


@pytest.mark.embedded
def test_what_was_learnt_and_cannot_be_used_is_named_and_left_out(
    shop: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = learning()
    row = preferring(policy, "five").row(shop.policy_name, 7)
    send(shop, "bandit", [row, row | {"name": f"{shop.policy_name}/bad", "arms": ["a", "b"]}], key="name")
    put(shop, Topics(shop).bandits, [(f"{shop.policy_name}/worse".encode(), b"?"), (b"other/x", b"?")])
    with Log(shop) as log:
        assert [*learnt(log, shop)] == ["winback"]
    told = capsys.readouterr().err
    assert "what was learnt of bad is not used: bandit default/bad" in told
    assert "what was learnt of worse is not used" in told
    assert len(told.splitlines()) == 2
