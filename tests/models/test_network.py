"""One pass over packed shoppers equals stepping through their events with the carried state."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.architecture import Architecture
from models.featurizer import FeatureSpec, bucket
from models.network import IntentNetwork, network_from, pack_order, weights_of
from tests.models.releases import TRUNKS

SPEC = FeatureSpec(item_buckets=64, category_buckets=16)
lengths_of_shoppers = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def random_events(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, size, n) for size in SPEC.vocabulary()], 1).astype(np.int32)
    return torch.from_numpy(ids), torch.from_numpy(rng.normal(size=(n, SPEC.dense_size)).astype(np.float32))


@given(lengths_of_shoppers)
def test_pack_order_visits_every_event_round_by_round(lengths: list[int]) -> None:
    packed = pack_order(np.array(lengths))
    assert sorted(packed.order) == list(range(sum(lengths)))
    starts = np.cumsum(lengths) - lengths
    at = 0
    for turn, size in enumerate(packed.batch_sizes):
        assert (packed.order[at : at + size] == starts[packed.shoppers[:size]] + turn).all()
        at += size


def test_pack_order_refuses_shoppers_without_events() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        pack_order(np.array([3, 0]))


@pytest.mark.parametrize("trunk", TRUNKS)
@settings(max_examples=20)
@given(lengths=lengths_of_shoppers)
def test_carried_state_equals_the_full_pass(trunk: str, lengths: list[int]) -> None:
    torch.manual_seed(0)
    network = IntentNetwork(SPEC, TRUNKS[trunk], 5).eval()
    ids, dense = random_events(sum(lengths))
    packed = pack_order(np.array(lengths))
    order = torch.from_numpy(packed.order)
    with torch.inference_mode():
        trunk, final = network(ids[order], dense[order], torch.from_numpy(packed.batch_sizes))
        hidden = torch.zeros(len(lengths), network.architecture.state_size)
        at = 0
        for size in packed.batch_sizes.tolist():
            rows = order[at : at + size]
            stepped, hidden[:size] = network.step(ids[rows], dense[rows], hidden[:size])
            assert torch.allclose(stepped, trunk[at : at + size], atol=1e-5)
            at += size
    assert torch.allclose(hidden, final, atol=1e-5)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_pass_can_go_on_from_the_state_of_another(trunk: str) -> None:
    network = IntentNetwork(SPEC, TRUNKS[trunk], 5).eval()
    ids, dense = random_events(6)
    sizes = torch.tensor([2, 2, 2])
    with torch.inference_mode():
        whole, _ = network(ids, dense, sizes)
        _, middle = network(ids[:2], dense[:2], sizes[:1])
        rest, _ = network(ids[2:], dense[2:], sizes[1:], middle)
    assert torch.allclose(whole[2:], rest, atol=1e-6)


def test_weights_survive_the_way_through_numpy() -> None:
    architecture = Architecture(sizes=(8, 8), head=8, memory=4)
    network = IntentNetwork(SPEC, architecture, 5).eval()
    again = network_from(SPEC, architecture, 5, weights_of(network))
    ids, dense = random_events(3)
    hidden = torch.zeros(3, architecture.state_size)
    with torch.inference_mode():
        assert torch.equal(network.step(ids, dense, hidden)[0], again.step(ids, dense, hidden)[0])


def test_memory_is_the_mean_of_recent_categories_and_others_leave_it() -> None:
    network = IntentNetwork(SPEC, Architecture(sizes=(8, 8), head=8, memory=4, memory_rate=0.2), 5).eval()
    categories = [3, 5, 0, 3, 3]
    ids = torch.zeros(5, 4, dtype=torch.int32)
    ids[:, 1] = torch.tensor(categories)
    with torch.inference_mode():
        trunk, _ = network(ids, torch.zeros(5, SPEC.dense_size), torch.ones(5, dtype=torch.int64))
    shares: list[torch.Tensor] = []
    for stop in range(1, 6):
        seen = [category for category in categories[:stop] if category]
        weights = torch.tensor([0.8 ** (len(seen) - 1 - place) for place in range(len(seen))])
        shares.append((weights[:, None] * network.memory.weight[seen]).sum(0) / weights.sum())
    assert torch.allclose(trunk[:, -4:], torch.stack(shares).detach(), atol=1e-5)


def test_an_untrained_category_head_names_what_is_popular_then_what_the_shopper_buys() -> None:
    spec = FeatureSpec()
    hashes = np.array([11, 22, 33, 44, 0], np.uint32)
    torch.manual_seed(0)
    network = IntentNetwork(spec, Architecture(), 5).eval()
    network.start_from(hashes, np.array([0.1, 0.3, 0.25, 0.25, 0.1]))
    network.categories.weight.data[:, : network.architecture.head] = 0
    ids = torch.zeros(1, 4, dtype=torch.int32)
    none, dense = torch.zeros(1, network.architecture.state_size), torch.zeros(1, spec.dense_size)
    with torch.inference_mode():
        trunk, state = network.step(ids, dense, none)
        assert network.heads(trunk)[1].argmax() == 1
        ids[0, 1] = int(bucket(hashes, spec.category_buckets)[3])
        for _ in range(3):
            trunk, state = network.step(ids, dense, state)
        assert network.heads(trunk)[1].argmax() == 3
