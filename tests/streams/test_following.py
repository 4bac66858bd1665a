"""What a worker makes of the records of `policies` and of the catalogue file, also when it starts on bad ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.release import Release
from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.following import Following
from streams.learning.dealing import SHARES
from streams.policy import Policy
from tests.models.releases import written
from tests.streams.decide_cases import document
from tests.streams.learning.cases import ARMS, learning, preferring

POLICY = Codec(FileRegistry(), "policy")
BANDIT = Codec(FileRegistry(), "bandit")
RELEASE = Codec(FileRegistry(), "model_release")
GOOD, BETTER = (yaml.safe_dump(document(time_zone=zone)) for zone in ("UTC", "Asia/Tokyo"))
BAD = "name: default\nholdout: nobody\n"


@pytest.fixture
def made(tmp_path: Path) -> Release:
    return written(tmp_path / "releases")


def record(text: str, time: int = 1) -> bytes:
    (value,) = POLICY.encode_rows(
        [{"name": "default", "version": "v", "document": text, "published_at": time}]
    )
    assert value is not None
    return value


def following(settings: Settings, of: Release, *batches: dict[bytes, bytes | None]) -> Following:
    """A worker that has read these batches of `policies`, and uses the release."""
    row = {
        "model": "intent",
        "release": of.id,
        "uri": of.uri,
        "weights_sha256": of.weights_sha256,
        "feature_fingerprint": of.card.features.fingerprint(),
        "promoted_at": 0,
        "previous": None,
        "note": "",
    }
    (release,) = RELEASE.encode_rows([row])
    found, topics = Following(settings, FileRegistry()), Topics(settings)

    async def read() -> None:
        await found._take(topics.model_releases, {b"intent": release})
        for batch in batches:
            await found._take(topics.policies, batch)

    asyncio.run(read())
    return found


def zone(found: Following) -> str | None:
    return None if found.policy is None else found.policy.zone


HISTORY: dict[bytes, bytes | None] = {
    b"default@1000": record(GOOD, 1000),
    b"default@2000": record(BETTER, 2000),
    b"default@3000": record(BAD, 3000),
    b"other@2500": record(GOOD, 2500),
}


@pytest.mark.parametrize(
    "batches",
    [
        [{**HISTORY, b"default": record(BAD)}],
        [{b"default": record(BAD)}, HISTORY],
        [HISTORY, {b"default": record(BAD)}],
    ],
    ids=["together", "the policy first", "its history first"],
)
def test_a_worker_that_starts_on_a_bad_policy_takes_the_last_good_one(
    settings: Settings, made: Release, batches: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = following(settings, made, *batches)
    assert zone(found) == "Asia/Tokyo"
    assert "holdout" in found.problem, "what is wrong with the one in force stays in /health"
    assert "stands in for it" in caplog.text
    assert "1970-01-01T00:00:02" in caplog.text


def test_a_worker_in_use_keeps_the_policy_that_it_has(settings: Settings, made: Release) -> None:
    found = following(settings, made, {b"default": record(GOOD)}, {**HISTORY, b"default": record(BAD)})
    assert zone(found) == "UTC"
    assert found.refused == 1


def test_a_good_policy_ends_the_standing_in(settings: Settings, made: Release) -> None:
    found = following(settings, made, {**HISTORY, b"default": record(BAD)}, {b"default": record(GOOD)})
    assert zone(found) == "UTC"


def test_without_any_good_one_there_is_no_policy(settings: Settings, made: Release) -> None:
    found = following(settings, made, {b"default@3000": record(BAD), b"default": record(BAD)})
    assert found.policy is None


def test_the_catalogue_is_read_at_start_and_when_it_changes(
    settings: Settings, made: Release, tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    settings = settings.model_copy(update={"catalogue_uri": str(path), "catalogue_interval_s": 1e-9})
    found = following(settings, made, {b"default": record(GOOD)})
    found._look_at_catalogue()
    assert found.policy is not None
    assert found.policy.catalogue is not None
    assert found.policy.catalogue.items == {}, "nothing is shown before the first good one"
    assert "cannot be read" in found.problem
    path.write_text("item_id\na\n", encoding="utf-8")
    found._look_at_catalogue()
    assert [*found.policy.catalogue.items] == ["a"]
    path.write_text("item_id\na\na\n", encoding="utf-8")
    found._look_at_catalogue()
    assert [*found.policy.catalogue.items] == ["a"], "the last good one stays"
    assert "there twice" in found.problem


def learnt(found: Following, settings: Settings, *records: tuple[str, bytes | None]) -> None:
    """It reads these records of `bandits`."""
    latest = {name.encode(): value for name, value in records}
    asyncio.run(found._take(Topics(settings).bandits, latest))


def state_of(policy: Policy, tasks: tuple[str, ...]) -> dict[str, Any]:
    """A record's row: five is far better."""
    return preferring(policy, "five", tasks=tasks).row("default", 7)


def drawn(found: Following) -> dict[str, str]:
    """Which learnt version the arms of moments are drawn by."""
    assert found.policy is not None
    return found.policy.learnt


def test_what_was_learnt_is_followed_and_what_cannot_be_used_is_named(
    settings: Settings, made: Release
) -> None:
    policy, other = (
        learning(),
        learning([*ARMS[:2], {"name": "five", "share": 20, "payload": {"value": 6.0}}]),
    )
    found = following(settings, made, {b"default": record(policy.to_yaml())})
    assert drawn(found) == {"winback": SHARES}
    assert found.policy is not None
    row = state_of(policy, found.policy.tasks)
    (good,) = BANDIT.encode_rows([row])
    learnt(found, settings, ("default/winback", good), ("other/winback", b"of another policy"))
    assert (drawn(found), found.refused) == ({"winback": row["version"]}, 0)

    (broken,) = BANDIT.encode_rows([row | {"state": "{}"}])
    for nonsense in (b"nonsense", broken):
        learnt(found, settings, ("default/winback", nonsense))
    assert (drawn(found), found.refused) == ({"winback": row["version"]}, 2)
    assert "default/winback" in found.problem

    asyncio.run(found._take(Topics(settings).policies, {b"default": record(other.to_yaml())}))
    assert (drawn(found), found.refused) == ({"winback": SHARES}, 3)
    assert found.problem == "winback: what was learnt is of other arms, payloads or attribution_hours"
    asyncio.run(found._take(Topics(settings).policies, {b"default": record(policy.to_yaml())}))
    assert (drawn(found), found.refused) == ({"winback": row["version"]}, 3)

    learnt(found, settings, ("default/winback", None))
    assert drawn(found) == {"winback": SHARES}
