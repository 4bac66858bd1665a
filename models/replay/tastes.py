"""Where the network's memory starts: on the directions in which shoppers' tastes differ most.

The memory is a running mean of category embeddings, some 64 numbers for 300 categories. Random embeddings blur them; the
leading principal components of the shoppers' category shares keep what tells shoppers apart, and training goes on from there.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.featurizer import bucket
from models.network import IntentNetwork
from models.replay.dataset import PURCHASE, Sequences
from models.replay.labels import Vocabulary

Array = npt.NDArray[Any]

GAIN = 50.0  # logit of a category by its share in the memory, to begin with
_GROUP = 4096  # shoppers at a time


def spread(sequences: Sequences, words: Vocabulary) -> npt.NDArray[np.float64]:
    """How the shoppers' category shares differ from the overall ones: products of differences (C, C), summed up.

    A shopper weighs as much as its purchases tell: by their number.
    """
    codes = words.codes(sequences.events["category"])
    codes[sequences.events["type"] != PURCHASE] = -1
    found = np.zeros((len(words.names), len(words.names)))
    for first in range(0, len(sequences.users), _GROUP):
        stop = min(first + _GROUP, len(sequences.users))
        rows = np.arange(sequences.bounds[first], sequences.bounds[stop])
        rows = rows[codes[rows] >= 0]
        counts = np.zeros((stop - first, len(words.names)))
        np.add.at(counts, (sequences.shopper[rows] - first, codes[rows]), 1.0)
        bought = counts.sum(axis=1, keepdims=True)
        apart = np.sqrt(bought) * (counts / np.maximum(bought, 1.0) - words.shares)
        found += apart.T @ apart
    return found


def directions(spread: Array, most: int) -> npt.NDArray[np.float64]:
    """Orthonormal directions (C, min(most, C)) of a spread, strongest first."""
    return np.ascontiguousarray(np.linalg.eigh(spread)[1][:, ::-1][:, :most])


@torch.no_grad()
def start_memory(network: IntentNetwork, words: Vocabulary, basis: Array) -> None:
    """Sets memory and category head so that, before training, own shares raise a category's logit by GAIN times them."""
    size, head = network.architecture.memory, network.architecture.head
    vectors = np.zeros((len(words.names), size))
    vectors[:, : basis.shape[1]] = basis
    buckets = bucket(words.hashes, network.spec.category_buckets).astype(np.int64)
    network.memory.weight.zero_()
    network.memory.weight[torch.from_numpy(buckets[:-1])] = torch.from_numpy(vectors[:-1]).float()
    network.categories.weight[:, head:] = torch.from_numpy(GAIN * vectors).float()
    usual = np.log(words.shares) - GAIN * vectors @ (vectors.T @ words.shares)
    network.categories.bias.copy_(torch.from_numpy(usual))
