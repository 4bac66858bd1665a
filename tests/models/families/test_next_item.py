"""The sampled softmax is the full one, but for chance; its batches hold every session once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.families.gru4rec import GRU4Rec
from models.families.learning import Batch, Learning, Negatives, batch_of, epoch_rows
from models.families.next_item import NextItem
from models.families.sessions import sessions_of
from tests.models.families.shop import N_ITEMS, browsed


def network_and_batch() -> tuple[NextItem, Batch]:
    torch.manual_seed(0)
    model = GRU4Rec(width=8)
    model._make(N_ITEMS)
    torch.nn.init.normal_(model.network.vectors.weight)
    torch.nn.init.normal_(model.network.biases.weight)
    return model.network, batch_of(browsed(), np.arange(40), Learning())


def gradient(network: NextItem, loss: torch.Tensor) -> torch.Tensor:
    parts = torch.autograd.grad(loss, list(network.parameters()))
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("flatter", [0.0, 0.75, 1.0])
def test_sampled_softmax_tends_to_the_full_one(flatter: float) -> None:
    """Whatever the draws prefer: loss and gradient of many draws are those of all items, those of few point there."""
    network, batch = network_and_batch()
    full = network.loss(*batch)
    wanted = gradient(network, full)
    away = {}
    for draws in (64, 100_000):
        draw = Negatives(browsed(), Learning(negatives=draws, flatter=flatter), seed=1)
        loss = network.sampled_loss(*batch, *draw())
        got = gradient(network, loss)
        away[draws] = float((got - wanted).norm() / wanted.norm())
        assert torch.cosine_similarity(got, wanted, 0) > 0.6
    assert away[100_000] < 0.05 < away[64]
    assert abs(float(loss.detach() - full.detach())) < 0.01


def test_without_its_correction_it_does_not() -> None:
    network, batch = network_and_batch()
    draw = Negatives(browsed(), Learning(negatives=100_000, flatter=1.0), seed=1)
    drawn, log_rates = draw()
    expected = torch.bincount(torch.from_numpy(browsed().items).long(), minlength=N_ITEMS)[drawn]
    times = log_rates + (100_000 * expected / expected.sum()).log()
    flat = times - np.log(100_000 / N_ITEMS)
    wanted = gradient(network, network.loss(*batch))
    got = gradient(network, network.sampled_loss(*batch, drawn, flat))
    assert float((got - wanted).norm() / wanted.norm()) > 0.05


def test_sums_over_draws_are_right_in_the_mean() -> None:
    """E Σ exp(score + log_rate) over the items drawn = Σ exp(score) over all items."""
    network, _ = network_and_batch()
    scores = network.biases.weight.detach()[:, 0]
    draw = Negatives(browsed(), Learning(negatives=10), seed=2)
    sums = [float((scores[drawn] + rates).exp().sum()) for drawn, rates in (draw() for _ in range(4000))]
    assert np.mean(sums) == pytest.approx(float(scores.exp().sum()), rel=0.03)


def test_negatives_are_distinct_and_an_item_drawn_twice_counts_twice() -> None:
    draw = Negatives(sessions_of([[0, 1, 2, 3]], 4), Learning(negatives=1000), seed=1)
    drawn, log_rates = draw()
    assert drawn.tolist() == [0, 1, 2, 3]
    times = (log_rates.double().exp() * 250).round()  # each is expected 250 times
    assert times.sum() == 1000
    assert len(set(times.tolist())) > 1


def test_a_true_item_that_was_drawn_is_in_the_sum_once() -> None:
    network, batch = network_and_batch()
    every = torch.arange(N_ITEMS)
    loss = network.sampled_loss(*batch, every, torch.zeros(N_ITEMS))
    assert float(loss.detach()) == pytest.approx(float(network.loss(*batch).detach()), rel=1e-5)


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=20), st.integers(1, 40)
)
def test_batches_hold_every_session_once_and_its_last_items(lists: list[list[int]], cells: int) -> None:
    how = Learning(cells=cells, longest=4)
    sessions = sessions_of(lists, 6)
    seen = []
    for rows in epoch_rows(sessions, how, np.random.default_rng(0)):
        batch = batch_of(sessions, rows, how)
        for row, items, told in zip(rows, batch.items, batch.told, strict=True):
            wanted = lists[row][-5:]
            assert items[: len(wanted)].tolist() == wanted
            assert told.tolist() == [at < len(wanted) - 1 for at in range(len(told))]
            seen.append(row)
    assert sorted(seen) == [row for row, one in enumerate(lists) if len(one) > 1]


def test_next_to_nothing_is_padding() -> None:
    sessions = browsed(2000)
    how = Learning(cells=512)
    batches = [batch_of(sessions, rows, how) for rows in epoch_rows(sessions, how, np.random.default_rng(0))]
    cells = sum(batch.told.numel() for batch in batches)
    assert sum(int(batch.told.sum()) for batch in batches) > 0.95 * cells


def test_recent_sessions_weigh_more() -> None:
    sessions = browsed(100)
    weights = batch_of(sessions, np.array([0, 50, 99]), Learning(age=0.5)).weights[:, 0]
    np.testing.assert_allclose(weights, np.exp(np.array([-2, -1, -0.02])), rtol=1e-5)
