"""Records of runs in MLflow: parameters, losses by epoch, figures, and each release as a version in its registry.

The replay job writes them and nothing reads them: workers follow the topic model-releases. A release's folder is the
version's source, no artefact is copied. Without MLflow, or with a server that does not answer, a sentence says so and
the run goes on: everything recorded here stands in the release, too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from schemas.settings import Settings

if TYPE_CHECKING:
    from models.release import Release
    from models.replay.train import Epoch

Say = Callable[[str], None]

OFF = "off"
LOCAL = "sqlite:///"
# MLflow's own defaults keep a run waiting for minutes, and send usage data home.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_LONGEST = 6000  # characters of a parameter that MLflow keeps
_PER_CALL = 100  # parameters of one call that MLflow takes


class Record:
    """One run. Without a client it keeps nothing, so that whoever runs need not ask."""

    def __init__(
        self, client: Any = None, run: Any = None, clean: Callable[[str], str] = str, say: Say = print
    ) -> None:
        self._client, self._run, self._clean, self._say = client, run, clean, say

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Names and values, kept as text."""
        from models.replay.recipes import flat

        texts = [(name, str(value)[:_LONGEST]) for name, value in flat(values).items()]

        def write(client: Any, run: str) -> None:
            from mlflow.entities import Param

            for first in range(0, len(texts), _PER_CALL):
                client.log_batch(run, params=[Param(*one) for one in texts[first : first + _PER_CALL]])

        self._write(write)

    def epoch(self, epoch: Epoch) -> None:
        """Losses of an epoch, at its number."""

        def write(client: Any, run: str) -> None:
            client.log_metric(run, "train_loss", epoch.train_loss, step=epoch.number)
            client.log_metric(run, "held_out_loss", epoch.held_out_loss, step=epoch.number)

        self._write(write)

    def figures(self, tree: Mapping[str, Any], path: str = "") -> None:
        """Every number of a tree, named by its path: evaluation/tasks/buy_7d/model/auc."""
        numbers = list(_numbers(tree, path))

        def write(client: Any, run: str) -> None:
            for name, value in numbers:
                client.log_metric(run, name, value)

        self._write(write)

    def release(self, release: Release) -> None:
        """The release's id, folder and code revision; and a version of its model in the registry, if that takes it."""
        tags = {
            "release": release.id,
            "release_uri": release.uri,
            "weights_sha256": release.weights_sha256,
            "git_revision": release.card.git_revision,
        }

        def write(client: Any, run: str) -> None:
            for name, value in tags.items():
                client.set_tag(run, name, value)

        def register(client: Any, run: str) -> None:
            from mlflow.exceptions import MlflowException

            try:
                client.create_registered_model(release.card.model)
            except MlflowException as problem:
                if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            client.create_model_version(release.card.model, release.uri, run, tags, description=release.id)

        self._write(write)
        self._write(
            register, f"the registry did not take release {release.id}; the run names it all the same"
        )

    @contextmanager
    def child(self, name: str) -> Iterator[Record]:
        """A run below this one: a trial of a search."""
        made: list[Any] = []

        def create(client: Any, run: str) -> None:
            tags = {"mlflow.parentRunId": run, "mlflow.runName": name}
            made.append(client.create_run(self._run.info.experiment_id, tags=tags, run_name=name))

        self._write(create)
        record = Record(self._client, made[0], self._clean, self._say) if made else Record()
        with record.open():
            yield record

    @contextmanager
    def open(self) -> Iterator[None]:
        """Ends the run with how it went."""
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            self._write(lambda client, run: client.set_terminated(run, status))

    def _write(self, call: Callable[[Any, str], None], otherwise: str = "") -> None:
        """Whatever goes wrong in MLflow costs the run nothing; after a first problem no more is written."""
        if self._client is None:
            return
        try:
            call(self._client, self._run.info.run_id)
        except Exception as problem:
            why = self._clean(" ".join(str(problem).split())[:300])
            self._say(f"  not recorded: {otherwise or 'MLflow fails, the run goes on without'} ({why})")
            if not otherwise:
                self._client = None


@contextmanager
def recording(settings: Settings, verb: str, say: Say = print) -> Iterator[Record]:
    """The record of a run of the replay job; experiment: the deployment's app_id and model."""
    record = _begun(settings, verb, say)
    with record.open():
        yield record


def _begun(settings: Settings, verb: str, say: Say) -> Record:
    uri = settings.mlflow_uri.get_secret_value()
    if uri == OFF:
        return Record()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError:
        say(
            "  not recorded: MLflow is not installed; install intentflow[learn], or set INTENTFLOW_MLFLOW_URI=off"
        )
        return Record()
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    clean = _cleaner(uri)
    try:
        if uri.startswith(LOCAL):
            Path(uri.removeprefix(LOCAL)).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        run = client.create_run(_experiment(client, settings), run_name=verb, tags={"verb": verb, **_code()})
    except Exception as problem:
        why = clean(" ".join(str(problem).split())[:300])
        say(
            f"  not recorded: MLflow at {clean(uri)} fails ({why}); the run goes on without, see INTENTFLOW_MLFLOW_URI"
        )
        return Record()
    return Record(client, run, clean, say)


def _code() -> dict[str, str]:
    """Revision of the code that runs; the second name is the one that MLflow's pages show."""
    from models.replay.card import git_revision

    revision = git_revision()
    return {"git_revision": revision, "mlflow.source.git.commit": revision.rstrip("+")}


def _experiment(client: Any, settings: Settings) -> str:
    name = f"{settings.app_id}/{settings.model_name}"
    found = client.get_experiment_by_name(name)
    # Nothing is stored there; but MLflow would make a folder of its own for artefacts.
    return str(found.experiment_id if found else client.create_experiment(name, settings.releases_uri))


def _cleaner(uri: str) -> Callable[[str], str]:
    """Takes user, password and query of the URI out of a text."""
    parts = urlsplit(uri)
    userinfo = parts.netloc.rpartition("@")[0]
    secrets = {parts.query, userinfo, parts.password or "", unquote(parts.password or "")} - {""}

    def clean(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    return clean


def _numbers(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, float]]:
    for name, value in tree.items():
        here = f"{path}/{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _numbers(value, here)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield here, float(value)
