"""Blend: several rankers as one, by the weighted sum of their log-probabilities.

    log P(item) = Σ weight · log P_member(item) + constant

The weights are those of a conditional logit: the ones, none below 0, under which the items that held-out sessions went on
with are most probable. So they come from sessions that no member has seen, and members that add nothing get nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from models.families import store
from models.families.interface import Array, Floats, Ranker, Sessions
from models.families.rankers import load
from models.families.sessions import checked, latest, questions

CANDIDATES = 50  # of each member: the weights are chosen on the union of these


class Blend:
    """See the module.

    members: rankers, fitted or not. weights: one each; None where `fit` or `weigh` is to find them.

    held_out: share of the latest sessions that `fit` chooses weights on; then the members learn from all sessions.
    floor: share of a member's probability that all items have alike, so that one it has never seen stays possible.
    """

    def __init__(
        self,
        members: Sequence[Ranker],
        weights: Sequence[float] | None = None,
        held_out: float = 0.05,
        floor: float = 0.3,
    ) -> None:
        if not members or (weights is not None and len(weights) != len(members)):
            raise ValueError(
                f"blend: {len(members)} members and weights {weights}; want as many, at least one"
            )
        self.members, self.held_out, self.floor = list(members), held_out, floor
        self.weights = None if weights is None else np.asarray(weights, np.float32)

    logits = True

    @property
    def n_items(self) -> int:
        return self.members[0].n_items

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """See Ranker. Every member is fitted twice unless the weights were given."""
        if self.weights is None:
            rest, held = latest(checked(sessions), self.held_out)
            for member in self.members:
                member.fit(rest, seed)
            self.weigh(*questions(held))
        for member in self.members:
            member.fit(sessions, seed)
        return self

    def weigh(self, asked: Sessions, targets: Array) -> Self:
        """Finds the weights of fitted members on sessions that they have not learned from.

        Raises ValueError when no member names the true item of any question.
        """
        found = list(self._candidates(asked, targets))
        seen, twice = (np.concatenate([one[part] for one in found]) for part in (0, 1))
        if not len(seen):
            raise ValueError(
                "blend: no member names what came next in any held-out session; hold out more of them"
            )

        def loss(weights: Array) -> tuple[float, Array]:
            probable = log_softmax(np.where(twice, -np.inf, seen @ weights), 1)
            gradient = np.einsum("qc,qcm->m", np.exp(probable), seen) - seen[:, 0].sum(0)
            return -float(probable[:, 0].mean()), gradient / len(seen)

        start = np.full(len(self.members), 1 / len(self.members))
        best = minimize(loss, start, jac=True, bounds=[(0, None)] * len(start))
        self.weights = best.x.astype(np.float32)
        return self

    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """See Ranker. Raises ValueError when there are no weights yet."""
        if self.weights is None:
            raise ValueError("blend: no weights; fit it, or weigh its members on held-out sessions")
        for parts in self._parts(sessions):
            scores = np.zeros_like(parts[0])
            for weight, part in zip(self.weights, parts, strict=True):
                scores += weight * part
            yield scores

    def _parts(self, sessions: Sessions) -> Iterator[list[Floats]]:
        """For each member log-probabilities (b, n_items), but for a constant in each row, which ranks nothing."""
        for scores in zip(*(member.predict(sessions) for member in self.members), strict=True):
            yield [self._probable(*pair) for pair in zip(self.members, scores, strict=True)]

    def _probable(self, member: Ranker, scores: Floats) -> Floats:
        if member.logits:
            return scores
        total = np.maximum(scores.sum(1, keepdims=True), np.finfo(np.float32).tiny)
        probable: Floats = scores * ((1 - self.floor) / total) + np.float32(self.floor / self.n_items)
        return np.log(probable, out=probable)

    def _candidates(self, asked: Sessions, targets: Array) -> Iterator[tuple[Floats, Array]]:
        """Log-probabilities (q, candidates, members), the true item's first; bool (q, candidates), named before.

        Questions whose true item no member names are left out: among the candidates it would be the one that all find
        unlikely, and the weights would learn to tell it by that.
        """
        start, most = 0, min(CANDIDATES, self.n_items)
        for parts in map(np.stack, self._parts(asked)):
            rows = parts.shape[1]
            named = np.concatenate(list(np.argpartition(-parts, most - 1, 2)[:, :, :most]), 1)
            true = np.asarray(targets[start : start + rows, None], np.int64)
            start += rows
            items = np.concatenate([true, named], 1)[(named == true).any(1)]
            order = np.argsort(items, 1, kind="stable")
            ordered = np.take_along_axis(items, order, 1)
            twice = np.zeros(items.shape, bool)
            np.put_along_axis(twice, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
            kept = parts[:, (named == true).any(1)]
            yield np.take_along_axis(kept, items[None], 2).transpose(1, 2, 0), twice

    def export(self, folder: Path) -> None:
        """See Ranker; each member has a folder of its own within."""
        if self.weights is None:
            raise ValueError("blend: no weights; fit it, or weigh its members on held-out sessions")
        settings = {"members": len(self.members), "held_out": self.held_out, "floor": self.floor}
        store.write(folder, "blend", settings, {"weights": self.weights})
        for number, member in enumerate(self.members):
            member.export(folder / f"member-{number}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See Ranker."""
        settings, arrays = store.read(folder, "blend")
        members = [load(folder / f"member-{number}") for number in range(settings.pop("members"))]
        return cls(members, arrays["weights"].tolist(), **settings)
