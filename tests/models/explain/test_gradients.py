"""Integrated gradients: complete, zero where nothing is, and those of captum on a forward pass written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from models import engine
from models.architecture import LEAST_WEIGHT
from models.explain.gradients import ENOUGH, NAMES, attribute, network_of
from models.featurizer import Features
from models.network import IntentNetwork
from models.survival import SURVIVAL_DAYS, TASKS
from tests.models.releases import SKEWED, card, random_inputs, untrained, written

EVENTS = 7


def one_shopper(seed: int = 0, events: int = EVENTS) -> Features:
    ids, dense, _ = random_inputs(card(), events, seed)
    return Features(ids, dense)


def lively(seed: int = 0) -> IntentNetwork:
    """Random weights, larger than at the start of training, so that scores bend along the path."""
    network = untrained(card(), seed)
    with torch.no_grad():
        for table in network.embed:
            table.weight.mul_(8.0)  # type: ignore[operator, union-attr]
        for name, value in network.named_parameters():
            if name.startswith(("body", "hazard")):
                value.mul_(2.0)
        network.hazard.bias.sub_(3.0)  # scores away from 0 and 1
    return network.eval()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("events", [1, 2, 30])
def test_the_contributions_sum_to_what_the_score_is_above_its_baseline(task: str, events: int) -> None:
    found = attribute(lively(), one_shopper(events=events), task)
    assert found.contributions.shape == (events, len(NAMES))
    assert found.error <= ENOUGH
    assert found.contributions.sum() == pytest.approx(found.score - found.baseline, abs=ENOUGH)
    assert found.events.sum() == pytest.approx(sum(found.inputs.values()))
    assert np.abs(found.contributions).sum() > 10 * ENOUGH


def test_a_few_steps_become_as_many_as_are_needed() -> None:
    assert attribute(lively(), one_shopper(), "buy_7d", steps=1).error <= ENOUGH


def test_the_score_is_the_engine_s(tmp_path: object) -> None:
    release = written(str(tmp_path), calibration=SKEWED)
    features, backend = one_shopper(), engine.load(release.uri)
    hidden = np.zeros((1, backend.state_size), np.float32)
    for row in range(EVENTS):
        trunk, hidden = backend.step(features.ids[row : row + 1], features.dense[row : row + 1], hidden)
    for at, task in enumerate(TASKS):
        found = attribute(network_of(release), features, task)
        assert found.score == pytest.approx(float(backend.heads(trunk).tasks[0, at]), abs=1e-5)


def test_what_is_zero_has_no_part_in_it() -> None:
    features = one_shopper()
    features.dense[:, 3] = 0.0
    features.dense[2] = 0.0
    found = attribute(lively(), features, "buy_7d")
    assert not found.contributions[:, NAMES.index("log_since_previous")].any()
    assert not found.contributions[2, 5:].any()


def test_they_are_those_of_captum() -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    network, features = lively(), one_shopper()
    ids = torch.from_numpy(features.ids.astype(np.int64))
    layers = [part for part in network.modules() if isinstance(part, torch.nn.LSTM)]
    with torch.no_grad():
        tables = [table(ids[:, column]) for column, table in enumerate(network.embed)]
        whole = torch.cat([*tables, torch.from_numpy(features.dense), network.memory(ids[:, 1])], 1)[None]
    dense = whole.shape[2] - network.architecture.memory

    def score(inputs: Tensor) -> Tensor:
        """buy_7d of (B, T, width) by nothing but torch's LSTM and a loop."""
        read, recalled = inputs[:, :, :dense], inputs[:, :, dense:]
        output = read.transpose(0, 1)
        for layer in layers:
            output, _ = layer(output)
        mean, weight = torch.zeros_like(recalled[:, 0]), torch.zeros(())
        for step in range(EVENTS):
            rate = network.architecture.memory_rate * float(ids[step, 1] != 0)
            mean, weight = mean + rate * (recalled[:, step] - mean), weight + rate * (1 - weight)
        width = network.spec.dense_size
        body = torch.cat([output[-1], read[:, -1, -width:], mean / weight.clamp(min=LEAST_WEIGHT)], 1)
        logits = network.heads(body)[0]
        return 1 - torch.exp(-softplus(logits)[:, : SURVIVAL_DAYS.index(7) + 1].sum(1))

    theirs = captum.IntegratedGradients(score).attribute(whole, n_steps=128, method="gausslegendre")[0]
    ours = attribute(network, features, "buy_7d", steps=128)
    np.testing.assert_allclose(ours.events, theirs.sum(1).numpy(), atol=2e-5)
    width = network.spec.dense_size
    np.testing.assert_allclose(ours.contributions[:, 5:], theirs[:, dense - width : dense].numpy(), atol=2e-5)


def test_nothing_to_explain_is_refused() -> None:
    with pytest.raises(ValueError, match="no events"):
        attribute(lively(), one_shopper(events=0), "buy_7d")
    with pytest.raises(ValueError, match="task 'click'"):
        attribute(lively(), one_shopper(), "click")
