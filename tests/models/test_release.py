"""Releases are whole or not there, and what cannot be served says what to do."""

import json
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import numpy as np
import pytest

from models import release
from models.events import hash_names
from models.network import weights_of
from models.release import CARD_FILE, OTHER, WEIGHTS_FILE, ReleaseProblem
from tests.models.releases import CATEGORIES, SKEWED, card, untrained, written


def edit(uri: str, **changes: object) -> None:
    path = Path(uri, CARD_FILE)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("protocol", ["", "memory://releases-test"])
def test_what_is_written_is_read_again(protocol: str, tmp_path: Path) -> None:
    of = card(calibration=SKEWED)
    weights = weights_of(untrained(of))
    made = release.write(protocol or str(tmp_path), of, weights)
    again = release.read(made.uri)
    assert again == made
    assert again.weights().keys() == weights.keys()
    assert all((again.weights()[name] == value).all() for name, value in weights.items())


def test_id_holds_time_and_weights(tmp_path: Path) -> None:
    of = card()
    when = datetime(2026, 11, 22, 19, 5, 1, tzinfo=UTC)
    ids = [release.write(str(tmp_path), of, weights_of(untrained(of, seed)), when).id for seed in (1, 2, 1)]
    assert ids[0].startswith("intent-20261122T190501-")
    assert ids[0] == ids[2] != ids[1]


def test_category_hashes_are_those_of_events(tmp_path: Path) -> None:
    made = written(tmp_path)
    assert made.category_hashes.tolist() == [*hash_names(list(CATEGORIES[:-1])), 0]
    assert CATEGORIES[-1] == OTHER


def test_a_local_release_can_be_opened_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = written("releases").uri
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert release.read(uri).card.seed == 7


def test_a_writer_that_died_leaves_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(fsspec.get_filesystem_class("file"), "mv", die)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path)
    (folder,) = tmp_path.iterdir()
    with pytest.raises(ReleaseProblem, match="not a finished release"):
        release.read(str(folder))


def test_missing_weights(tmp_path: Path) -> None:
    made = written(tmp_path)
    Path(made.uri, WEIGHTS_FILE).unlink()
    with pytest.raises(ReleaseProblem, match=r"model.safetensors is missing.*models list"):
        release.read(made.uri).weights()


def test_changed_weights(tmp_path: Path) -> None:
    made = written(tmp_path)
    path = Path(made.uri, WEIGHTS_FILE)
    path.write_bytes(path.read_bytes()[:-4] + np.float32(9).tobytes())
    with pytest.raises(ReleaseProblem, match="changed or cut short; copy the release again"):
        release.read(made.uri).weights()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_fingerprint": "0" * 16}, "trained on features 0{16}.*train a new release"),
        ({"features": {"version": 1, "item_buckets": 128}}, "trained on features"),
        ({"features": {"version": 1, "colour": 3}}, "not as written.*colour"),
        ({"survival_days": [1, 2]}, r"survival days \[1, 2\]"),
        ({"format": 99}, "format 99, this code reads 2"),
        ({"tasks": ["buy_4d"]}, "buy_4d.*copy the release again"),
        ({"calibration": None}, "not as written"),
    ],
)
def test_a_card_that_this_code_cannot_serve(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    made = written(tmp_path)
    edit(made.uri, **changes)
    with pytest.raises(ReleaseProblem, match=message):
        release.read(made.uri)


def test_half_a_card(tmp_path: Path) -> None:
    made = written(tmp_path)
    path = Path(made.uri, CARD_FILE)
    path.write_text(path.read_text()[:100])
    with pytest.raises(ReleaseProblem, match="not as written"):
        release.read(made.uri)
