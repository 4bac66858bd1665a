"""The short form of `make faults`: every cheap harm once, on a real Kafka, and everything compared."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign


@pytest.mark.timeout(1_200)
@pytest.mark.usefixtures(
    "kafka_broker"
)  # it skips where Kafka cannot be had; the harm is done to one of our own
def test_nothing_is_lost_doubled_or_different_whatever_harm_is_done(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 24)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        outcome = Campaign(tmp_path, seed, short=True, only=[]).run()
    told = f"SHORT=1 python -m tests.faults --seed {seed}\n{said.getvalue()}\n{outcome.findings}"
    assert outcome.findings.good, told
    assert not outcome.failed, told
    assert outcome.findings.compared["prediction"] > 1_000, told
