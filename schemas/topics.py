"""The topics of a deployment: names, partition counts and configurations; creates them, and checks them at every start.

Everything about a shopper is keyed by `user_id` and has the same number of partitions, so that events,
state and
outputs of a shopper meet in one worker without a shuffle.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas.kafka import confluent_config
from schemas.settings import Settings

MIB = 1 << 20
# A batch with one event of the largest size allowed must fit; a dead letter holds such an event whole, and
# more.
SHOPPER_MESSAGE_BYTES = 16 * MIB
DEAD_LETTER_MESSAGE_BYTES = 17 * MIB
ANSWER_S = 30.0


class TopicProblem(RuntimeError):
    """Topics are not as the pipeline needs them; the message names topic, found, wanted and mend of each."""


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it must be: full name, number of partitions, broker-side configuration (all values as text)."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)

    @property
    def compacted(self) -> bool:
        return self.config["cleanup.policy"] == "compact"


class Topics:
    """Full topic names of a deployment, prefix applied."""

    def __init__(self, settings: Settings) -> None:
        prefix = settings.topic_prefix
        self.behavior_events = prefix + "behavior-events"
        self.predictions = prefix + "predictions"
        self.shadow_predictions = prefix + "shadow-predictions"
        self.decisions = prefix + "decisions"
        self.interventions = prefix + "interventions"
        self.outcomes = prefix + "outcomes"
        self.model_releases = prefix + "model-releases"
        self.model_drift = prefix + "model-drift"
        self.policies = prefix + "policies"
        self.bandits = prefix + "bandits"
        self.dead_letters = prefix + "dead-letters"
        self.sequences_changelog = prefix + "sequences-changelog"
        self.contacts_changelog = prefix + "contacts-changelog"
        self.outcomes_changelog = prefix + "outcomes-changelog"

    def of_schema(self, name: str) -> str:
        """Topic whose values have the schema `name` (as in schemas/<name>.avsc). Raises KeyError for others.

        A challenger's predictions have the schema of the others and a topic of their own: `shadow_prediction`.
        """
        return {
            "behavior_event": self.behavior_events,
            "prediction": self.predictions,
            "shadow_prediction": self.shadow_predictions,
            "decision": self.decisions,
            "intervention": self.interventions,
            "outcome": self.outcomes,
            "model_release": self.model_releases,
            "model_drift": self.model_drift,
            "policy": self.policies,
            "bandit": self.bandits,
            "dead_letter": self.dead_letters,
            "contact": self.contacts_changelog,
            "attribution": self.outcomes_changelog,
        }[name]


def catalogue(settings: Settings) -> list[TopicSpec]:
    """Every topic of the deployment as it must be."""
    topics = Topics(settings)
    safe = {"min.insync.replicas": str(settings.min_insync_replicas)}
    shopper = safe | {"max.message.bytes": str(SHOPPER_MESSAGE_BYTES)}
    keep = {
        "cleanup.policy": "delete",
        "retention.ms": str(round(settings.retention_days * 86_400_000) or -1),
    }
    # Recovery reads changelogs from their start when a disk is lost: compact them early, in segments
    # that close soon.
    changelog = {
        "cleanup.policy": "compact",
        "segment.bytes": str(64 * MIB),
        "min.cleanable.dirty.ratio": "0.2",
    }
    latest = {"cleanup.policy": "compact"}
    shopper_topics = (
        topics.behavior_events,
        topics.predictions,
        topics.shadow_predictions,
        topics.decisions,
        topics.interventions,
        topics.outcomes,
    )
    count = settings.partitions
    return [
        *(TopicSpec(name, count, shopper | keep) for name in shopper_topics),
        TopicSpec(
            topics.dead_letters, count, safe | keep | {"max.message.bytes": str(DEAD_LETTER_MESSAGE_BYTES)}
        ),
        TopicSpec(topics.sequences_changelog, count, shopper | changelog),
        TopicSpec(topics.contacts_changelog, count, shopper | changelog),
        TopicSpec(topics.outcomes_changelog, count, shopper | changelog),
        TopicSpec(topics.model_releases, 1, safe | latest),
        TopicSpec(topics.model_drift, 1, safe | latest),
        TopicSpec(topics.policies, 1, safe | latest),
        TopicSpec(topics.bandits, 1, safe | latest),
    ]


def create(settings: Settings, client: AdminClient | None = None) -> list[str]:
    """Create the topics that are missing; returns their names. Leaves existing ones as they are: see `check`.

    Raises TopicProblem when the broker refuses one.
    """
    client = client or AdminClient(confluent_config(settings))
    there = client.list_topics(timeout=ANSWER_S).topics
    missing = [spec for spec in catalogue(settings) if spec.name not in there]
    if not missing:
        return []
    asked = client.create_topics(
        [NewTopic(s.name, s.partitions, settings.replication_factor, config=s.config) for s in missing],
        operation_timeout=ANSWER_S,
    )
    problems = []
    for name, answer in asked.items():
        try:
            answer.result(timeout=ANSWER_S)
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another program was a moment faster
                problems.append(f"- {name}: could not be created: {error.str()}")
    if problems:
        raise TopicProblem("topics that could not be created:\n" + "\n".join(problems))
    return [spec.name for spec in missing]


def check(settings: Settings, client: AdminClient | None = None) -> None:
    """Compare the broker's topics with the catalogue. Raises TopicProblem that lists every difference that matters."""
    client = client or AdminClient(confluent_config(settings))
    there = client.list_topics(timeout=ANSWER_S).topics
    specs = catalogue(settings)
    problems = [
        f"- {spec.name}: missing, want {spec.partitions} partitions; mend: `intentflow topics create`"
        for spec in specs
        if spec.name not in there
    ]
    specs = [spec for spec in specs if spec.name in there]
    configs = _configs(client, (spec.name for spec in specs))
    for spec in specs:
        problems += _differences(spec, len(there[spec.name].partitions), configs[spec.name], settings)
    if problems:
        raise TopicProblem("topics are not as intentflow needs them:\n" + "\n".join(problems))


def identity(settings: Settings, client: AdminClient | None = None) -> str:
    """Names the cluster and the very topics that a worker's local state belongs to.

    A topic that was deleted and made anew has another id. Raises TopicProblem when the broker does not tell.
    """
    client = client or AdminClient(confluent_config(settings))
    topics = Topics(settings)
    names = [topics.behavior_events, topics.sequences_changelog, topics.contacts_changelog]
    try:
        cluster = client.list_topics(timeout=ANSWER_S).cluster_id
        answers = client.describe_topics(TopicCollection(names), request_timeout=ANSWER_S)
        ids = [str(answers[name].result(timeout=ANSWER_S).topic_id) for name in names]
    except KafkaException as problem:
        raise TopicProblem(
            f"the ids of the topics cannot be read: {problem.args[0].str()}; mend: give the user the rights in "
            "deploy/README.md (describe)"
        ) from None
    return "/".join([str(cluster), *ids])


def _configs(client: AdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    answers = client.describe_configs(resources, request_timeout=ANSWER_S)
    try:
        return {
            resource.name: {key: entry.value for key, entry in answer.result(timeout=ANSWER_S).items()}
            for resource, answer in answers.items()
        }
    except KafkaException as problem:
        raise TopicProblem(
            f"the topics' configurations cannot be read: {problem.args[0].str()}; mend: give the user the rights in "
            "deploy/README.md (describe_configs)"
        ) from None


def _differences(spec: TopicSpec, partitions: int, found: dict[str, str], settings: Settings) -> list[str]:
    """Lines on what is wrong with one topic. A value that the broker does not report is not judged."""
    problems = []

    def differs(what: str, is_: object, want: object, mend: str) -> None:
        problems.append(f"- {spec.name}: {what} is {is_}, want {want}; mend: {mend}")

    def alter(setting: str) -> str:
        return (
            f"`kafka-configs --alter --entity-type topics --entity-name {spec.name} --add-config {setting}`"
        )

    if partitions != spec.partitions:
        per_shopper = spec.partitions == settings.partitions
        mend = f"set INTENTFLOW_PARTITIONS={partitions}, or " if per_shopper else ""
        differs(
            "number of partitions",
            partitions,
            spec.partitions,
            f"{mend}delete the topic and create it anew (its records are lost)",
        )
    policy = found.get("cleanup.policy", spec.config["cleanup.policy"])
    if policy != spec.config["cleanup.policy"]:
        wanted = spec.config["cleanup.policy"]
        differs("cleanup.policy", policy, wanted, alter(f"cleanup.policy={wanted}"))
    largest, needed = found.get("max.message.bytes"), spec.config.get("max.message.bytes")
    if largest and needed and int(largest) < int(needed):
        differs("max.message.bytes", largest, f"at least {needed}", alter(f"max.message.bytes={needed}"))
    kept = int(found.get("retention.ms", -1))
    interval = round(settings.checkpoint_interval_s * 1000)
    if spec.name == Topics(settings).behavior_events and 0 <= kept < interval:
        wish = f"longer than a checkpoint interval ({interval})"
        differs(
            "retention.ms",
            kept,
            wish,
            alter(f"retention.ms={spec.config['retention.ms']}")
            + " or lower INTENTFLOW_CHECKPOINT_INTERVAL_S",
        )
    return problems
