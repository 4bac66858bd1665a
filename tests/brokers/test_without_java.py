"""A machine without Java skips the tests on a real Kafka, and CI does not let that pass for green."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_KAFKA = "tests/brokers/test_kafka_kafka.py::test_the_tools_of_apache_kafka_run_against_it"


@pytest.mark.parametrize(
    ("ci", "code", "says"),
    [("", 0, "1 skipped"), ("true", 1, "with CI=true a skip is a failure")],
    ids=["by-hand", "ci"],
)
def test_without_java_kafka_tests_skip_but_fail_in_ci(tmp_path: Path, ci: str, code: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", NEEDS_KAFKA],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout
    assert "`java` is not on PATH" in done.stdout
