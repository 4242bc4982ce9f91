"""A trained detector to the graph that is served: pixels as they are in, boxes as shares of the input out."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.detection.detector import Network
from service.model import Model, differences
from service.types import Row

TOLERANCE = 1e-5
OPSET = 17


class Served(nn.Module):
    """pixels (B, 3, H, W) uint8, context if any -> boxes (B, K, 4), shares of the input; scores (B, K, classes)."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        boxes, scores = self.net.detect(pixels, context)
        height, width = pixels.shape[2:]
        return boxes / torch.tensor([width, height, width, height], dtype=boxes.dtype), scores


def write(
    served: nn.Module,
    batch: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    axes: Mapping[str, dict[int, str]],
) -> None:
    """`batch` holds two rows: an axis of one might be taken for a constant. The TorchScript exporter, as for digits."""
    dynamic = {name: {0: "batch"} | axes.get(name, {}) for name in [*batch, *outputs]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter itself, and of shapes that it rightly takes for constants
        torch.onnx.export(
            served.eval(),
            tuple(batch.values()),
            str(path),
            input_names=list(batch),
            output_names=list(outputs),
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )


def answers(served: nn.Module, batch: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Row]:
    """What torch says, a row each."""
    with torch.no_grad():
        values = [each.numpy() for each in served(*batch.values())]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*values, strict=True)]


def parity(model: Model, rows: Sequence[Row], expected: Sequence[Row]) -> float:
    """The largest difference between the graph and torch, relative to max(1, |x|): rows alone, and all together."""
    alone = [model.run([row])[0] for row in rows]
    pairs = [*zip(alone, expected, strict=True), *zip(model.run(rows), expected, strict=True)]
    return float(np.max([each for got, wanted in pairs for each in differences(got, wanted).values()]))


def require(difference: float) -> None:
    """Raises ValueError."""
    if difference > TOLERANCE:
        raise ValueError(f"the exported graph differs from torch by {difference:.2g}, allowed is {TOLERANCE:g}")
