"""Runs are recorded in MLflow where it is there, and go on where it is not. Nothing of a release depends on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from models import release
from models.records import Record, recording
from models.replay.__main__ import main
from models.replay.train import Epoch
from schemas.settings import Settings
from tests.models.releases import written
from tests.models.replay.shop import in_environment, rows, write
from tests.models.replay.test_search import BASE, INTERVAL

SECRET = "http://anna:hunter2@127.0.0.1:1/?token=s3same"  # nothing listens there


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow store that the tests share: making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/new/mlflow.db"


@pytest.fixture
def train(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command that trains a small release on an archive of 30 shoppers."""
    in_environment(settings, monkeypatch)
    write(Path(settings.archive_uri), rows(shoppers=30, days=50))
    (tmp_path / "base.yaml").write_text(BASE)
    return ["train", *INTERVAL, "--train-until", "2017-02-01", "--recipe", str(tmp_path / "base.yaml")]


def test_a_run_keeps_parameters_losses_and_the_release(
    store: str, train: list[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("INTENTFLOW_MLFLOW_URI", store)
    assert main(train) == 0
    (folder,) = Path(settings.releases_uri).iterdir()
    card = release.read(str(folder)).card
    client = MlflowClient(store, store)
    experiment = client.get_experiment_by_name(f"{settings.app_id}/intent")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["recipe.architecture.head"] == "8"
    losses = [one.value for one in client.get_metric_history(run.info.run_id, "held_out_loss")]
    assert losses == [epoch["held_out_loss"] for epoch in card.metrics["epochs"]]
    assert run.data.tags["release_uri"] == str(folder)
    assert run.data.tags["git_revision"] == card.git_revision
    (version,) = client.search_model_versions("name = 'intent'")
    assert (version.source, version.run_id) == (str(folder), run.info.run_id)
    assert {file.name for file in folder.iterdir()} >= {"release.json", "model.safetensors"}
    assert not list(folder.parent.glob("*/artifacts")), "no copies of artefacts"


def test_a_second_release_is_the_next_version_and_a_trial_is_a_run_below(store: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    settings = Settings(mlflow_uri=store, app_id="versions", releases_uri=str(tmp_path))
    for seed in (1, 2):
        with recording(settings, "search") as record:
            record.release(written(tmp_path, seed, model="other"))
            with record.child("trial") as trial:
                trial.epoch(Epoch(1, 0.5, 0.4, 1.0))
    client = MlflowClient(store, store)
    assert sorted(int(one.version) for one in client.search_model_versions("name = 'other'")) == [1, 2]
    experiment = client.get_experiment_by_name("versions/intent")
    runs = client.search_runs([experiment.experiment_id])
    parents = {run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags}
    trials = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == parents
    assert [run.data.metrics["held_out_loss"] for run in trials] == [0.4, 0.4]
    assert all(run.data.tags["git_revision"] for run in runs if run.info.run_id in parents)


def test_a_server_that_does_not_answer_costs_a_warning_and_no_release(
    train: list[str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INTENTFLOW_MLFLOW_URI", SECRET)
    assert main(train) == 0
    assert len(list(Path(settings.releases_uri).iterdir())) == 1
    said = "".join(capsys.readouterr())
    assert said.count("not recorded") == 1
    assert "INTENTFLOW_MLFLOW_URI" in said
    for secret in ("hunter2", "anna", "s3same"):
        assert secret not in said


def test_without_the_library_one_sentence_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with recording(
        settings.model_copy(update={"mlflow_uri": Settings(mlflow_uri=SECRET).mlflow_uri}), "run"
    ) as record:
        record.parameters({"rate": 1})
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "install intentflow[learn]" in said


class DyingServer:
    """A client whose server goes away: every call fails, and is counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> None:
            self.calls += 1
            raise ConnectionError(f"{name}: http://anna:hunter2@host went away")

        return call


def test_a_server_that_dies_is_not_asked_again(tmp_path: Path) -> None:
    said: list[str] = []
    client = DyingServer()
    run = type("Run", (), {"info": type("Info", (), {"run_id": "1", "experiment_id": "1"})})
    record = Record(client, run, lambda text: text.replace("hunter2", "***"), said.append)
    with record.open():
        for number in range(3):
            record.epoch(Epoch(number, 1.0, 1.0, 1.0))
        record.release(written(tmp_path))
        with record.child("trial") as trial:
            trial.parameters({"rate": 1})
    assert client.calls == 1
    assert len(said) == 1
    assert "hunter2" not in said[0]


def test_a_run_that_fails_is_recorded_as_failed(store: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    settings = Settings(mlflow_uri=store, app_id="fails", releases_uri=str(tmp_path))
    with pytest.raises(ValueError, match="no"), recording(settings, "run"):
        raise ValueError("no")
    client = MlflowClient(store, store)
    (run,) = client.search_runs([client.get_experiment_by_name("fails/intent").experiment_id])
    assert run.info.status == "FAILED"


def test_the_setting_is_never_printed() -> None:
    assert "hunter2" not in repr(Settings(mlflow_uri=SECRET))
