"""The GPU benchmark says so when there is no GPU, and its code runs on the CPU with small sizes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from bench import gpu, page, report


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the reports of short runs go."""
    for name, path in (("ROOT", ""), ("TRIALS", "trials"), ("RESULTS", "results"), ("PAGE", "page.md")):
        monkeypatch.setattr(report, name, tmp_path / path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path / "trials"


def test_without_a_gpu_nothing_is_measured_and_it_says_so(
    trials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("FAST", raising=False)
    assert gpu.main() == 2
    assert "torch sees no GPU here" in capsys.readouterr().err
    assert not trials.exists()


def test_a_short_run_goes_through_all_of_it_on_the_cpu(trials: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAST", "1")
    plan = gpu._plan()
    assert plan is not None
    monkeypatch.setattr(gpu, "PARITY_ROWS", 32)
    monkeypatch.setattr(gpu, "_plan", lambda: dataclasses.replace(plan, batches=(8, 32), seconds=0.0))
    assert gpu.main() == 0
    found = report.read(trials / "gpu.json")
    assert found.holds
    steps = found.figures["step_h64"]
    for figure in ("b8_float32_events_per_s", "b32_float16_device_roofline", "b32_float32_onnx_p99_us"):
        assert steps[figure] > 0
    assert found.figures["windows_h64"]["b32_float32_nn_lstm_events_per_s"] > 0
    assert "step_h64.b32_float32_events_per_s" in page.section(found)
