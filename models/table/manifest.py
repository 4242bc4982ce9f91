"""What a recipe says and what training kept to a bundle's manifest and example. Needs no torch."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.table.columns import ANOMALY, CLASSIFICATION, EMBEDDING, REGRESSION, Column, Target
from service import bundle
from service.bundle import Manifest
from service.types import FLOAT, Array, Row

PRESENT = "present"
WEIGHTS = "modality_weights"
ANSWERS = {EMBEDDING: "vector", ANOMALY: "score"}


def folder_for(to: Path) -> None:
    """Empty. Raises ValueError where it holds what is no bundle."""
    if to.exists() and any(to.iterdir()) and not (to / bundle.MANIFEST).is_file():
        raise ValueError(f"{to}: holds files that are no bundle; choose another folder")
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)


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


def manifest(
    name: str,
    version: str,
    parts: Mapping[str, Column],
    outputs: Mapping[str, Any],
    weights: Sequence[str] = (WEIGHTS,),
    prior: Mapping[str, list[float]] | None = None,
) -> Manifest:
    """`outputs`: task -> as `output` says it; `prior`: as `usual` says it."""
    return Manifest.model_validate(
        {
            "schema": 1,
            "name": name,
            "version": version,
            "inputs": {part: column.input.model_dump(exclude_unset=True) for part, column in parts.items()},
            "missing": {"policy": "mask", "tensor": PRESENT},
            "prior": prior or {},
            "outputs": {**outputs, **{each: {"kind": "weights", "tensor": each} for each in weights}},
        }
    )


def usual(tasks: Mapping[str, Target], targets: Mapping[str, Array]) -> dict[str, list[float]]:
    """Output tensor -> the answer where nothing is known: how often rows of the table have each label (one more seen of
    each, so that none is impossible), the mean of their numbers, nothing unusual. What explanations count from."""
    found = {}
    for name, task in tasks.items():
        tensor, *_ = answers(name, task)
        if task.kind == ANOMALY:
            found[tensor] = [0.0]
        elif task.kind == CLASSIFICATION:
            counts = np.bincount(targets[name][targets[name] >= 0], minlength=len(task.labels)) + 1
            found[tensor] = (counts / counts.sum()).tolist()
        elif task.kind != EMBEDDING:
            values = targets[name].reshape(len(targets[name]), -1).astype(np.float64)
            more = task.kind != REGRESSION  # a yes and a no
            seen = np.maximum((~np.isnan(values)).sum(0), 1)
            found[tensor] = ((np.nansum(values, 0) + more) / (seen + 2 * more)).tolist()
    return found


def answers(name: str, target: Target) -> list[str]:
    """The graph's names of what answers a task."""
    if target.kind == REGRESSION:
        return [f"{name}_value", f"{name}_interval"]
    return [f"{name}_{ANSWERS.get(target.kind, 'probabilities')}"]


def output(name: str, target: Target, coverage: float, unit: str | None) -> dict[str, Any]:
    tensor, *more = answers(name, target)
    found: dict[str, Any] = {"kind": target.kind, "tensor": tensor}
    if target.kind == REGRESSION:
        found |= {"interval": more[0], "coverage": coverage} | ({"unit": unit} if unit else {})
        return found | ({"names": target.columns} if target.size > 1 else {})
    if target.kind == ANOMALY:
        return found | {"threshold": 1.0}  # the graph divides by what few usual rows are over
    if target.kind == EMBEDDING:
        return found
    found["labels"] = target.labels
    return found if target.kind == CLASSIFICATION else found | {"activation": "none"}
