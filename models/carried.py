"""Where the carried state of hot shoppers lives: beside the CPU's engine in host memory, or on the GPU with it.

Rows (streams/rows.py) hold one `Carried` per partition and need not know which.
"""

from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from models.engine import Engine, Floats, Ints, in_chunks

Slots = npt.NDArray[np.int64]
Finite = npt.NDArray[np.bool_]
Lengths = npt.NDArray[np.int64]

CHUNK = 512  # shoppers per model call: their hidden states in and out stay in the CPU's cache


class Carried(Protocol):
    """Hidden states (size, S) float32 by slot, zeros at first. Calls one at a time; in a call slots are distinct.

    An event whose trunk is not finite leaves the state as it was.
    """

    size: int
    state_size: int  # S

    def step(self, ids: Ints, dense: Floats, slots: Slots) -> Floats:
        """One event each of the shoppers at slots (B,): ids (B, 4), dense (B, D) -> trunk (B, T)."""

    def steps(self, ids: Ints, dense: Floats, slots: Slots, sizes: list[int]) -> tuple[Floats, Finite]:
        """Several events each of the shoppers at slots (B,), in rounds: ids (N, 4), dense (N, D) -> trunk (N, T), and
        which are finite (N,).

        Round r has an event each of the first sizes[r] shoppers, and stands after round r - 1; sizes fall, sizes[0] is B.
        """

    def read(self, slots: Slots) -> Floats:
        """States (N, S) at slots, in host memory."""

    def write(self, slots: Slots, hidden: npt.NDArray[np.floating]) -> None:
        """Set the states at slots to hidden (N, S)."""

    def clear(self, slots: Slots) -> None:
        """Set the states at slots to zero."""

    def save(self, slots: Slots) -> Any:
        """A copy of the states at slots for `restore`, kept where they live."""

    def restore(self, slots: Slots, saved: Any) -> None:
        """Set the states at slots to what `save` gave for them."""

    def use(self, engine: Engine) -> None:
        """Step with this engine from now on; the states stay. ValueError when it cannot work on them."""


class InMemory:
    """States in host memory, for an engine that computes there. See `Carried`."""

    def __init__(self, engine: Engine, size: int) -> None:
        self.size, self.state_size = size, engine.state_size
        self.hidden = np.zeros((size, engine.state_size), np.float32)  # touched only as far as slots are used
        self._gathered = np.empty(
            (CHUNK, engine.state_size), np.float32
        )  # fresh memory would be paged in each time
        self._engine = engine

    def use(self, engine: Engine) -> None:
        if engine.state_size != self.state_size:
            raise ValueError(
                f"states of {self.state_size} floats, engine {engine.release_id} has {engine.state_size}"
            )
        self._engine = engine

    def step(self, ids: Ints, dense: Floats, slots: Slots) -> Floats:
        return self.steps(ids, dense, slots, [len(slots)])[0]

    def steps(self, ids: Ints, dense: Floats, slots: Slots, sizes: list[int]) -> tuple[Floats, Finite]:
        trunk, good = np.empty((len(ids), self._engine.trunk_size), np.float32), np.ones(len(ids), bool)
        for part in in_chunks(len(slots), CHUNK):
            at, begin = slots[part], part.start
            hidden = self.hidden.take(at, axis=0, out=self._gathered[: len(at)], mode="clip")
            for size in sizes:
                left = min(size - part.start, len(at))
                if left <= 0:
                    break
                if left < len(at):  # the others have had their last event
                    self.hidden[at[left:]] = hidden[left:]
                    at, hidden = at[:left], hidden[:left]
                rows = slice(begin, begin + left)
                trunk[rows], hidden, good[rows] = _finite_step(self._engine, ids[rows], dense[rows], hidden)
                begin += size
            self.hidden[at] = hidden
        return trunk, good

    def read(self, slots: Slots) -> Floats:
        return self.hidden[slots]

    def write(self, slots: Slots, hidden: npt.NDArray[np.floating]) -> None:
        self.hidden[slots] = hidden

    def clear(self, slots: Slots) -> None:
        self.hidden[slots] = 0.0

    def save(self, slots: Slots) -> Any:
        return self.read(slots)

    def restore(self, slots: Slots, saved: Any) -> None:
        self.write(slots, saved)


@runtime_checkable
class Carrying(Protocol):
    """What an engine may be able to do beside `Engine`: carry the states itself."""

    on_gpu: bool

    def resident(self, size: int) -> Carried:
        """States of `size` shoppers on the engine's device."""

    def windows(self, ids: Ints, dense: Floats, lengths: Lengths) -> tuple[Floats, Floats]:
        """As the function of this name in one call, but what is not finite stays so to the shopper's end."""


def carried(engine: Engine, size: int) -> Carried:
    """States of `size` shoppers where `engine` computes: on its GPU if it is on one, else in host memory."""
    if isinstance(engine, Carrying) and engine.on_gpu:
        return engine.resident(size)
    return InMemory(engine, size)


def windows(engine: Engine, ids: Ints, dense: Floats, lengths: Lengths) -> tuple[Floats, Floats]:
    """Whole sequences from a zero state: trunk (B, T) at each shopper's newest event, and hidden (B, S).

    Events of B shoppers stand one shopper after the other: ids (N, 4), dense (N, D); lengths (B,), each >= 1. An event
    whose trunk is not finite leaves the state as it was.
    """
    if not (isinstance(engine, Carrying) and engine.on_gpu and len(lengths)):
        return _stepped(engine, ids, dense, lengths)
    trunk, hidden = engine.windows(ids, dense, lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    bad = ~finite(trunk)
    bad[owner[~finite(dense)]] = True
    if bad.any():
        at = bad[owner]
        trunk[bad], hidden[bad] = _stepped(engine, ids[at], dense[at], lengths[bad])
    return trunk, hidden


def _stepped(engine: Engine, ids: Ints, dense: Floats, lengths: Lengths) -> tuple[Floats, Floats]:
    starts = np.cumsum(lengths) - lengths
    trunk = np.zeros((len(lengths), engine.trunk_size), np.float32)
    hidden = np.zeros((len(lengths), engine.state_size), np.float32)
    for place in range(int(lengths.max(initial=0))):
        has = np.flatnonzero(lengths > place)
        at = starts[has] + place
        trunk[has], hidden[has], _ = _finite_step(engine, ids[at], dense[at], hidden[has])
    return trunk, hidden


def _finite_step(engine: Engine, ids: Ints, dense: Floats, hidden: Floats) -> tuple[Floats, Floats, Finite]:
    trunk, after = engine.step(ids, dense, hidden)
    good = finite(trunk)
    if not good.all():
        after[~good] = hidden[~good]
    return trunk, after, good


def finite(rows: Floats) -> Finite:
    """Which rows (N,) of (N, K) have numbers throughout: one that is none makes its row's sum none, too."""
    return cast(Finite, np.isfinite(np.add.reduce(rows, axis=1)))
