"""A module to its ONNX graph, run by onnxruntime: the largest difference from torch, at shapes not exported with."""

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn


def difference(module: nn.Module, batches: Sequence[Sequence[Tensor]], axes: Mapping[int, Sequence[int]]) -> float:
    """The graph is made with the first of `batches`. `axes`: number of the input -> its dynamic axes."""
    module.eval()
    names = [f"x{i}" for i in range(len(batches[0]))]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter itself
        warnings.filterwarnings("ignore", "Exporting a model to ONNX with a batch_size other than 1")
        torch.onnx.export(
            module,
            tuple(batches[0]),
            str(path),
            input_names=names,
            dynamic_axes={names[i]: {axis: f"a{i}_{axis}" for axis in dynamic} for i, dynamic in axes.items()},
            opset_version=17,
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in batches:
        fed = {each.name for each in session.get_inputs()}
        got = session.run(None, {n: x.numpy() for n, x in zip(names, batch, strict=True) if n in fed})
        with torch.no_grad():
            expected = module(*batch)
        for a, b in zip(expected if isinstance(expected, tuple) else (expected,), got, strict=True):
            assert tuple(a.shape) == b.shape
            worst = max(worst, float((a - torch.from_numpy(b)).abs().max()))
    return worst
