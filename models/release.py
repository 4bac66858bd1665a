"""A release: a folder with `model.safetensors` and `release.json`, written by replay and read by every engine.

`release.json` is written last and moved into its name, so a folder without it is not a release: a writer that dies
leaves nothing that a worker could load. A release is never changed; its id holds the time and the weights' hash.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import safetensors.numpy

from models.architecture import Architecture, Calibration, Weights
from models.events import hash_names
from models.featurizer import FeatureSpec
from models.survival import SURVIVAL_DAYS, TASKS
from models.tasks import check_tasks

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "release.json"
OTHER = (
    "(other)"  # last category of a vocabulary: everything that is not in it; never offered as a top category
)
_FORMAT = 2


class ReleaseProblem(Exception):
    """A release that cannot be used; the message names the release, what is wrong and what to do."""


class OtherFeatures(ReleaseProblem):
    """A release that reads events in another way than the code that was to run it."""


class NotFinite(ReleaseProblem):
    """A release whose scores are no numbers."""


@dataclass(frozen=True)
class Card:
    """Everything about a trained model but its weights."""

    model: str  # model name, key of its record on model-releases
    categories: tuple[
        str, ...
    ]  # vocabulary of the category head, in the order of its logits; may end with OTHER
    popular: Mapping[
        str, tuple[str, ...]
    ]  # category -> its most bought item ids, candidates for re-ranked lists
    metrics: Mapping[str, Any]  # as evaluate printed them
    data_from: str  # ISO 8601 UTC, first event trained on
    data_until: str  # end of the interval trained on
    seed: int
    git_revision: str
    schema_fingerprint: str  # of the BehaviorEvent schema that the events were read with
    features: FeatureSpec = field(default_factory=FeatureSpec)
    architecture: Architecture = field(default_factory=Architecture)
    calibration: Calibration = field(default_factory=Calibration)
    tasks: tuple[str, ...] = TASKS


@dataclass(frozen=True)
class Release:
    """A readable release. `uri` is its folder: a path or an fsspec URL."""

    uri: str
    id: str
    created_at: str  # ISO 8601 UTC
    weights_sha256: str
    card: Card

    def weights(self) -> Weights:
        """The weights (float32), checked against their hash; ReleaseProblem when they are missing or differ."""
        data = _fetch(self.uri, WEIGHTS_FILE)
        found = hashlib.sha256(data).hexdigest()
        if found != self.weights_sha256:
            raise ReleaseProblem(
                f"{self.uri}: {WEIGHTS_FILE} has SHA-256 {found[:12]}…, {CARD_FILE} says {self.weights_sha256[:12]}…: "
                "the file was changed or cut short; copy the release again or train a new one"
            )
        return safetensors.numpy.load(data)

    def beside(self, name: str) -> bytes | None:
        """Another file of the release's folder; None when it has no such file."""
        fs, folder = fsspec.url_to_fs(self.uri)
        try:
            data: bytes = fs.cat_file(posixpath.join(folder, name))
            return data
        except FileNotFoundError:
            return None

    @property
    def category_hashes(self) -> npt.NDArray[np.uint32]:
        """Hash of each category as EVENT holds it, (C,); OTHER has 0."""
        hashes = hash_names(list(self.card.categories))
        hashes[[name == OTHER for name in self.card.categories]] = 0
        return hashes


def write(
    releases_uri: str,
    card: Card,
    weights: Weights,
    created: datetime | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> Release:
    """Writes a release into a new folder under `releases_uri` and returns it. beside: more files of it, by name."""
    check_tasks(card.tasks)
    data = safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in weights.items()})
    sha256 = hashlib.sha256(data).hexdigest()
    created = (created or datetime.now(UTC)).astimezone(UTC)
    release_id = f"{card.model}-{created:%Y%m%dT%H%M%S}-{sha256[:8]}"
    fs, root = fsspec.url_to_fs(releases_uri)
    folder = posixpath.join(root, release_id)
    release = Release(_uri(fs, folder), release_id, created.isoformat(timespec="seconds"), sha256, card)
    fs.makedirs(folder, exist_ok=True)
    fs.pipe_file(posixpath.join(folder, WEIGHTS_FILE), data)
    for name, more in (beside or {}).items():
        fs.pipe_file(posixpath.join(folder, name), more)
    unfinished = posixpath.join(folder, f".{CARD_FILE}")
    fs.pipe_file(unfinished, json.dumps(_to_json(release), indent=1, ensure_ascii=False).encode())
    fs.mv(unfinished, posixpath.join(folder, CARD_FILE))
    return release


def read(uri: str) -> Release:
    """The release in folder `uri`; ReleaseProblem unless this code can serve it. Weights are read by `.weights()`."""
    try:
        found = json.loads(_fetch(uri, CARD_FILE))
        if found["format"] != _FORMAT:
            raise ReleaseProblem(
                f"{uri}: {CARD_FILE} has format {found['format']}, this code reads {_FORMAT}: "
                "train a release with this version, or serve it with the version that wrote it"
            )
        _check_meaning(uri, found)
        return _from_json(uri, found)
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseProblem(
            f"{uri}: {CARD_FILE} is not as written ({type(error).__name__}: {error}); "
            "copy the release again or train a new one"
        ) from error


def _check_meaning(uri: str, found: dict[str, Any]) -> None:
    """Inputs and outputs must mean here what they meant in training."""
    running = FeatureSpec(**found["features"]).fingerprint()
    mend = "train a new release with this version (intentflow replay run), or roll back to an older worker"
    if found["feature_fingerprint"] != running:
        raise OtherFeatures(
            f"{uri}: trained on features {found['feature_fingerprint']}, this code makes {running}: {mend}"
        )
    if tuple(found["survival_days"]) != SURVIVAL_DAYS:
        raise ReleaseProblem(f"{uri}: survival days {found['survival_days']}, want {SURVIVAL_DAYS}: {mend}")


def _to_json(release: Release) -> dict[str, Any]:
    card = release.card
    hashes = release.category_hashes.tolist()
    return {
        "format": _FORMAT,
        "release": release.id,
        "model": card.model,
        "created_at": release.created_at,
        "weights_sha256": release.weights_sha256,
        "schema_fingerprint": card.schema_fingerprint,
        "feature_fingerprint": card.features.fingerprint(),
        "features": asdict(card.features),
        "architecture": asdict(card.architecture),
        "calibration": asdict(card.calibration),
        "survival_days": SURVIVAL_DAYS,
        "tasks": card.tasks,
        "data": {"from": card.data_from, "until": card.data_until},
        "seed": card.seed,
        "git_revision": card.git_revision,
        "metrics": dict(card.metrics),
        "categories": [
            {"name": name, "hash": code} for name, code in zip(card.categories, hashes, strict=True)
        ],
        "popular": {category: list(items) for category, items in card.popular.items()},
    }


def _from_json(uri: str, found: dict[str, Any]) -> Release:
    calibration = found["calibration"]
    card = Card(
        model=found["model"],
        categories=tuple(category["name"] for category in found["categories"]),
        popular={category: tuple(items) for category, items in found["popular"].items()},
        metrics=found["metrics"],
        data_from=found["data"]["from"],
        data_until=found["data"]["until"],
        seed=found["seed"],
        git_revision=found["git_revision"],
        schema_fingerprint=found["schema_fingerprint"],
        features=FeatureSpec(**found["features"]),
        architecture=Architecture(
            **{**found["architecture"], "sizes": tuple(found["architecture"]["sizes"])}
        ),
        calibration=Calibration(
            tuple(calibration["hazard_scale"]),
            tuple(calibration["hazard_shift"]),
            calibration["category_temperature"],
            tuple(calibration["extra_scale"]),
            tuple(calibration["extra_shift"]),
        ),
        tasks=check_tasks(tuple(found["tasks"])),
    )
    return Release(uri, found["release"], found["created_at"], found["weights_sha256"], card)


def _fetch(uri: str, name: str) -> bytes:
    fs, folder = fsspec.url_to_fs(uri)
    try:
        data: bytes = fs.cat_file(posixpath.join(folder, name))
        return data
    except FileNotFoundError:
        raise ReleaseProblem(
            f"{uri}: {name} is missing, so this is not a finished release; "
            "see what there is with `intentflow models list`"
        ) from None


def _uri(fs: Any, folder: str) -> str:
    """The folder as other processes can open it: an absolute path, or a URL with its protocol."""
    local = "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
    return folder if local else str(fs.unstrip_protocol(folder))
