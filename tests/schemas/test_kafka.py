"""Client configurations; the brokers that they reach are in the `kafka` tests."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas import kafka
from schemas.kafka import BrokerAway, aiokafka_config, confluent_config, wait_for_broker
from schemas.settings import Settings

SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": "hush"}


def test_plain_clients_carry_no_credentials() -> None:
    settings = Settings(bootstrap_servers="a:1,b:2")
    assert confluent_config(settings)["bootstrap.servers"] == "a:1,b:2"
    assert aiokafka_config(settings)["bootstrap_servers"] == ["a:1", "b:2"]
    for config in (confluent_config(settings), aiokafka_config(settings)):
        assert not [key for key in config if "sasl" in key or "ssl" in key]


def test_both_libraries_get_the_same_credentials() -> None:
    settings = Settings.load(**SASL)
    confluent, aiokafka = confluent_config(settings), aiokafka_config(settings)
    assert confluent["security.protocol"] == aiokafka["security_protocol"] == "SASL_PLAINTEXT"
    assert confluent["sasl.mechanism"] == aiokafka["sasl_mechanism"] == "SCRAM-SHA-512"
    assert confluent["sasl.username"] == aiokafka["sasl_plain_username"] == "u"
    assert confluent["sasl.password"] == aiokafka["sasl_plain_password"] == "hush"


def test_tls_verifies_the_broker() -> None:
    context = aiokafka_config(Settings(security_protocol="SSL"))["ssl_context"]
    assert context.check_hostname


def test_extra_settings_are_spelled_as_librdkafka_does() -> None:
    config = confluent_config(Settings(), group_id="g", error_cb=print, log_level=3)
    assert (config["group.id"], config["error_cb"], config["log_level"]) == ("g", print, 3)


def test_waiting_says_where_and_gives_up_after_the_time_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "RETRY_S", 0.2)
    said: list[str] = []
    with pytest.raises(
        BrokerAway, match=r"127\.0\.0\.1:1 \(INTENTFLOW_BOOTSTRAP_SERVERS, PLAINTEXT\) after 0.5 s"
    ):
        wait_for_broker(Settings(bootstrap_servers="127.0.0.1:1"), timeout_s=0.5, say=said.append)
    assert "trying again every 0.2 s" in said[0]


def test_the_ends_of_a_partition_are_asked_again_while_its_leader_is_being_found() -> None:
    answers = [KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)), (3, 7)]

    class Asked:
        def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
            answer = answers.pop(0)
            if isinstance(answer, KafkaException):
                raise answer
            return answer

    asked: Any = Asked()
    assert kafka.bounds(asked, TopicPartition("t", 0), 5.0) == (3, 7)
    answers.append(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    with pytest.raises(KafkaException, match="authorization"):
        kafka.bounds(asked, TopicPartition("t", 0), 5.0)
