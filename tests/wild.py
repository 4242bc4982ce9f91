"""Graphs as other exporters leave them, as bundles of which a human can check the answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service import bundle
from service.model import Model

Kind = tuple[int, Sequence[Any] | None]  # element type of an input or output, and its axes: sizes or names
FLOAT, HALF, WHOLE, SHORT, BYTE, BOOL = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.BOOL,
)  # fmt: skip
AXES = np.array([1, 2], np.int64)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Kind],
    outputs: Mapping[str, Kind],
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    ir: int = 8,
) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "wild",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, ir_version=ir, opset_imports=domains)


def write(
    folder: Path, made: onnx.ModelProto, described: Mapping[str, Any], parts: Mapping[str, tuple[str, bytes]]
) -> bundle.Bundle:
    """`described`: the manifest but for schema and name, which is the folder's. The example is what we compute."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.onnx").exists():
        onnx.save(made, folder / "model.onnx")
    spec = bundle.Manifest.model_validate({"schema": 1, "name": folder.name, **described})
    model = Model(bundle.Bundle(folder=folder, manifest=spec))
    row = model.encode({part: data for part, (_, data) in parts.items()}, {})
    return bundle.write(folder, spec, parts, row, model.run([row])[0])


def keras(batch: int | None = 1) -> onnx.ModelProto:
    """(batch, 4, 6, 3) uint8 -> mean of R, G and B in 0..1, as tf2onnx names, types and orders them."""
    node = helper.make_node
    return graph(
        [
            node("Cast", ["serving_default_x:0"], ["real"], to=FLOAT),
            node("ReduceMean", ["real"], ["means"], axes=[1, 2], keepdims=0),
            node("Div", ["means", "most"], ["Identity:0"]),
        ],
        {"serving_default_x:0": (BYTE, [batch, 4, 6, 3])},
        {"Identity:0": (FLOAT, [batch, 3])},
        {"most": np.array(255, np.float32)},
    )


def image(**more: Any) -> dict[str, Any]:
    """A part of 4 x 6 pixels."""
    return {"kind": "image", "resize": {"to": "exact", "height": 4, "width": 6}, **more}


def means(tensor: str = "means") -> dict[str, Any]:
    return {"means": {"kind": "regression", "tensor": tensor, "names": ["red", "green", "blue"]}}
