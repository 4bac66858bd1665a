"""The rows of next-item rankings: what is read from their files, and that their parameter files can be followed."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from bench.models.choose import choose
from bench.models.ranking import Task, clicks, compare, pairs
from bench.models.row import parameters
from models.families.rankers import ranker
from models.families.sessions import questions, sessions_of
from tests.models.families.shop import browsed

ROWS = ("yoochoose", "cotrec", "diginetica")
HEAD = "SessionId\tItemId\tTime\n"


def zipped(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_clicks_stand_in_the_order_of_time(tmp_path: Path) -> None:
    train = zipped(tmp_path / "train", HEAD + "9\ta\t5.5\n3\tb\t7\n9\tb\t4\n3\tc\t6.5\n")
    test = zipped(tmp_path / "test", HEAD + "1\tc\t10\n1\tc\t11\n1\ta\t12\n2\ta\t1\n")
    task = clicks(train, test)
    assert task.train.items.tolist() == [1, 0, 2, 1]  # session 9 ended first
    assert task.train.bounds.tolist() == [0, 2, 4]
    assert task.asked.items.tolist() == [2, 2, 2]  # a session of one click asks nothing
    assert task.asked.bounds.tolist() == [0, 1, 3]
    assert task.targets.tolist() == [2, 0]


def test_an_item_that_training_never_saw_is_named(tmp_path: Path) -> None:
    train = zipped(tmp_path / "train", HEAD + "9\ta\t5\n9\tb\t6\n")
    test = zipped(tmp_path / "test", HEAD + "1\ta\t10\n1\tz\t11\n")
    with pytest.raises(ValueError, match="item z of the test is not in the training data"):
        clicks(train, test)


def test_pairs_are_numbered_from_nought(tmp_path: Path) -> None:
    train = zipped(tmp_path / "train", "1 2 1\n3 4\n")
    task = pairs(train, zipped(tmp_path / "test", "1 2\t3\n4\t4\n"))
    assert task.train.n_items == 4
    assert task.train.items.tolist() == [0, 1, 0, 2, 3]
    assert task.asked.items.tolist() == [0, 1, 3]
    assert task.targets.tolist() == [2, 3]


def test_every_model_and_the_blend_are_measured_and_held_against_the_bars() -> None:
    asked, targets = questions(browsed(40, seed=1))
    given = {
        "seed": 1,
        "models": {
            "Markov": {"family": "markov"},
            "GRU4Rec": {"family": "gru4rec", "width": 8, "epochs": 1},
        },
        "blend": {"Markov": 1.0, "GRU4Rec": 0.1},
        "bars": {"blend recall@20": ">= 0.5", "blend mrr@20": ">= 2"},
    }
    row = compare(Task(browsed(), asked, targets), given)
    assert list(row.ours) == ["Markov", "GRU4Rec", "blend"]
    assert row.ours["GRU4Rec"]["train_events_per_s"] > 0
    assert [bar.holds for bar in row.bars] == [True, False]


def test_choosing_reads_no_test(tmp_path: Path) -> None:
    """The questions of the task are such that reading them would fail."""
    task = Task(browsed(400), sessions_of([[0]], 1), np.zeros(0, np.int32))
    models = {"Markov": {"family": "markov"}, "POP": {"family": "popularity"}}
    blend = choose(task, {"seed": 1, "models": models, "blend": dict.fromkeys(models, 1.0)}, tmp_path)
    assert blend.weights is not None
    assert blend.weights[0] > blend.weights[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Markov", "POP"]


@pytest.mark.parametrize("row", ROWS)
def test_parameter_files_can_be_followed(row: str) -> None:
    given = parameters(row)
    for settings in given["models"].values():
        ranker(settings)
    assert set(given["blend"]) <= set(given["models"])
    assert all(one["source"] for one in given["published"].values())
