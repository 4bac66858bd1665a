"""The engine in torch, on CPU or CUDA: the network of training itself, so the reference that ONNX is held to."""

import numpy as np
import torch
from torch import Tensor

from models import survival
from models.architecture import Weights
from models.engine import TOP, Floats, Ints, Scores, offered
from models.network import network_from
from models.release import Release


class EngineTorch:
    """See `models.engine.Engine`."""

    def __init__(self, release: Release, weights: Weights, device: str, threads: int | None) -> None:
        card = release.card
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device not in ("cpu", "cuda"):
            raise ValueError(f"device {device!r}: want cpu, cuda or auto")
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device cuda: torch sees no GPU here; set device to cpu or auto")
        if threads is not None:
            torch.set_num_threads(threads)
        self.description = f"torch {torch.__version__} on {device}, {torch.get_num_threads()} CPU thread(s)"
        self.release_id = release.id
        self.tasks, self.categories = card.tasks, card.categories
        self.state_size = card.architecture.state_size
        self.trunk_size = card.architecture.trunk_size(card.features)
        folded = card.calibration.folded(weights)
        network = network_from(card.features, card.architecture, len(card.categories), folded)
        self._device = torch.device(device)
        self._network = network.to(self._device)
        columns, signs, shifts = survival.weights(card.tasks)
        self._columns, self._signs, self._shifts = (self._put(part) for part in (columns, signs, shifts))
        self._offered = offered(card.categories)

    @torch.inference_mode()
    def step(self, ids: Ints, dense: Floats, hidden: Floats) -> tuple[Floats, Floats]:
        if not len(ids):
            return np.empty((0, self.trunk_size), np.float32), np.empty((0, self.state_size), np.float32)
        trunk, after = self._network.step(self._put(ids), self._put(dense), self._put(hidden))
        return trunk.cpu().numpy(), after.cpu().numpy()

    @torch.inference_mode()
    def heads(self, trunk: Floats) -> Scores:
        hazard, categories = self._network.heads(self._put(trunk))
        curve = torch.exp(-torch.cumsum(torch.nn.functional.softplus(hazard), 1))
        tasks = curve[:, self._columns] * self._signs + self._shifts
        shares = torch.softmax(categories, 1)[:, : self._offered]
        best = torch.topk(shares, min(TOP, self._offered), dim=1)
        return Scores(
            tasks.cpu().numpy(),
            curve.cpu().numpy(),
            best.indices.to(torch.int32).cpu().numpy(),
            best.values.cpu().numpy(),
        )

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
