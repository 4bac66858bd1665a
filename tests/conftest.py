"""Brokers and settings for every test.

A test marked `kafka` (or using `kafka_broker`, `secure_broker` or `apicurio`) runs against a real Apache Kafka, one
marked `embedded` (or using `embedded_broker`) against noida-db; everything else is fast and starts no process. Brokers
live for the session: a test keeps apart from the others by the topic prefix in its `settings`.
Without Java the `kafka` tests skip, except with CI=true, where that is a failure.
Properties are checked without a clock: on a machine shared with a broker a slow example says nothing.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import hypothesis
import pytest

from tests.brokers import Unavailable
from tests.brokers.apicurio import Apicurio
from tests.brokers.kafka import Kafka
from tests.brokers.noida import Noida
from tests.brokers.secure import SecureKafka

if TYPE_CHECKING:
    from schemas.settings import Settings

Broker = TypeVar("Broker")
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_MARKER_OF = {
    "kafka_broker": "kafka",
    "secure_broker": "kafka",
    "apicurio": "kafka",
    "embedded_broker": "embedded",
}
_BROKER_OF = {"kafka": "kafka_broker", "embedded": "embedded_broker"}
NO_BROKER = "127.0.0.1:1"  # nothing listens there: a fast test that connects fails at once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses a broker carries its marker, so that `-m 'not kafka'` never starts Java."""
    for item in items:
        for fixture, marker in _MARKER_OF.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[Kafka]:
    """A real Apache Kafka node: `.bootstrap`, `.stop()`, `.kill()`, `.start()` (leave it running)."""
    yield from _running(Kafka)


@pytest.fixture(scope="session")
def secure_broker() -> Iterator[SecureKafka]:
    """A real Apache Kafka node with SASL_SSL, SCRAM-SHA-512 and ACLs."""
    yield from _running(SecureKafka)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[Noida]:
    """The demo's broker, noida-db."""
    yield from _running(Noida)


@pytest.fixture(scope="session")
def apicurio() -> Iterator[Apicurio]:
    """A real schema registry: `.url`."""
    yield from _running(Apicurio)


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Settings":
    """Settings for the broker that the test's marker names, with topics and folders that no other test uses."""
    from schemas.settings import Settings

    for name in os.environ:
        if name.startswith("INTENTFLOW_") and name != "INTENTFLOW_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("INTENTFLOW_MLFLOW_URI", "off")  # a test of records names a store of its own
    own = f"t{uuid.uuid4().hex[:8]}"
    return Settings(
        bootstrap_servers=_bootstrap(request),
        app_id=own,  # consumer groups of two tests must not meet: a killed member holds up the other's rebalance
        topic_prefix=f"{own}-",
        data_dir=str(tmp_path / "worker"),
        releases_uri=str(tmp_path / "releases"),
        archive_uri=str(tmp_path / "archive"),
        metrics_port=0,
    )


def _bootstrap(request: pytest.FixtureRequest) -> str:
    markers = [_BROKER_OF[marker.name] for marker in request.node.iter_markers() if marker.name in _BROKER_OF]
    if not markers:
        return NO_BROKER
    address: str = request.getfixturevalue(markers[0]).bootstrap
    return address


def _running(broker: type[AbstractContextManager[Broker]]) -> Iterator[Broker]:
    try:
        started = broker()
        entered = started.__enter__()
    except Unavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"with CI=true a skip is a failure: {missing}")
        pytest.skip(str(missing))
    try:
        yield entered
    finally:
        started.__exit__(None, None, None)
