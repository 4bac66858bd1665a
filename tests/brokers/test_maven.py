"""The cache of jars: filled once, never half, however many runs want it at the same time."""

import threading
import time
from pathlib import Path

import pytest

from tests.brokers import Unavailable, maven


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTFLOW_CACHE", str(tmp_path / "cache"))


def test_two_runs_at_the_same_time_resolve_once() -> None:
    resolved: list[Path] = []

    def slowly(folder: Path) -> None:
        resolved.append(folder)
        time.sleep(0.2)
        (folder / "a.jar").touch()

    runs = [threading.Thread(target=maven.cached, args=("kafka", slowly)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(resolved) == 1
    assert [jar.name for jar in maven.cached("kafka", slowly).iterdir()] == ["a.jar"]


def test_a_run_that_broke_off_leaves_nothing_half_filled() -> None:
    def breaks_off(folder: Path) -> None:
        (folder / "half.jar").touch()
        raise Unavailable("the network went away")

    with pytest.raises(Unavailable, match="went away"):
        maven.cached("kafka", breaks_off)
    assert not (maven.cache_folder() / "kafka").exists()
    assert list(maven.cached("kafka", lambda folder: (folder / "whole.jar").touch()).iterdir())


def test_without_maven_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"`mvn` is not on PATH.*Java 17"):
        maven.jars("kafka", ["a:b:1"])
