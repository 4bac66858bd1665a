"""The catalogue of topics, and the check against what a broker says (a named fake; the real one: test_topics_kafka)."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.admin import ConfigResource

from schemas import topics
from schemas.settings import Settings
from schemas.topics import TopicProblem, Topics

SETTINGS = Settings(topic_prefix="shop-", partitions=8, replication_factor=3, min_insync_replicas=2)


class ListedTopics:
    """An admin client of a broker that has the topics of the catalogue, with the changes given by topic."""

    def __init__(
        self, partitions: dict[str, int] | None = None, config: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.specs = {spec.name: spec for spec in topics.catalogue(SETTINGS)}
        self.partitions, self.config = partitions or {}, config or {}

    def list_topics(self, timeout: float) -> Any:
        counts = {name: self.partitions.get(name, spec.partitions) for name, spec in self.specs.items()}
        found = {name: SimpleNamespace(partitions=dict.fromkeys(range(n))) for name, n in counts.items() if n}
        return SimpleNamespace(topics=found)

    def describe_configs(self, resources: list[ConfigResource], request_timeout: float) -> Any:
        answers = {}
        for resource in resources:
            config = self.specs[resource.name].config | self.config.get(resource.name, {})
            answers[resource] = Future[Any]()
            answers[resource].set_result({key: SimpleNamespace(value=value) for key, value in config.items()})
        return answers


def check(**client: Any) -> str:
    with pytest.raises(TopicProblem) as problem:
        topics.check(SETTINGS, ListedTopics(**client))  # type: ignore[arg-type]
    return str(problem.value)


def test_the_catalogue_has_every_topic_once() -> None:
    names = [spec.name for spec in topics.catalogue(SETTINGS)]
    assert sorted(names) == sorted(vars(Topics(SETTINGS)).values())
    assert all(name.startswith("shop-") for name in names)


def test_whatever_concerns_a_shopper_has_the_same_number_of_partitions() -> None:
    single = {spec.name for spec in topics.catalogue(SETTINGS) if spec.partitions != 8}
    assert single == {"shop-model-releases", "shop-model-drift", "shop-policies", "shop-bandits"}
    assert {spec.partitions for spec in topics.catalogue(SETTINGS)} == {1, 8}


def test_state_and_settings_topics_are_compacted_and_the_logs_are_not() -> None:
    compacted = {spec.name for spec in topics.catalogue(SETTINGS) if spec.compacted}
    assert compacted == {
        "shop-model-releases",
        "shop-model-drift",
        "shop-policies",
        "shop-bandits",
        "shop-sequences-changelog",
        "shop-contacts-changelog",
        "shop-outcomes-changelog",
    }
    assert all("retention.ms" in spec.config for spec in topics.catalogue(SETTINGS) if not spec.compacted)


def test_a_dead_letter_holds_the_largest_event_whole() -> None:
    largest = {spec.name: int(spec.config.get("max.message.bytes", 0)) for spec in topics.catalogue(SETTINGS)}
    assert largest["shop-behavior-events"] == 16 * 1024 * 1024
    assert largest["shop-dead-letters"] > largest["shop-behavior-events"]


def test_retention_is_that_of_the_settings() -> None:
    def retention(days: float) -> str:
        return topics.catalogue(SETTINGS.model_copy(update={"retention_days": days}))[0].config[
            "retention.ms"
        ]

    assert retention(7) == "604800000"
    assert retention(0) == "-1"


def test_topics_as_they_must_be_pass() -> None:
    topics.check(SETTINGS, ListedTopics())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topic", "change", "said"),
    [
        ("decisions", 0, "missing, want 8 partitions; mend: `intentflow topics create`"),
        (
            "predictions",
            6,
            "number of partitions is 6, want 8; mend: set INTENTFLOW_PARTITIONS=6, or delete the topic",
        ),
        ("policies", 2, "number of partitions is 2, want 1; mend: delete the topic"),
        (
            "model-releases",
            {"cleanup.policy": "delete"},
            "is delete, want compact; mend: `kafka-configs --alter",
        ),
        ("behavior-events", {"cleanup.policy": "compact"}, "cleanup.policy is compact, want delete"),
        (
            "behavior-events",
            {"retention.ms": "5000"},
            "is 5000, want longer than a checkpoint interval (10000)",
        ),
        ("dead-letters", {"max.message.bytes": "1048588"}, "is 1048588, want at least 17825792"),
    ],
)
def test_each_difference_that_matters_is_named_with_its_mend(
    topic: str, change: int | dict[str, str], said: str
) -> None:
    name = f"shop-{topic}"
    message = check(partitions={name: change}) if isinstance(change, int) else check(config={name: change})
    assert f"- {name}: " in message
    assert said in message
    assert message.count("\n") == 1


def test_all_differences_come_in_one_message() -> None:
    message = check(partitions={"shop-decisions": 0, "shop-outcomes": 3})
    assert "shop-decisions" in message
    assert "shop-outcomes" in message


def test_what_the_operator_made_better_is_left_alone() -> None:
    better = {
        "shop-behavior-events": {
            "retention.ms": "-1",
            "max.message.bytes": "33554432",
            "compression.type": "zstd",
        }
    }
    topics.check(SETTINGS, ListedTopics(config=better))  # type: ignore[arg-type]
