"""Shoppers' carried state on the engine's device, where a step gathers and scatters it: only events and trunks travel.

    host: slots, ids, dense ─► pinned block ─copy─► graph: gather ─► step ─► scatter; trunk ─copy─► pinned ─► host

A batch is padded up to the next size that has a graph; the padding steps a scratch row that nobody reads.
"""

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.carried import finite
from models.cuda_graphs import captured, wait
from models.engine import Engine, Floats, Ints, in_chunks
from models.engine_torch import EngineTorch
from models.serving import PlainServing, ServingNetwork

Slots = npt.NDArray[np.int64]

SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)  # rows of one call; longer batches go in parts
COPY_ROWS = 4096  # rows of one read or write: bounds the pinned memory
_ID_COLUMNS = 4


class Resident:
    """Hidden states (size, S) float32 by slot, zeros at first. Calls one at a time, from one thread.

    In a call slots are distinct and in [0, size). Arrays given are only read, arrays returned are new. A row whose
    step is not finite keeps its state, and its trunk says so.
    """

    # no_grad, not inference_mode: a graph recorded under that cannot be replayed outside it (pytorch issue 166792).

    def __init__(self, engine: EngineTorch, size: int, sizes: tuple[int, ...] = SIZES) -> None:
        network = engine.serving
        self.size, self.state_size = size, network.state_size
        self._sizes, self._device = sizes, network.device
        self._hidden = torch.zeros(size + 1, network.state_size, device=self._device)  # the last is scratch
        self._pinned = self._device.type == "cuda"  # pageable memory would be copied twice, and waited for
        self._host_rows = torch.zeros(COPY_ROWS, network.state_size, pin_memory=self._pinned)
        self._record(network)

    def use(self, engine: Engine) -> None:
        """Step with this engine from now on; the states stay. Takes a recording per size, some tenths of a second."""
        if not isinstance(engine, EngineTorch) or engine.serving.device != self._device:
            raise ValueError(f"states on {self._device} cannot be stepped by engine {engine.description}")
        if engine.state_size != self.state_size:
            raise ValueError(
                f"states of {self.state_size} floats cannot be stepped by release {engine.release_id}, which has "
                f"{engine.state_size}"
            )
        if engine.serving is not self._network:
            self._record(engine.serving)

    @torch.no_grad()
    def _record(self, network: ServingNetwork | PlainServing) -> None:
        self._network = network
        # One block and so one copy per call: slot, ids, and dense features as the int32 of the same bits.
        width = 1 + _ID_COLUMNS + network.dense_size
        self._block = torch.zeros(self._sizes[-1], width, dtype=torch.int32, device=self._device)
        self._trunk = torch.zeros(self._sizes[-1], network.trunk_size, device=self._device)
        self._host_block = torch.zeros(self._block.shape, dtype=torch.int32, pin_memory=self._pinned)
        self._host_trunk = torch.zeros(self._trunk.shape, pin_memory=self._pinned)
        self._block[:, 0] = self.size  # recording a graph runs it: on scratch
        self._runs = captured({rows: partial(self._run, rows) for rows in self._sizes}, self._device)

    @torch.no_grad()
    def step(self, ids: Ints, dense: Floats, slots: Slots) -> Floats:
        """One event each of the shoppers at slots (B,): ids (B, 4), dense (B, D) -> trunk (B, T)."""
        trunk = np.empty((len(slots), self._trunk.shape[1]), np.float32)
        for part in in_chunks(len(slots), self._sizes[-1]):
            rows = len(slots[part])
            self.launch(self.fill(ids[part], dense[part], slots[part]))
            self._host_trunk[:rows].copy_(self._trunk[:rows], non_blocking=True)
            wait(self._device)
            trunk[part] = self._host_trunk[:rows].numpy()
        return trunk

    def steps(
        self, ids: Ints, dense: Floats, slots: Slots, sizes: list[int]
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Several events each of the shoppers at slots, in rounds: see `Carried`."""
        ends = np.cumsum(sizes).tolist()
        rounds = [(slice(end - size, end), slots[:size]) for end, size in zip(ends, sizes, strict=True)]
        trunk = np.concatenate([self.step(ids[rows], dense[rows], at) for rows, at in rounds])
        return trunk, finite(trunk)

    def fill(self, ids: Ints, dense: Floats, slots: Slots) -> int:
        """Put a batch into the block, first the pinned, then the device's; returns the size that it is padded to."""
        rows = len(slots)
        size = next(size for size in self._sizes if size >= rows)
        block = self._host_block[:size].numpy()
        block[:rows, 0], block[rows:, 0] = slots, self.size
        block[:rows, 1 : 1 + _ID_COLUMNS], block[rows:, 1:] = ids, 0
        block.view(np.float32)[:rows, 1 + _ID_COLUMNS :] = dense
        self._block[:size].copy_(self._host_block[:size], non_blocking=True)
        return size

    def launch(self, size: int) -> None:
        """Start the step of the rows in the block; does not wait for it."""
        self._runs[size]()

    @torch.no_grad()
    def read(self, slots: Slots) -> Floats:
        """States (N, S) at slots, in host memory."""
        hidden = np.empty((len(slots), self.state_size), np.float32)
        for part in in_chunks(len(slots), COPY_ROWS):
            staged = self._host_rows[: len(slots[part])]
            staged.copy_(self._hidden.index_select(0, self._network.put(slots[part])), non_blocking=True)
            wait(self._device)
            hidden[part] = staged.numpy()
        return hidden

    @torch.no_grad()
    def write(self, slots: Slots, hidden: npt.NDArray[np.floating]) -> None:
        """Set the states at slots to hidden (N, S)."""
        for part in in_chunks(len(slots), COPY_ROWS):
            staged = self._host_rows[: len(slots[part])]
            staged.numpy()[:] = hidden[part]
            fresh = staged.to(self._device, non_blocking=True)
            self._hidden.index_copy_(0, self._network.put(slots[part]), fresh)
            wait(self._device)  # the next part goes through the same pinned memory

    @torch.no_grad()
    def clear(self, slots: Slots) -> None:
        """Set the states at slots to zero."""
        self._hidden.index_fill_(0, self._network.put(slots), 0.0)

    @torch.no_grad()
    def save(self, slots: Slots) -> Tensor:
        """A copy of the states at slots for `restore`; it stays on the device."""
        return self._hidden.index_select(0, self._network.put(slots))

    @torch.no_grad()
    def restore(self, slots: Slots, saved: Tensor) -> None:
        """Set the states at slots to what `save` gave for them."""
        self._hidden.index_copy_(0, self._network.put(slots), saved)

    def _run(self, rows: int) -> None:
        """What the device does: the first `rows` rows of the block, one step."""
        block, dense_from = self._block[:rows], 1 + _ID_COLUMNS
        slots = block[:, 0].long()
        before = self._hidden.index_select(0, slots)
        dense = block[:, dense_from:].view(torch.float32)
        trunk, after = self._network.step(block[:, 1:dense_from], dense, before)
        finite = trunk.sum(1, keepdim=True).abs() < torch.inf  # false for NaN, too
        self._hidden.index_copy_(0, slots, torch.where(finite, after, before))
        self._trunk[:rows].copy_(trunk)
