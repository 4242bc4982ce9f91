"""A trained network to a bundle: graph, tokenizers, filter banks, example, manifest; checked against torch."""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.table.columns import CLASSIFICATION, REGRESSION, Column, Target, axes
from models.table.measure import subsets
from models.table.network import WEIGHTS, Network
from models.table.recipe import Task
from models.table.rows import Rows
from service import bundle
from service.bundle import Bundle, Manifest
from service.model import Model, differences
from service.types import FLOAT, Row

TOLERANCE = 1e-5
OPSET = 17
PRESENT = "present"


class Served(nn.Module):
    """The network as the graph sees it: tensors by position, `present` last."""

    def __init__(self, net: Network, names: list[str]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.served(dict(zip(self.names, tensors, strict=False)), tensors[-1]))


def export(net: Network, work: Path, test: Rows, folder: Path) -> tuple[Bundle, float]:
    """Writes the bundle, loads it as the service does, compares its answers with torch's; returns the largest
    difference, relative to max(1, |x|). Raises ValueError where it is over TOLERANCE."""
    recipe = net.recipe
    if folder.exists() and any(folder.iterdir()) and not (folder / bundle.MANIFEST).is_file():
        raise ValueError(f"{folder}: holds files that are no bundle; choose another folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in recipe.parts.values():
        for file in part.input.files():
            shutil.copyfile(work / file, folder / file)
    example, row = read_example(work, recipe.parts, folder)
    names = list(test.blank)
    write_graph(net, names, test, folder / bundle.GRAPH)
    results = net.outputs()
    whole = filled(row, test.blank, names)
    outputs = dict(zip(results, (values[0] for values in said(net, names, [whole])), strict=True))
    written = bundle.write(
        folder, manifest(recipe.name, recipe.version, recipe.parts, recipe.tasks), example, row, outputs
    )
    difference = parity(net, Model(written), whole, test, names)
    if not difference <= TOLERANCE:
        raise ValueError(f"the exported graph differs from torch by {difference:.2g}, allowed is {TOLERANCE:g}")
    return written, difference


def read_example(work: Path, parts: Mapping[str, Column], folder: Path) -> tuple[dict[str, tuple[str, bytes]], Row]:
    """The row that training kept, as a client would send it, and encoded."""
    found: dict[str, tuple[str, bytes]] = {}
    row: Row = {}
    for file in sorted((work / bundle.EXAMPLE).iterdir()):
        found[file.stem] = (file.suffix[1:], file.read_bytes())
        row |= parts[file.stem].input.load(folder)(file.read_bytes())
    return found, row | {PRESENT: np.array([name in found for name in parts], FLOAT)}


def filled(row: Row, blank: Row, names: list[str]) -> Row:
    """With zeros for absent parts; only what the graph takes."""
    return {name: row.get(name, blank[name]) for name in names} | {PRESENT: row[PRESENT]}


def write_graph(net: Network, names: list[str], test: Rows, path: Path) -> None:
    inputs, results = [*names, PRESENT], net.outputs()
    two = test.take(np.array([0, len(test) - 1]))  # a batch of one might be taken for a constant
    batch = two.batch() | {PRESENT: np.ones_like(two.present)}
    dynamic: dict[str, dict[int, str]] = {name: {0: "batch"} for name in [*inputs, *results]}
    for part in net.recipe.parts.values():
        for name, given in axes(part.input).items():
            dynamic[name] |= given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter itself; the other one takes 30 times as long
        torch.onnx.export(
            Served(net, names).eval(),
            tuple(torch.from_numpy(batch[name]) for name in inputs),
            str(path),
            input_names=inputs,
            output_names=results,
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )


def manifest(name: str, version: str, parts: Mapping[str, Column], tasks: Mapping[str, Target]) -> Manifest:
    outputs: dict[str, Any] = {task: output(task, target) for task, target in tasks.items()}
    return Manifest.model_validate(
        {
            "schema": 1,
            "name": name,
            "version": version,
            "inputs": {part: column.input.model_dump(exclude_unset=True) for part, column in parts.items()},
            "missing": {"policy": "mask", "tensor": PRESENT},
            "outputs": outputs | {WEIGHTS: {"kind": "weights", "tensor": WEIGHTS}},
        }
    )


def output(name: str, target: Target) -> dict[str, Any]:
    if target.kind == REGRESSION:
        found: dict[str, Any] = {"kind": "regression", "tensor": f"{name}_value", "interval": f"{name}_interval"}
        head = target.head if isinstance(target, Task) else None
        if head is not None and head.kind == "regression":
            found |= {"coverage": head.coverage} | ({"unit": head.unit} if head.unit else {})
        return found | ({"names": target.columns} if target.size > 1 else {})
    kind = {"kind": target.kind, "tensor": f"{name}_probabilities", "labels": target.labels}
    return kind if target.kind == CLASSIFICATION else kind | {"activation": "none"}


def said(net: Network, names: list[str], rows: list[Row]) -> list[np.ndarray]:
    """What torch says; the rows are of one shape or are filled up."""
    batch = {}
    for name in [*names, PRESENT]:
        shape = np.max([row[name].shape for row in rows], 0)
        batch[name] = np.zeros((len(rows), *shape), rows[0][name].dtype)
        for i, row in enumerate(rows):
            batch[name][i][tuple(map(slice, row[name].shape))] = row[name]
    tensors = [torch.from_numpy(batch[name]) for name in [*names, PRESENT]]
    with torch.no_grad():
        return [values.numpy() for values in Served(net, names).eval()(*tensors)]


def parity(net: Network, model: Model, example: Row, test: Rows, names: list[str]) -> float:
    """Between graph and torch: all subsets of the example, and rows of other lengths; alone and all together."""
    several = [
        filled(row | {PRESENT: present}, test.blank, names)
        for row, present in zip(test.rows[:8], test.present, strict=False)
    ]
    rows = [example | {PRESENT: np.array(subset, FLOAT)} for subset in subsets(len(net.recipe.parts))] + several
    found = [0.0]
    for batch in [*([row] for row in rows), rows]:
        expected = said(net, names, batch)
        for i, got in enumerate(model.run(batch)):
            wanted = dict(zip(net.outputs(), (values[i] for values in expected), strict=True))
            found += differences(got, wanted).values()
    return float(np.max(found))
