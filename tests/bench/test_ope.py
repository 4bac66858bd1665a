"""What is pure in bench/ope.py and bench/open_bandit.py, and a machine without the logs."""

from pathlib import Path

import numpy as np
import pytest

from bench import ope, open_bandit
from bench.models import row
from models.ope.estimators import estimate
from models.ope.log import Log, Overlap


def test_what_a_policy_showed_is_by_position_and_exactly_even_where_its_chances_are():
    position = np.array([0, 0, 1, 1, 2])
    drawn = Log.of([0, 1, 1, 1, 0], np.zeros(5), [0.4, 0.6, 0.6, 0.7, 0.2], 2)
    assert open_bandit.shown(drawn, position).tolist() == [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]]
    even = Log.of([0, 1, 1, 1, 0], np.zeros(5), np.full(5, 0.5), 2)
    assert open_bandit.shown(even, position).tolist() == [[0.5, 0.5]] * 3


def test_the_interval_of_a_relative_error_holds_the_noise_of_the_truth():
    truth = np.tile([0.0, 1.0], 200)
    sure = estimate(np.full(400, 0.6), Overlap(400, 400.0, 1.0))
    found = open_bandit.against(sure, truth)
    assert found["_relative_error"] == pytest.approx(0.2)
    low, high = (float(one) for one in found["_relative_error_95"].split(" … "))
    assert (low, high) == pytest.approx((0.08, 0.32), abs=0.005)  # ± 1.96 · 1.2 · 0.025 / 0.5


def test_a_log_too_far_away_is_refused_and_the_model_alone_is_told():
    rng = np.random.default_rng(0)
    items, position = rng.integers(0, 2, 500), rng.integers(0, 3, 500)
    log = Log.of(items, rng.random(500) < 0.3, np.where(np.arange(500) == 0, 1e-6, 0.9), 2)
    found = open_bandit.compared(log, position, np.full((500, 2), 0.5), np.tile([0.0, 1.0], 50))
    assert found["dr"].startswith("refused: effective sample size 1.0 of 500 rounds")
    assert 0.1 < found["dm"] < 0.5


def test_without_the_logs_it_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(row, "DATA", Path(tmp_path))
    monkeypatch.setattr(ope.report, "finish", lambda *given: pytest.fail("there is nothing to report"))
    assert ope.main() == 0
    assert "all.csv.gz is not here: put the data there" in capsys.readouterr().out
