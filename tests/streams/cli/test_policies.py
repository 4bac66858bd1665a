"""Publishing a policy, stopping everything, and going on."""

from pathlib import Path

import pytest
import yaml

from schemas.settings import Settings
from streams.cli.policies import switched
from streams.policy_document import parse
from tests.models.releases import written
from tests.streams.cli.conftest import Run
from tests.streams.decide_cases import DOCUMENT

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


@pytest.mark.embedded
def test_publish_kill_and_go_on(run: Run, shop: Settings) -> None:
    assert "no policy 'default' is published" in run("policy", "show", code=1).stderr
    assert "no policy 'default' is published" in run("policy", "kill", code=1).stderr
    version = parse(DEMO.read_text(encoding="utf-8"), "demo").version
    assert f"published default version {version}" in run("policy", "publish", str(DEMO)).output
    assert "kill switch on: nothing is sent" in run("policy", "kill").output
    assert parse(run("policy", "show").output, "shown").kill_switch
    run("policy", "unkill")
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
