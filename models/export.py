"""A trained network to a bundle: graph, tokenizer, mel bank, example, manifest, card; checked against torch."""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from models import evaluate
from models.network import Network
from models.pools import collate
from models.recipe import Recipe
from service import bundle
from service.bundle import Bundle, Manifest
from service.model import Model
from service.types import Row

TOLERANCE = 1e-5
OPSET = 17  # of the TorchScript exporter: 120 nodes in half a second
PRESENT = "present"
File = tuple[str, bytes]  # ending, bytes
RESULTS = ["probabilities", "modality_weights"]
AXES = {
    "input_ids": {1: "tokens"},
    "attention_mask": {1: "tokens"},
    "input_features": {2: "frames"},
    "frame_mask": {1: "frames"},
}


class Served(nn.Module):
    """The network as the graph sees it: tensors by position, `present` last."""

    def __init__(self, net: Network, names: list[str]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        batch = dict(zip(self.names, tensors, strict=False))
        return self.net.probabilities(batch, tensors[-1])


def export(recipe: Recipe, net: Network, example: Mapping[str, File], work: Path, folder: Path) -> Bundle:
    """Writes the bundle, loads it as the service does, compares its answers with torch's. Raises ValueError."""
    folder.mkdir(parents=True, exist_ok=True)
    for spec in recipe.inputs.values():
        for file in spec.files():
            shutil.copyfile(work / file, folder / file)
    row = encode(recipe, example, folder)
    names = [name for tensors in recipe.tensors().values() for name in tensors]
    write_graph(net, names, row, folder / bundle.GRAPH)
    outputs = dict(zip(RESULTS, (values[0] for values in answer(net, [row])), strict=True))
    written = bundle.write(folder, manifest(recipe), example, row, outputs)
    difference = parity(net, Model(written), row)
    if difference > TOLERANCE:
        raise ValueError(f"the exported graph differs from torch by {difference:.2g}, allowed is {TOLERANCE:g}")
    return written


def encode(recipe: Recipe, example: Mapping[str, File], folder: Path) -> Row:
    row: Row = {}
    for part, (_, data) in example.items():
        row |= recipe.inputs[part].load(folder)(data)
    return row | {PRESENT: np.ones(len(recipe.inputs), np.float32)}


def write_graph(net: Network, names: list[str], row: Row, path: Path) -> None:
    inputs = [*names, PRESENT]
    batch = collate([row, row])  # a batch of two: an axis of one might be taken for a constant
    axes = {name: {0: "batch"} | AXES.get(name, {}) for name in [*inputs, *RESULTS]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter itself; it is a third of the other's size
        warnings.simplefilter("ignore", TracerWarning)  # the number of classes is a constant
        torch.onnx.export(
            Served(net, names).eval(),
            tuple(batch[name] for name in inputs),
            str(path),
            input_names=inputs,
            output_names=RESULTS,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def manifest(recipe: Recipe) -> Manifest:
    labels = [str(digit) for digit in range(10)]
    return Manifest.model_validate(
        {
            "schema": 1,
            "name": recipe.name,
            "version": recipe.version,
            "inputs": {part: spec.model_dump(exclude_unset=True) for part, spec in recipe.inputs.items()},
            "missing": {"policy": "mask", "tensor": PRESENT},
            "outputs": {
                "digit": {"kind": "classification", "tensor": "probabilities", "labels": labels},
                "modality_weights": {"kind": "weights", "tensor": "modality_weights"},
            },
            "prior": {"probabilities": [0.1] * 10},
        }
    )


def answer(net: Network, rows: list[Row]) -> list[np.ndarray]:
    batch = collate(rows)
    with torch.no_grad():
        return [values.numpy() for values in net.probabilities(batch, batch[PRESENT])]


def parity(net: Network, model: Model, row: Row) -> float:
    """The largest difference between graph and torch: all subsets of the example, alone and mixed, also cut short."""
    rows = [
        cut | {PRESENT: np.array(subset, np.float32)}
        for subset in evaluate.subsets(len(row[PRESENT]))
        for cut in (row, shortened(row))
    ]
    batches = [*([each] for each in rows), rows]
    return max(difference(answer(net, rows), model.run(rows)) for rows in batches)


def shortened(row: Row) -> Row:
    """Half as many tokens and frames."""
    return {
        name: values[..., : max(1, values.shape[-1] // 2)] if name in AXES else values for name, values in row.items()
    }


def difference(expected: list[np.ndarray], rows: list[Row]) -> float:
    got = [np.stack([row[name] for row in rows]) for name in RESULTS]
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, got, strict=True))
