"""A trained network's fused vectors, frozen, to classical heads over them, in one graph."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import ModelProto
from rich.console import Console
from rich.progress import Progress as Bars
from torch import Tensor, nn

from models.classic import command
from models.classic.features import FEATURES, OPSET
from models.classic.recipe import Recipe
from models.table import command as table
from models.table import fit
from models.table.columns import REGRESSION, Plan, axes
from models.table.manifest import PRESENT
from models.table.network import Network
from models.table.rows import Rows
from models.table.start import Run, prepared


class Vectors(nn.Module):
    """Tensors by position, `present` last -> (B, D): what the network's heads see."""

    def __init__(self, net: Network, names: list[str]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, *tensors: Tensor) -> Tensor:
        present = tensors[-1]
        hidden = self.net.encode(dict(zip(self.names, tensors, strict=False)), present)
        h, _ = self.net.fusions[0](hidden, present)
        vectors: Tensor = self.net.dense(h)
        return vectors


def train(
    source: Path,
    data: Path,
    folder: Path,
    classifier: str,
    regressor: str,
    bars: Bars,
    console: Console,
    *,
    threads: int,
) -> Run:
    """`source`: the run of a network on the same table. Raises ValueError where it has no fused vectors, BadRows."""
    chosen, _, net = table.restored(source, fit.BEST)
    if not chosen.labelled:
        raise ValueError(f"{source}: no task has labels that an estimator could learn")
    if chosen.late:
        raise ValueError(f"{source}: fusion {chosen.fusion.kind} is of predictions: there are no fused vectors")
    held = chosen.model_dump(
        mode="json", exclude_unset=True, exclude={"fusion", "width", "dense", "training", "repeats", "table"}
    )
    for part in held["parts"].values():
        part.pop("encoder", None)
    held["tasks"] = {name: task for name, task in held["tasks"].items() if name in chosen.labelled}
    for name, task in held["tasks"].items():
        head = chosen.tasks[name].head
        task.pop("head", None)
        task["estimator"] = {"kind": regressor if chosen.tasks[name].kind == REGRESSION else classifier}
        task.pop("weight", None)
        if head.kind == "regression":
            task |= {"unit": head.unit, "coverage": head.coverage}
    kinds = ", ".join(f"{name}: {part.encoder.kind}" for name, part in chosen.parts.items())
    recipe = Recipe.model_validate(held | {"frozen": f"{kinds}; fusion: {chosen.fusion.kind}; all frozen"})
    folder.mkdir(parents=True, exist_ok=True)
    with bars:
        plan = Plan(recipe.parts, recipe.tasks, recipe.split, recipe.seed)
        splits, run = prepared(plan, data, folder, bars, console, skip=False)
        return command.fit(recipe, graph(net, splits["train"]), splits, run, folder, bars, threads=threads)


def graph(net: Network, train: Rows) -> ModelProto:
    """Inputs of all parts and `present` -> features (B, D)."""
    two = train.take(np.array([0, len(train) - 1]))  # a batch of one might be taken for a constant
    batch = two.batch() | {PRESENT: np.ones_like(two.present)}
    dynamic: dict[str, dict[int, str]] = {name: {0: "batch"} for name in [*batch, FEATURES]}
    for part in net.recipe.parts.values():
        for name, given in axes(part.input).items():
            dynamic[name] |= given
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter itself
        file = Path(folder) / "features.onnx"
        torch.onnx.export(
            Vectors(net, list(train.blank)).eval(),
            tuple(torch.from_numpy(values) for values in batch.values()),
            str(file),
            input_names=list(batch),
            output_names=[FEATURES],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
        return onnx.load(file)
