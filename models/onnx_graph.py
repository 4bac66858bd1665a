"""An ONNX graph under construction."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, checker, helper, numpy_helper

Array = npt.NDArray[Any]

_OPSET, _IR = 17, 9


class Graph:
    """Nodes and constants; every value is named by the order it was added in."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """A node with one output; returns the output's name."""
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, value: Any) -> str:
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def linear(self, value: str, weight: Array, bias: Array, out: str | None = None) -> str:
        """value @ weight.T + bias, with the weight laid out as torch stores it."""
        return self.add("Gemm", value, self.constant(weight.T), self.constant(bias), out=out)

    def split(self, value: str, sizes: list[int]) -> list[str]:
        """Columns of (rows, …) in parts of these sizes."""
        names = [f"v{len(self.nodes)}.{part}" for part in range(len(sizes))]
        lengths = self.constant(np.array(sizes, np.int64))
        self.nodes.append(helper.make_node("Split", [value, lengths], names, axis=1))
        return names

    def columns(self, value: str, first: int, stop: int) -> str:
        """Columns first … stop-1 of (rows, …)."""
        bounds = [self.constant(np.array([number], np.int64)) for number in (first, stop, 1)]
        return self.add("Slice", value, *bounds)

    def reshape(self, value: str, *shape: int) -> str:
        return self.add("Reshape", value, self.constant(np.array(shape, np.int64)))

    def model(
        self, name: str, inputs: dict[str, tuple[int, int]], outputs: dict[str, tuple[int, int]]
    ) -> ModelProto:
        """The finished model. inputs, outputs: element type and number of columns by name; rows are free."""

        def infos(values: dict[str, tuple[int, int]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(key, kind, ["rows", n]) for key, (kind, n) in values.items()
            ]

        graph = helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        checker.check_model(model)
        return model
