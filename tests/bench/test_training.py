"""What is pure in bench/training.py and bench/official.py: like batches, padded parts, and a checkout that is not there."""

from pathlib import Path

import numpy as np
import pytest

from bench import official
from bench.training import cells, padded
from models.families.sessions import sessions_of


def test_a_batch_of_ours_has_as_many_clicks_to_predict_as_was_asked_for() -> None:
    sessions = sessions_of([[0, 1, 2, 3], [1, 2], [3, 0, 1]], 4)  # 9 items, 6 of them predicted
    assert cells(sessions, 32) == 48


def test_a_padded_part_has_every_event_once_and_the_last_one_again_for_what_is_missing() -> None:
    bounds = np.array([0, 3, 4, 6])
    (part,) = padded(bounds, [np.array([1, 0])], rounds=8)
    assert part.rows.reshape(3, 2).tolist() == [[3, 0], [3, 1], [3, 2]]
    assert part.batch_sizes.tolist() == [2, 2, 2]
    assert part.fresh


def test_padded_parts_follow_each_other_by_rounds() -> None:
    first, second = padded(np.array([0, 5]), [np.array([0])], rounds=3)
    assert (first.fresh, second.fresh) == (True, False)
    assert np.concatenate([first.rows, second.rows]).tolist() == [0, 1, 2, 3, 4]


def test_without_a_checkout_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRU4REC", str(tmp_path))
    with pytest.raises(official.NoCheckout, match=r"clone github\.com/hidasib/GRU4Rec_PyTorch_Official"):
        official.checkout()


def test_a_checkout_is_found_in_the_folder_that_the_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / official.FILE).write_text("")
    monkeypatch.setenv("GRU4REC", str(tmp_path))
    assert official.checkout() == tmp_path / official.FILE
