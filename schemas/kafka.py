"""How every Kafka client of the system connects: one place turns settings into the configuration of each library."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiokafka.helpers import create_ssl_context
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.settings import Settings

T = TypeVar("T")
RETRY_S = 2.0
_ASK_AGAIN_S = 0.1
# Errors that waiting does not mend: the broker is there and refuses us.
_REFUSALS = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


# A topic or group that is new, or whose broker changes: the client's picture of the cluster is old, and waiting mends it.
_MOVING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


class BrokerAway(ConnectionError):
    """No broker answered within the time allowed."""


class BrokerRefuses(ConnectionError):
    """A broker answered and would not let us in: wrong password, certificate or protocol."""


def confluent_config(settings: Settings, **extra: Any) -> dict[str, Any]:
    """Configuration for a confluent-kafka client. `extra` keys are librdkafka's with _ for . (`group_id="x"`)."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "client.id": settings.app_id,
        "log.connection.close": False,
    }
    if settings.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        config["sasl.username"] = settings.sasl_username
        config["sasl.password"] = settings.sasl_password.get_secret_value()
    if settings.security_protocol.endswith("SSL"):
        files = {
            "ssl.ca.location": settings.ssl_ca_file,
            "ssl.certificate.location": settings.ssl_cert_file,
            "ssl.key.location": settings.ssl_key_file,
        }
        config |= {key: path for key, path in files.items() if path}
    return config | {_librdkafka_name(key): value for key, value in extra.items()}


def _librdkafka_name(key: str) -> str:
    """group_id -> group.id; callbacks and log_level are spelled with an underscore by librdkafka itself."""
    return key if key.endswith("_cb") or key in ("log_level", "on_delivery") else key.replace("_", ".")


def aiokafka_config(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for an aiokafka producer, consumer or admin client."""
    config: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "security_protocol": settings.security_protocol,
        "client_id": settings.app_id,
    }
    if settings.security_protocol.startswith("SASL"):
        config["sasl_mechanism"] = settings.sasl_mechanism
        config["sasl_plain_username"] = settings.sasl_username
        config["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    if settings.security_protocol.endswith("SSL"):
        config["ssl_context"] = create_ssl_context(
            cafile=settings.ssl_ca_file or None,
            certfile=settings.ssl_cert_file or None,
            keyfile=settings.ssl_key_file or None,
        )
    return config


def patiently(ask: Callable[[], T], timeout_s: float) -> T:
    """What `ask` gets from a confluent-kafka client; asked again while the cluster finds out who has to answer.

    Raises KafkaException after `timeout_s`, or at any other refusal.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as problem:
            if problem.args[0].code() not in _MOVING or time.monotonic() > end:
                raise
            time.sleep(_ASK_AGAIN_S)


def written(
    settings: Settings, topic: str, records: Mapping[bytes, bytes | None], timeout_s: float, **extra: Any
) -> str:
    """Writes a few records by key, None deletes, and waits for the brokers: why not all were taken, "" when they were."""
    failures: list[KafkaError] = []
    waits = int(timeout_s * 1000)
    producer = Producer(
        confluent_config(settings, enable_idempotence=True, message_timeout_ms=waits, **extra)
    )

    def delivered(error: KafkaError | None, _: Any) -> None:
        if error is not None:
            failures.append(error)

    for key, value in records.items():
        producer.produce(topic, value, key, on_delivery=delivered)
    if producer.flush(timeout_s + 1) or failures:
        return failures[0].str() if failures else f"no answer within {timeout_s:g} s"
    return ""


def bounds(consumer: Consumer, tp: TopicPartition, timeout_s: float) -> tuple[int, int]:
    """First offset kept of a partition, and the one behind the last that this consumer may read."""
    low, high = patiently(lambda: consumer.get_watermark_offsets(tp, timeout=timeout_s), timeout_s)
    return low, high


def wait_for_broker(
    settings: Settings, timeout_s: float | None = None, say: Callable[[str], None] = print
) -> None:
    """Return once a broker answers; until then `say` so and try again every 2 seconds.

    `timeout_s` None waits for ever, else BrokerAway is raised after that many seconds. A broker that refuses us
    (password, certificate) raises BrokerRefuses at once: librdkafka tells that only through its error callback.
    """
    refusals: list[KafkaError] = []

    def note(error: KafkaError) -> None:
        if error.code() in _REFUSALS:
            refusals.append(error)

    where = f"{settings.bootstrap_servers} (INTENTFLOW_BOOTSTRAP_SERVERS, {settings.security_protocol})"
    end = None if timeout_s is None else time.monotonic() + timeout_s
    client = AdminClient(confluent_config(settings, error_cb=note, log_level=0))
    while True:
        try:
            client.list_topics(timeout=RETRY_S)
            return
        except KafkaException as problem:
            client.poll(0)  # serves the error callback
            error = problem.args[0]
            if error.code() in _REFUSALS:
                refusals.append(error)
            if refusals:
                raise BrokerRefuses(
                    f"Kafka at {where} refuses us: {refusals[0].str()}; look at "
                    "INTENTFLOW_SECURITY_PROTOCOL, "
                    "INTENTFLOW_SASL_MECHANISM, INTENTFLOW_SASL_USERNAME, INTENTFLOW_SASL_PASSWORD and "
                    "INTENTFLOW_SSL_CA_FILE"
                ) from None
            if end is not None and time.monotonic() >= end:
                raise BrokerAway(
                    f"no Kafka broker answers at {where} after {timeout_s:g} s; start it or mend the address"
                ) from None
            say(f"no Kafka broker answers at {where}; trying again every {RETRY_S:g} s")
            time.sleep(RETRY_S)
