"""A trained network to a bundle: graph, tokenizers, filter banks, example, manifest; checked against torch."""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.heads.reconstruct import AnomalySpec
from models.heads.regress import RegressionSpec
from models.table.columns import Column, axes
from models.table.manifest import PRESENT, WEIGHTS, filled, folder_for, manifest, output, read_example, usual
from models.table.network import Network
from models.table.recipe import Recipe
from models.table.rows import Rows
from models.table.scores import subsets
from models.table.unlabelled import Batch
from service import bundle
from service.bundle import Bundle, Manifest
from service.model import Model, differences
from service.types import FLOAT, Row

TOLERANCE = 1e-5
OPSET = 17


class Answering(Protocol):
    """What becomes a graph: a module that takes the tensors of some parts."""

    @property
    def columns(self) -> Mapping[str, Column]: ...

    def outputs(self) -> list[str]:
        """The graph's names of what `served` gives."""

    def served(self, batch: Batch, present: Tensor) -> list[Tensor]: ...


class Served(nn.Module):
    """The network as the graph sees it: tensors by position, `present` last."""

    def __init__(self, net: Answering, names: list[str]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.served(dict(zip(self.names, tensors, strict=False)), tensors[-1]))


def export(net: Network, work: Path, test: Rows, folder: Path) -> tuple[Bundle, float]:
    """Writes the bundle, loads it as the service does, compares its answers with torch's; returns the largest
    difference, relative to max(1, |x|). Raises ValueError where it is over TOLERANCE."""
    recipe = net.recipe
    folder_for(folder)
    for part in recipe.parts.values():
        for file in part.input.files():
            shutil.copyfile(work / file, folder / file)
    example, row = read_example(work, recipe.parts, folder)
    names = list(test.blank)
    write_graph(net, names, test, folder / bundle.GRAPH)
    results = net.outputs()
    whole = filled(row, test.blank, names)
    outputs = dict(zip(results, (values[0] for values in said(net, names, [whole])), strict=True))
    written = bundle.write(folder, described(net, usual(recipe.tasks, test.targets)), example, row, outputs)
    return written, required(parity(net, Model(written), whole, test, names))


def required(difference: float) -> float:
    """Raises ValueError where it is over TOLERANCE."""
    if not difference <= TOLERANCE:
        raise ValueError(f"the exported graph differs from torch by {difference:.2g}, allowed is {TOLERANCE:g}")
    return difference


def described(net: Network, prior: Mapping[str, list[float]]) -> Manifest:
    recipe = net.recipe
    weights = (WEIGHTS,) if net.labelled else ()
    made = manifest(recipe.name, recipe.version, recipe.parts, outputs(recipe), weights, prior)
    needs = {name: looked_at(recipe, name) for name in recipe.tasks}
    needs = {name: parts for name, parts in needs.items() if len(parts) < len(recipe.parts)}
    return made.model_copy(update={"needs": needs}) if needs else made


def looked_at(recipe: Recipe, task: str) -> list[str]:
    """The parts that an answer is about."""
    head = recipe.tasks[task].head
    return (head.parts if isinstance(head, AnomalySpec) else []) or list(recipe.parts)


def outputs(recipe: Recipe) -> dict[str, Any]:
    """Task -> what a manifest says of its answer."""
    found = {}
    for name, task in recipe.tasks.items():
        head = task.head
        coverage, unit = (head.coverage, head.unit) if isinstance(head, RegressionSpec) else (0.0, None)
        found[name] = output(name, task, coverage, unit)
    return found


def write_graph(net: Answering, names: list[str], test: Rows, path: Path) -> None:
    inputs, results = [*names, PRESENT], net.outputs()
    two = test.take(np.array([0, len(test) - 1]))  # a batch of one might be taken for a constant
    batch = two.batch() | {PRESENT: np.ones_like(two.present)}
    dynamic: dict[str, dict[int, str]] = {name: {0: "batch"} for name in [*inputs, *results]}
    for part in net.columns.values():
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


def said(net: Answering, names: list[str], rows: list[Row]) -> list[np.ndarray]:
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


def parity(net: Answering, model: Model, example: Row, test: Rows, names: list[str]) -> float:
    """Between graph and torch: all subsets of the example, and rows of other lengths; alone and all together."""
    several = [
        filled(row | {PRESENT: present}, test.blank, names)
        for row, present in zip(test.rows[:8], test.present, strict=False)
    ]
    rows = [example | {PRESENT: np.array(subset, FLOAT)} for subset in subsets(len(net.columns))] + several
    found = [0.0]
    for batch in [*([row] for row in rows), rows]:
        expected = said(net, names, batch)
        for i, got in enumerate(model.run(batch)):
            wanted = dict(zip(net.outputs(), (values[i] for values in expected), strict=True))
            found += differences(got, wanted).values()
    return float(np.max(found))
