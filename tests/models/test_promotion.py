"""Promoting, rolling back and listing releases over the compacted topic."""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from models import promotion
from models.release import WEIGHTS_FILE, ReleaseProblem
from schemas import topics
from schemas.kafka import confluent_config
from schemas.settings import Settings
from tests.models.releases import card, written


@pytest.fixture
def shop(settings: Settings) -> Settings:
    topics.create(settings)
    return settings


@pytest.mark.parametrize(
    "broker",
    [pytest.param("noida", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.kafka)],
)
def test_promote_and_roll_back(broker: str, shop: Settings) -> None:
    assert promotion.promoted(shop) is None
    first, second = (written(shop.releases_uri, seed) for seed in (1, 2))
    promotion.promote(shop, first)
    done = promotion.promote(shop, second, note="better AUC")
    assert (done.previous, done.note) == (first.id, "better AUC")
    assert promotion.promoted(shop) == done
    assert done.open() == second
    back = promotion.rollback(shop)
    assert (back.release, back.previous) == (first.id, second.id)
    assert [one.id for one in promotion.listing(shop, back) if one.promoted] == [first.id]


@pytest.mark.embedded
def test_models_do_not_disturb_each_other_and_rubbish_is_passed_over(shop: Settings) -> None:
    mine = promotion.promote(shop, written(shop.releases_uri))
    promotion.promote(shop, written(shop.releases_uri, model="fraud"))
    rubbish = Producer(confluent_config(shop))
    rubbish.produce(topics.Topics(shop).model_releases, b"\0\0\0\0\xffnonsense", b"someone")
    rubbish.flush()
    assert promotion.promoted(shop) == mine
    with pytest.raises(
        ReleaseProblem, match=r"model fraud: nothing to go back to, fraud-.* replaced no other"
    ):
        promotion.rollback(shop, "fraud")
    with pytest.raises(ReleaseProblem, match="model other: nothing to go back to, no release was promoted"):
        promotion.rollback(shop, "other")


@pytest.mark.embedded
def test_nothing_is_promoted_that_cannot_be_served(shop: Settings) -> None:
    broken = written(shop.releases_uri)
    Path(broken.uri, WEIGHTS_FILE).write_bytes(b"short")
    with pytest.raises(ReleaseProblem, match="changed or cut short"):
        promotion.promote(shop, broken)
    assert promotion.promoted(shop) is None


@pytest.mark.embedded
def test_a_missing_topic_names_the_mend(settings: Settings) -> None:
    with pytest.raises(ReleaseProblem, match=r"model-releases at .*: .*intentflow topics create"):
        promotion.promoted(settings)


def test_listing_shows_what_cannot_be_served(settings: Settings) -> None:
    assert promotion.listing(settings, None) == []
    good, bad = written(settings.releases_uri, 1), written(settings.releases_uri, 2)
    Path(bad.uri, "release.json").write_text("{}")
    by_id = {one.id: one for one in promotion.listing(settings, None)}
    assert by_id[good.id].release == promotion.find(settings, good.id) == good
    assert "not as written" in by_id[bad.id].problem


def test_a_folder_with_another_release_is_refused(tmp_path: Path) -> None:
    made = written(tmp_path)
    fingerprint = card().features.fingerprint()
    record = promotion.Promotion("intent", "intent-other", made.uri, "0" * 64, fingerprint, 1, None, "")
    with pytest.raises(ReleaseProblem, match="restore that folder"):
        record.open()


@pytest.mark.embedded
def test_a_challenger_is_named_replaced_and_stopped(shop: Settings) -> None:
    first, second, third = (written(shop.releases_uri, seed) for seed in (1, 2, 3))
    with pytest.raises(ReleaseProblem, match=r"no release is in use that .* could challenge"):
        promotion.challenge(shop, second)
    promotion.promote(shop, first)
    with pytest.raises(ReleaseProblem, match="is the release in use"):
        promotion.challenge(shop, first)
    promotion.challenge(shop, second)
    begun = promotion.challenge(shop, third, note="larger")
    now = promotion.standing(shop)
    assert (now.challenger, begun.previous) == (begun, first.id)
    assert promotion.stop_challenge(shop) == begun
    assert promotion.standing(shop).challenger is promotion.stop_challenge(shop) is None
    assert promotion.promoted(shop) == now.champion


@pytest.mark.embedded
def test_a_challenger_that_is_promoted_is_none_any_longer(shop: Settings) -> None:
    first, second, third = (written(shop.releases_uri, seed) for seed in (1, 2, 3))
    promotion.promote(shop, first)
    promotion.challenge(shop, third)
    promotion.promote(shop, second)
    assert promotion.standing(shop).challenger is not None
    promotion.promote(shop, third)
    assert promotion.standing(shop).challenger is None


@pytest.mark.embedded
def test_promoting_what_is_in_use_keeps_the_way_back(shop: Settings) -> None:
    first, second = (written(shop.releases_uri, seed) for seed in (1, 2))
    promotion.promote(shop, first)
    promotion.promote(shop, second)
    assert promotion.promote(shop, second, "again").previous == first.id


@pytest.mark.embedded
def test_what_was_withdrawn_is_not_gone_back_to_until_it_is_promoted_again(shop: Settings) -> None:
    first, second = (written(shop.releases_uri, seed) for seed in (1, 2))
    promotion.promote(shop, first)
    promotion.promote(shop, second)
    assert promotion.withdraw(shop, first.id, "not in use") is None
    done = promotion.withdraw(shop, second.id, "AUC 0.5")
    assert done is not None
    assert (done.release, done.previous) == (first.id, second.id)
    assert done.note == f"rolled back automatically from {second.id}: AUC 0.5"
    gone = promotion.standing(shop).withdrawn
    assert {release: record.note for release, record in gone.items()} == {second.id: "AUC 0.5"}
    for back in (promotion.rollback, lambda one: promotion.withdraw(one, first.id, "bad, too")):
        with pytest.raises(ReleaseProblem, match=r"was withdrawn \(AUC 0.5\) and is not used again"):
            back(shop)
    assert promotion.promoted(shop) == done
    promotion.promote(shop, second, "forced: mended the features")
    assert promotion.standing(shop).withdrawn == {}
    assert promotion.rollback(shop).release == first.id
