"""Which events of a scored batch concern a campaign at all, found by whole columns before `decide` walks the few.

Here is also what this is found from: the scored batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streams.compiled import CompiledPolicy
from streams.contacts import Said
from streams.lookups import LookUps

_COLUMNS = (
    "user_ids",
    "event_ids",
    "prediction_ids",
    "event_type",
    "event_time",
    "scores",
    "top",
    "top_scores",
    "category_ids",
    "device",
    "properties",
    "context",
)


class Texts(Sequence[Any]):
    """An Arrow column, read only where it is asked: the policy looks at few events of a batch."""

    def __init__(self, column: pa.Array) -> None:
        self._column = column

    def __getitem__(self, row: Any) -> Any:
        return Texts(self._column[row]) if isinstance(row, slice) else self._column[row].as_py()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._column.to_pylist())

    def __len__(self) -> int:
        return len(self._column)


@dataclass(slots=True)
class Scored:
    """A scored batch of N events in the order of the log: what the earlier stages hand to `decide`."""

    user_ids: Sequence[str]
    event_ids: Sequence[str]
    prediction_ids: Sequence[str]
    event_type: npt.NDArray[np.uint8]  # (N,) index in EVENT_TYPES
    event_time: npt.NDArray[np.int64]  # (N,) ms
    tasks: tuple[str, ...]
    scores: npt.NDArray[np.float32]  # (N, len(tasks)) probabilities
    top: npt.NDArray[np.int32]  # (N, K <= 5) most likely next categories, index in `categories`
    top_scores: npt.NDArray[np.float32]  # (N, K) their probabilities
    categories: Sequence[str]  # the release's category vocabulary
    popular: Mapping[str, Sequence[str]]  # item ids by category, most bought first
    release: str
    category_ids: Sequence[str | None]  # the events' own, as the shop names them
    device: npt.NDArray[np.uint8]  # (N,) index in DEVICES
    properties: Sequence[Sequence[tuple[str, str]]]  # the events' own
    context: npt.NDArray[Any]  # (N,) CONTEXT: what the shopper had done before the event
    look_ups: LookUps | None = None  # next items, where the release can tell them
    said: Sequence[Said] = field(default=())  # rows rising

    def between(self, first: int, stop: int) -> "Scored":
        """The events from `first` to before `stop`, of which nothing was said yet."""
        return replace(
            self,
            **{name: getattr(self, name)[first:stop] for name in _COLUMNS},
            said=(),
            look_ups=None if self.look_ups is None else self.look_ups.between(first, stop),
        )


@dataclass(slots=True)
class Candidates:
    """Columns (C,) of the events that meet a campaign's trigger; by row, then in the order of the policy."""

    row: npt.NDArray[np.intp]
    campaign: npt.NDArray[np.intp]
    score: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]  # expected value, shop's currency


def find_candidates(scored: Scored, policy: CompiledPolicy) -> Candidates:
    """The events that meet a trigger, found by whole columns: event type and bounds, then the expected value."""
    rows, campaigns, scores, values = [], [], [], []
    for at, campaign in enumerate(policy.campaigns):
        trigger, value = campaign.trigger, campaign.value
        column = scored.scores[:, policy.tasks.index(trigger.score)]
        meets = policy.types[at][scored.event_type]
        if trigger.at_least is not None:
            meets &= column >= np.float32(trigger.at_least)
        if trigger.at_most is not None:
            meets &= column <= np.float32(trigger.at_most)
        found = np.flatnonzero(meets)
        basis = scored.scores[found, policy.tasks.index(campaign.value_score)].astype(np.float64)
        rows.append(found)
        campaigns.append(np.full(len(found), at))
        scores.append(column[found].astype(np.float64))
        values.append(value.expected(basis))
    if not rows:
        return Candidates(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty(0))
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")  # within an event the campaigns stay in the order of the policy
    return Candidates(
        row[order],
        np.concatenate(campaigns)[order],
        np.concatenate(scores)[order],
        np.concatenate(values)[order],
    )
