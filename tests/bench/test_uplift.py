"""What is pure in bench/uplift.py, and a machine without the data."""

from pathlib import Path

import pytest

from bench import uplift
from bench.models import row


def test_figures_over_halvings_are_means_with_the_deviation_of_one():
    found = uplift._over_splits([{"qini": 0.1}, {"qini": 0.3}])
    assert found == pytest.approx({"qini": 0.2, "qini_sd": 0.1 * 2**0.5})


def test_only_learners_that_take_part_in_the_figures_are_chosen_among():
    assert set(uplift.candidates()) <= set(uplift.learners())


def test_without_the_data_it_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(row, "DATA", Path(tmp_path))
    monkeypatch.setattr(uplift.report, "finish", lambda *given: pytest.fail("there is nothing to report"))
    assert uplift.main() == 0
    assert "hillstrom.csv.gz is not here: put the data there" in capsys.readouterr().out
