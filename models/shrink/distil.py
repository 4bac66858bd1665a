"""Distillation (Hinton et al. 2015): a small network learns from a large one's scores beside what happened.

A score says more than an outcome: of a shopper who did not buy, how near it was. The teacher reads the same events with its
own carried state, in the student's batches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax, softplus

from models.network import Heads, IntentNetwork, network_from
from models.release import Release
from models.replay.source import SourceProblem
from models.tasks import MOST_LOG, Split


def teacher(
    release: Release, fingerprint: str, categories: tuple[str, ...], tasks: tuple[str, ...]
) -> IntentNetwork:
    """The release's network, calibrated, for a student with these features, categories and tasks.

    Raises SourceProblem that says what differs.
    """
    card = release.card
    mend = "train the student on the interval and with the recipe of its teacher, but for the architecture"
    for what, his, ours in (
        ("features", card.features.fingerprint(), fingerprint),
        ("tasks", card.tasks, tasks),
        ("categories", card.categories, categories),
    ):
        if his != ours:
            raise SourceProblem(f"--teacher {release.id}: its {what} are not those of the student: {mend}")
    folded = card.calibration.folded(release.weights())
    return network_from(card.features, card.architecture, len(card.categories), folded, card.tasks)


def loss(student: Heads, taught: Heads, kinds: Split) -> Tensor:
    """(N,) cross entropy of the student's scores against the teacher's, of every head.

    An interval of the survival curve counts as much as the teacher thinks that the shopper gets that far.
    """
    reached = torch.exp(-torch.cumsum(softplus(taught.hazard), 1))
    reached = torch.cat([torch.ones_like(reached[:, :1]), reached[:, :-1]], 1)
    curve = _chances(student.hazard, taught.hazard) * reached
    category = -(taught.category.softmax(1) * log_softmax(student.category, 1))
    total = curve.sum(1) + category.sum(1)
    ours, theirs = (torch.split(heads.extra, kinds.sizes, 1) for heads in (student, taught))
    chances = _chances(ours[0], theirs[0])
    wanted, said = (part[1].clamp(max=MOST_LOG) for part in (theirs, ours))
    unit = wanted.exp().mean(0, keepdim=True).clamp(min=1.0)  # money weighs no more than a count
    amounts = (said.exp() - wanted.exp() * said) / unit
    types = -(theirs[2].softmax(1) * log_softmax(ours[2], 1))
    return total + chances.sum(1) + amounts.sum(1) + types.sum(1)


def _chances(ours: Tensor, theirs: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(ours, theirs.sigmoid(), reduction="none")
