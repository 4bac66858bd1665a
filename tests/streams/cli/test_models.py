"""Making a smaller release; what needs a broker is in test_operate.py and test_judging.py."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from models import release
from streams.cli import app
from tests.models.releases import TRUNKS, written


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> release.Release:
    monkeypatch.setenv("INTENTFLOW_RELEASES_URI", str(tmp_path))
    return written(tmp_path, architecture=TRUNKS["lstm of two layers"])


def test_a_pruned_release_stands_beside_the_one_that_it_was_made_of(
    made: release.Release, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["models", "prune", made.id, "--sizes", "8,4"])
    assert result.exit_code == 0, result.output
    (name,) = {folder.name for folder in tmp_path.iterdir()} - {made.id}
    found = release.read(str(tmp_path / name))
    assert name in result.output
    assert found.card.architecture.sizes == (8, 4)
    assert found.card.metrics == {"pruned_from": made.id}
    assert release.read(made.uri).weights_sha256 == made.weights_sha256


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("8", "want from 1 unit up to (24, 16)"),
        ("8,x", "want a number of units per layer"),
        ("99,4", "(99, 4)"),
    ],
)
def test_sizes_that_cannot_be_are_refused_in_words(made: release.Release, sizes: str, said: str) -> None:
    result = CliRunner().invoke(app, ["models", "prune", made.id, "--sizes", sizes])
    assert result.exit_code == 1
    assert said in str(result.output) + str(result.exception)
