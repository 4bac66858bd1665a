"""The engine in torch: on the CPU the network of training itself, on a GPU its serving layout (models/serving.py).

On a GPU it can also carry the shoppers' state itself (`resident`) and take whole sequences in one call (`windows`).
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models import survival
from models.architecture import Weights
from models.engine import TOP, Floats, Ints, Scores, offered
from models.network import network_from, scores_of
from models.release import Release
from models.serving import PRECISIONS, serving

if TYPE_CHECKING:
    from models.resident import Resident


class EngineTorch:
    """See `models.engine.Engine`. precision: of an LSTM's matrix products; all else is float32."""

    def __init__(
        self, release: Release, weights: Weights, device: str, threads: int | None, precision: str = "float32"
    ) -> None:
        card = release.card
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device not in ("cpu", "cuda"):
            raise ValueError(f"device {device!r}: want cpu, cuda or auto")
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device cuda: torch sees no GPU here; set device to cpu or auto")
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: want {', '.join(PRECISIONS)}")
        if threads is not None:
            torch.set_num_threads(threads)
        self.on_gpu = device == "cuda"
        where = torch.cuda.get_device_name() if self.on_gpu else device
        self.description = (
            f"torch {torch.__version__} on {where}, {precision}, {torch.get_num_threads()} CPU thread(s)"
        )
        self.release_id = release.id
        self.tasks, self.categories = card.tasks, card.categories
        folded = card.calibration.folded(weights)
        network = network_from(card.features, card.architecture, len(card.categories), folded, card.tasks)
        self._network = network.to(torch.device(device))
        self.serving = serving(self._network, PRECISIONS[precision])
        # torch's own LSTM is the faster on a CPU, where it is one fused call, and the slower on a GPU.
        fused = not self.on_gpu and precision == "float32"
        self._step = self._network.step if fused else self.serving.step
        self.state_size, self.trunk_size = self.serving.state_size, self.serving.trunk_size
        columns, signs, shifts = survival.weights(network.tasks.curve)
        self._columns, self._signs, self._shifts = (self._put(part) for part in (columns, signs, shifts))
        self._offered = offered(card.categories)

    @torch.inference_mode()
    def step(self, ids: Ints, dense: Floats, hidden: Floats) -> tuple[Floats, Floats]:
        if not len(ids):
            return np.empty((0, self.trunk_size), np.float32), np.empty((0, self.state_size), np.float32)
        trunk, after = self._step(self._put(ids), self._put(dense), self._put(hidden))
        return trunk.cpu().numpy(), after.cpu().numpy()

    @torch.inference_mode()
    def windows(self, ids: Ints, dense: Floats, lengths: np.ndarray) -> tuple[Floats, Floats]:
        """Whole sequences from a zero state, see `ServingNetwork.windows`: trunk (B, T) and hidden (B, S)."""
        trunk, hidden = self.serving.windows(ids, dense, lengths)
        return trunk.cpu().numpy(), hidden.cpu().numpy()

    def resident(self, size: int) -> "Resident":
        """Hidden states of `size` shoppers on this engine's device; zeros at first."""
        from models.resident import Resident

        return Resident(self, size)

    @torch.inference_mode()
    def heads(self, trunk: Floats) -> Scores:
        logits = self._network.heads(self._put(trunk))
        curve = torch.exp(-torch.cumsum(torch.nn.functional.softplus(logits.hazard), 1))
        tasks = torch.cat(
            [
                curve[:, self._columns] * self._signs + self._shifts,
                scores_of(logits.extra, self._network.tasks),
            ],
            1,
        )
        shares = torch.softmax(logits.category, 1)[:, : self._offered]
        best = torch.topk(shares, min(TOP, self._offered), dim=1)
        return Scores(
            tasks.cpu().numpy(),
            curve.cpu().numpy(),
            best.indices.to(torch.int32).cpu().numpy(),
            best.values.cpu().numpy(),
        )

    def _put(self, array: np.ndarray) -> Tensor:
        return self.serving.put(array)
