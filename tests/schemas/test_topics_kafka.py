"""Topics on real brokers: what `create` makes passes `check`, on Apache Kafka and on the demo's embedded broker."""

import time

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from schemas import topics
from schemas.kafka import confluent_config
from schemas.settings import Settings
from schemas.topics import TopicProblem, Topics


def said_by_check(settings: Settings, lines: int) -> str:
    """What `check` says once it names so many problems: a broker's metadata follows a change a moment later."""
    said = ""
    for _ in range(100):
        try:
            topics.check(settings)
        except TopicProblem as problem:
            said = str(problem)
        if said.count("\n") == lines:
            return said
        time.sleep(0.1)
    raise AssertionError(f"after 10 s check still says: {said or 'nothing'}")


@pytest.mark.parametrize(
    "broker",
    [pytest.param("", marks=pytest.mark.kafka), pytest.param("", marks=pytest.mark.embedded)],
    ids=["kafka", "embedded"],
)
def test_what_create_makes_passes_check_and_is_made_once(broker: str, settings: Settings) -> None:
    with pytest.raises(TopicProblem, match="behavior-events: missing"):
        topics.check(settings)
    made = topics.create(settings)
    assert sorted(made) == sorted(spec.name for spec in topics.catalogue(settings))
    topics.check(settings)
    assert topics.create(settings) == []


@pytest.mark.kafka
def test_a_topic_that_an_operator_changed_is_named(settings: Settings) -> None:
    topics.create(settings)
    names, admin = Topics(settings), AdminClient(confluent_config(settings))
    entry = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, names.contacts_changelog, incremental_configs=[entry])
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(10)
    for answer in admin.create_partitions([NewPartitions(names.predictions, 6)]).values():
        answer.result(10)
    found = said_by_check(settings, lines=2)
    assert f"{names.contacts_changelog}: cleanup.policy is delete, want compact" in found
    assert f"{names.predictions}: number of partitions is 6, want 4" in found


@pytest.mark.kafka
def test_a_topic_that_the_broker_refuses_is_named(settings: Settings) -> None:
    with pytest.raises(TopicProblem, match=r"behavior-events: could not be created: .*[Rr]eplication"):
        topics.create(settings.model_copy(update={"replication_factor": 3}))
