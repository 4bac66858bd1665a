"""A student comes nearer to its teacher, and what does not fit together is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture import Architecture
from models.network import Heads
from models.release import Release, write
from models.replay.source import SourceProblem
from models.replay.train import Recipe, Trained, train
from models.shrink import distil
from models.tasks import split
from tests.models.releases import card
from tests.models.replay.shop import sequences
from tests.models.replay.test_train import EVENTS, RECIPE, UNTIL

KINDS = split(("buy_7d", "session_buy", "orders_7d"))


def logits(rows: int, seed: int) -> Heads:
    torch.manual_seed(seed)
    return Heads(torch.randn(rows, 13), torch.randn(rows, 5), torch.randn(rows, 2))


def test_nothing_is_left_to_learn_when_student_and_teacher_agree() -> None:
    taught = logits(8, 0)
    student = Heads(*(part.clone().requires_grad_() for part in taught))
    distil.loss(student, taught, KINDS).sum().backward()  # type: ignore[no-untyped-call]
    for part in student:
        assert part.grad is not None
        assert torch.allclose(part.grad, torch.zeros_like(part), atol=1e-5)


def test_the_loss_is_lowest_at_the_teacher() -> None:
    taught, other = logits(8, 0), logits(8, 1)
    assert (distil.loss(taught, taught, KINDS) < distil.loss(other, taught, KINDS)).all()


def released(folder: Path, trained: Trained, recipe: Recipe, **changes: Any) -> Release:
    fields: Mapping[str, Any] = {
        "categories": trained.words.names,
        "features": recipe.features,
        "architecture": trained.architecture,
        "calibration": trained.calibration,
        "tasks": trained.tasks,
        **changes,
    }
    return write(str(folder), card(**fields), trained.weights)


def test_a_student_learns_from_its_teacher(tmp_path: Path) -> None:
    log = sequences(EVENTS)
    taught = released(tmp_path, train(log, UNTIL, RECIPE, 0), RECIPE)
    small = replace(RECIPE, architecture=replace(RECIPE.architecture, sizes=(4,)))
    alone, student = train(log, UNTIL, small, 1), train(log, UNTIL, small, 1, teach=taught)
    assert student.architecture.sizes == (4,)
    assert any((alone.weights[name] != student.weights[name]).any() for name in alone.weights)


def test_a_teacher_of_another_subject_is_refused(tmp_path: Path) -> None:
    trained = train(sequences(EVENTS), UNTIL, RECIPE, 0)
    taught = released(tmp_path, trained, RECIPE)
    network = distil.teacher(taught, RECIPE.features.fingerprint(), trained.words.names, trained.tasks)
    assert isinstance(network.architecture, Architecture)
    with pytest.raises(SourceProblem, match="its tasks are not those of the student: train the student"):
        distil.teacher(taught, RECIPE.features.fingerprint(), trained.words.names, ("buy_7d",))
