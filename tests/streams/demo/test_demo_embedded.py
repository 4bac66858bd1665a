"""The first README command, as its user runs it: `make demo FAST=1`, and Ctrl-C in the middle of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.embedded, pytest.mark.timeout(400)]


def start(folder: Path) -> subprocess.Popen[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith("INTENTFLOW_")}
    with (folder / "out.txt").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.demo"],
            cwd=folder,
            env={**own, "FAST": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )


def left_running(folder: Path) -> list[str]:
    """Command lines of processes whose working folder is the demo's."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def auc(text: str, question: str, predictor: str) -> float:
    """AUC of the predictor in the last table of the question."""
    table = text.rpartition(question)[2]
    return float(re.search(rf"^ *{predictor} +(\d*\.\d+)", table, re.MULTILINE)[1])  # type: ignore[index]


def test_the_demo_shows_predictions_decisions_and_interventions_of_real_households(tmp_path: Path) -> None:
    demo = start(tmp_path)
    try:
        code = demo.wait(380)
    finally:
        demo.kill()
    text = (tmp_path / "out.txt").read_text()
    assert code == 0, text[-4000:]
    question = "buys again within 7 days of a basket, "
    for predictor in ("model", "recency, frequency", "LightGBM on aggregates"):
        assert auc(text, question, predictor) > 0.7
    assert "<svg" in (tmp_path / ".intentflow/demo/reports/live/report.html").read_text()
    assert "household" in text
    assert re.search(r"emit +emitted +\d", text), text[-4000:]
    assert "where to look next" in text
    assert left_running(tmp_path) == []


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    demo = start(tmp_path)
    end = time.monotonic() + 60
    while "Archive" not in (tmp_path / "out.txt").read_text():
        assert time.monotonic() < end, (tmp_path / "out.txt").read_text()
        assert demo.poll() is None
        time.sleep(0.2)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(40) == 130
    assert left_running(tmp_path) == []
