"""GRU4Rec's official PyTorch code as a model of ours to measure: it learns from Sessions and scores items.

Nothing of it is in this repository: its licence allows research and education only. GRU4REC names the folder of a
checkout of github.com/hidasib/GRU4Rec_PyTorch_Official; without it nothing is measured against it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from models.families.interface import Floats, Sessions
from models.families.sessions import batches, lengths

VARIABLE = "GRU4REC"
FILE = "gru4rec_pytorch.py"
AHEAD = 100  # batches that negatives are drawn for at once; its default, ten million draws, is more than an epoch here uses


class NoCheckout(Exception):
    """The code is not on this machine; the message says how to get it."""


def checkout() -> Path:
    """Its file. Raises NoCheckout."""
    file = Path(os.environ.get(VARIABLE) or ".") / FILE
    if not file.is_file():
        raise NoCheckout(
            f"not measured: {VARIABLE} names no folder with {FILE}; clone "
            f"github.com/hidasib/GRU4Rec_PyTorch_Official and say {VARIABLE}=its folder"
        )
    return file


def fingerprint(file: Path) -> str:
    """The beginning of the file's SHA-256, since a checkout need not be a git folder."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


class Official:
    """settings: of its class GRU4Rec."""

    logits = True

    def __init__(self, file: Path, **settings: Any) -> None:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._model = module.GRU4Rec(device=torch.device("cpu"), **settings)

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """Learns from whole sessions, oldest first. Raises ValueError when an item is in none of them, or it diverged."""
        import pandas as pd

        if len(np.unique(sessions.items)) < sessions.n_items:
            raise ValueError(
                "sessions: the official code scores no item that it did not see; number those only"
            )
        # Its way of drawing weights in numpy ("compatibility mode") fails with numpy 2, so torch draws them.
        torch.manual_seed(seed)
        owner = np.repeat(np.arange(len(sessions)), lengths(sessions))
        columns = {"SessionId": owner, "ItemId": sessions.items, "Time": np.arange(len(owner))}
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self._model.fit(
                pd.DataFrame(columns),
                compatibility_mode=False,
                sample_cache_max_size=AHEAD * self._model.n_sample,
            )
        if self._model.error_during_train:
            raise ValueError(f"the official code did not end its training:\n{said.getvalue()}")
        number = self._model.data_iterator.itemidmap[np.arange(sessions.n_items)]
        self._number = number.to_numpy().astype(np.int64)
        self._model.model.eval()
        return self

    @torch.inference_mode()
    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """Scores (b, n_items) as a Ranker gives them."""
        network = self._model.model
        for some in batches(sessions):
            sizes, starts = lengths(some), some.bounds[:-1]
            hidden = [torch.zeros(len(some), size) for size in self._model.layers]
            last = torch.zeros_like(hidden[-1])
            for at in range(int(sizes.max())):
                items = self._number[some.items[starts + np.minimum(at, sizes - 1)]]
                vectors, table, biases = network.embed(torch.from_numpy(items), hidden, None)
                output = network.hidden_step(vectors, hidden)
                ends = torch.from_numpy(sizes - 1 == at)
                last[ends] = output[ends]
            yield network.score_items(last, table, biases).numpy()[:, self._number]
