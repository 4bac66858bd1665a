"""A process group of one trains as one process does; the gradient of two is that of all their rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from models.replay.train import train
from models.replay.world import no_loss
from models.scale.together import Together
from tests.models.replay.shop import sequences
from tests.models.replay.test_train import EVENTS, RECIPE, UNTIL, same, trained


@pytest.fixture
def group_of_one(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group_of_one")
def test_a_group_of_one_learns_what_one_process_learns() -> None:
    found = train(sequences(EVENTS), UNTIL, RECIPE, 0, world=Together())
    assert same(found, trained())
    assert found.epochs[-1].held_out_loss == trained().epochs[-1].held_out_loss


ROWS = torch.arange(12.0).reshape(6, 2)
SHARE = {0: (ROWS[:4], ROWS[4:5]), 1: (ROWS[5:6],)}  # the second one runs out first


def _loss(network: nn.Module, rows: Tensor) -> tuple[Tensor, float]:
    return (network(rows) ** 2).sum(), float(len(rows))


def _network() -> nn.Module:
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.fill_(0.5)
        network.bias.fill_(-1.0)
    return network


def _learn(rank: int, meet: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    world, network = Together(), _network()
    evaluate, found = world.shared(network), []
    for rows in world.in_step(SHARE[rank]):
        network.zero_grad()
        loss, weight = evaluate(
            (lambda: no_loss(network)) if rows is None else (lambda rows=rows: _loss(network, rows))
        )
        (loss / (world.sum(weight) / world.size)).backward()
        found.append(network.weight.grad.clone())
    torch.save(found, f"{meet}-{rank}")
    dist.destroy_process_group()


def test_an_update_of_two_is_that_of_all_their_rows(tmp_path: Path) -> None:
    mp.spawn(_learn, (str(tmp_path / "meet"),), nprocs=2)
    wanted = []
    for rows in (ROWS[[0, 1, 2, 3, 5]], ROWS[4:5]):
        network = _network()
        loss, weight = _loss(network, rows)
        (loss / weight).backward()
        wanted.append(network.weight.grad)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"meet-{rank}")
        assert len(found) == 2
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, theirs)
