"""How NextItem networks learn: batches of sessions of like length, Adam with a schedule, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.families.interface import Sessions
from models.families.next_item import NextItem
from models.families.sessions import latest, lengths

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Learning:
    """Settings of training.

    cells: items of a batch; cells × items to choose from × 4 bytes should stay below 32 MB, beyond which every product
    is given fresh memory, page by page.
    longest: only the last so many items of a session are learned from.
    negatives: draws that a batch shares, None for the full softmax. They are drawn by count to the power `flatter`.
    age: sessions weigh e times less for every `age` of all sessions that came after; None: all the same.
    held_out, patience: the latest share of the sessions decides when to stop, after so many epochs without gain; with 0
    all sessions are learned from for all epochs.
    """

    epochs: int = 10
    rate: float = 2e-3
    decay: float = 0.0  # of weights, as AdamW has it
    warm: float = 0.05  # share of the steps in which the rate rises; then it falls as a cosine, to 0
    clip: float = 1.0  # largest norm of a gradient
    cells: int = 2048
    longest: int = 50
    negatives: int | None = None
    flatter: float = 0.75
    age: float | None = None
    held_out: float = 0.0
    patience: int = 2


class Batch(NamedTuple):
    """items: int64 (B, T+1), 0 beyond a session's end. told: bool (B, T), where a next item is. weights: (B, T)."""

    items: Tensor
    told: Tensor
    weights: Tensor


class Speed(NamedTuple):
    """Items of training sessions learned from per second, and the share of the time that making batches took."""

    events_per_s: float
    loader_share: float
    epochs: int


def learn(
    network: NextItem,
    sessions: Sessions,
    how: Learning,
    seed: int,
    score: Callable[[Sessions], float],
) -> Speed:
    """Trains in place. score: of held-out sessions, higher is better; the network is left as it was at its best.

    Raises ValueError when no session has two items, or the loss is no longer a number.
    """
    held = None
    if how.held_out:
        sessions, held = latest(sessions, how.held_out)
    if lengths(sessions).max() < 2:
        raise ValueError("sessions: none has two items, so there is no next item to learn")
    step, rng = Step(network, sessions, how, seed), np.random.default_rng(seed)
    events, loading, learning = 0, 0.0, 0.0
    best, best_epoch, kept = -math.inf, 0, None
    for epoch in range(how.epochs):
        network.train()
        begun = time.perf_counter()
        for rows in epoch_rows(sessions, how, rng):
            batch = batch_of(sessions, rows, how)
            made = time.perf_counter()
            loss = step(batch)
            done = time.perf_counter()
            loading, learning, begun = loading + made - begun, learning + done - made, done
            events += int(batch.told.sum()) + len(rows)
        if not math.isfinite(loss):
            raise ValueError(f"training diverged in epoch {epoch}: the loss is {loss}; lower rate={how.rate}")
        if held is not None and (reached := score(held)) > best:
            best, best_epoch = reached, epoch
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        elif held is not None and epoch - best_epoch >= how.patience:
            break
    if kept is not None:
        network.load_state_dict(kept)
    network.eval()
    took = loading + learning
    return Speed(events / took, loading / took, epoch + 1)


class Step:
    """One step of AdamW on a batch, along the schedule; called, it returns the loss."""

    def __init__(self, network: NextItem, sessions: Sessions, how: Learning, seed: int) -> None:
        self.network, self.clip = network, how.clip
        self.optimizer = torch.optim.AdamW(network.parameters(), how.rate, weight_decay=how.decay, fused=True)
        steps = how.epochs * sum(1 for _ in epoch_rows(sessions, how, np.random.default_rng(seed)))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _rate(step / steps, how.warm)
        )
        self.draw = Negatives(sessions, how, seed) if how.negatives else None

    def __call__(self, batch: Batch) -> float:
        loss = (
            self.network.loss(*batch)
            if self.draw is None
            else self.network.sampled_loss(*batch, *self.draw())
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()


def batch_of(sessions: Sessions, rows: Rows, how: Learning) -> Batch:
    """The last items of some sessions, side by side."""
    ends = sessions.bounds[1:][rows]
    sizes = np.minimum(ends - sessions.bounds[:-1][rows], how.longest + 1)
    at = (ends - sizes)[:, None] + np.arange(sizes.max())
    here = at < ends[:, None]
    items = np.where(here, sessions.items[np.where(here, at, 0)], 0).astype(np.int64)
    weights = np.ones(len(rows), np.float32)
    if how.age is not None:
        weights = np.exp((rows - len(sessions)) / (how.age * len(sessions))).astype(np.float32)
    weights = np.broadcast_to(weights[:, None], (len(rows), items.shape[1] - 1)).copy()
    return Batch(torch.from_numpy(items), torch.from_numpy(here[:, 1:].copy()), torch.from_numpy(weights))


class Negatives:
    """Draws of items that all rows of a batch share.

    An item that was drawn several times stands once, with that much more weight: the same sum with fewer products. Of
    2,048 draws from YooChoose's 2,933 items some 1,330 are left, and a step takes 0.84 of the time with 32 items to
    predict, 0.69 with 512.
    """

    def __init__(self, sessions: Sessions, how: Learning, seed: int) -> None:
        counts = np.bincount(sessions.items, minlength=sessions.n_items) ** how.flatter
        shares = counts / counts.sum()
        self.draws = how.negatives or 0
        self._rng = np.random.default_rng([seed, 1])
        self._upto = np.cumsum(shares)
        self._upto[-1] = 1.0
        with np.errstate(divide="ignore"):
            self._log_expected = np.log(shares * self.draws)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Items int64 (M,) and log_rates float32 (M,), as NextItem.sampled_loss wants them."""
        draws = np.searchsorted(self._upto, np.sort(self._rng.random(self.draws)), side="right")
        drawn, times = np.unique(draws, return_counts=True)
        log_rates = np.log(times) - self._log_expected[drawn]
        return torch.from_numpy(drawn), torch.from_numpy(log_rates.astype(np.float32))


def epoch_rows(sessions: Sessions, how: Learning, rng: np.random.Generator) -> Iterator[Rows]:
    """Sessions of an epoch, in batches of about `cells` items.

    Sessions that stand side by side are as long as each other, or nearly so: next to nothing is padding.
    """
    sizes = np.minimum(lengths(sessions), how.longest + 1)
    rows = rng.permutation(len(sizes))
    rows = rows[np.argsort(sizes[rows], kind="stable")]
    rows = rows[sizes[rows] > 1]
    if not len(rows):
        return
    batch = np.cumsum(sizes[rows]) // how.cells
    cuts = np.flatnonzero(np.diff(batch)) + 1
    parts = np.split(rows, cuts)
    for place in rng.permutation(len(parts)):
        yield parts[place]


def _rate(done: float, warm: float) -> float:
    """Share of the full learning rate after a share of all steps."""
    if done < warm:
        return done / warm
    return 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))
