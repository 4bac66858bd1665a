"""A whole worker over TLS with SCRAM, with the rights that deploy/README.md lists and no others."""

from __future__ import annotations

import uuid
from pathlib import Path

from schemas.settings import Settings
from tests.brokers.secure import SecureKafka
from tests.schemas.test_security_kafka import documented_rights
from tests.streams.live import event
from tests.streams.site import Site, worker


def test_a_worker_with_the_documented_rights_predicts_every_event(
    secure_broker: SecureKafka, tmp_path: Path
) -> None:
    own = f"t{uuid.uuid4().hex[:8]}-"
    settings = Settings(
        app_id=f"{own}app",
        topic_prefix=own,
        bootstrap_servers=secure_broker.bootstrap,
        security_protocol="SASL_SSL",
        sasl_username=f"{own}user",
        sasl_password="a secret",  # type: ignore[arg-type]
        ssl_ca_file=str(secure_broker.ca_file),
        data_dir=str(tmp_path / "worker"),
        releases_uri=str(tmp_path / "releases"),
        metrics_port=0,
    )
    secure_broker.add_user(settings.sasl_username, "a secret")
    for kind, name, operations in documented_rights("intentflow", settings):
        secure_broker.allow(settings.sasl_username, kind, name, *operations)
    site = Site(settings)
    rows = [event(at % 5, at) for at in range(60)]
    site.send(rows)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: len(site.read("prediction")) == len(rows), "all predictions")
        assert running.stop() == 0, running.log
        assert "a secret" not in running.log
