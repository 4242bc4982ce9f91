"""Lines of a table and what a recipe says of them to targets, splits, and a report of every row that is wrong."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.table.columns import (
    ANOMALY,
    CLASSIFICATION,
    EMBEDDING,
    MULTILABEL,
    UNLABELLED,
    Column,
    Plan,
    Split,
    Target,
)
from models.table.lines import Cell, Line, Table
from service.types import FLOAT, Array

SPLITS = ("train", "valid", "test")
UNKNOWN = -1  # class of a row that does not say it
SHOWN = 50  # faults in the report; the file has them all


class Fault(NamedTuple):
    line: int  # 0: of the table as a whole
    column: str
    what: str

    def __str__(self) -> str:
        place = f"line {self.line}" if self.line else "table"
        return f"{place}: {self.column}: {self.what}" if self.column else f"{place}: {self.what}"


class BadRows(ValueError):
    """The report; `faults` has all of them."""

    def __init__(self, faults: Sequence[Fault], path: Path) -> None:
        lines = len({fault.line for fault in faults if fault.line})
        more = [f"... {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        hint = "put them right, or leave the bad rows out with --skip-bad" if lines else "put this right"
        text = "\n  ".join([*map(str, faults[:SHOWN]), *more])
        super().__init__(f"{path}: {lines} bad rows\n  {text}\n{hint}")
        self.faults = list(faults)


def columns(table: Table, parts: Mapping[str, Column], tasks: Mapping[str, Target], split: Split) -> list[Fault]:
    """Columns that the recipe names and the table has not."""
    named = [part.column for part in parts.values()] + [name for task in tasks.values() for name in task.columns]
    named += [name for name in (split.column, split.group, *split.folds) if name]
    have = ", ".join(table.columns)
    return [
        Fault(0, name, f"no such column; there are {have}")
        for name in dict.fromkeys(named)
        if name not in table.columns
    ]


def line(each: Line, folder: Path, plan: Plan) -> list[Fault]:
    """What is wrong with a row as far as its cells tell; files are looked for, not opened."""
    faults = []
    for part in plan.parts.values():
        name = each.text(part.column)
        if part.kind != "text" and name and not (folder / name).is_file():
            hint = "; write / between its folders" if "\\" in name else ""
            faults.append(Fault(each.number, part.column, f"no such file: {name}{hint}"))
    if not any(part.column in each.cells for part in plan.parts.values()):
        faults.append(Fault(each.number, "", "no part at all"))
    wrong = [fault for task in plan.tasks.values() for fault in mistaken(each, task)]
    if not wrong and not plan.lenient and not labelled(each, plan.tasks):
        faults.append(Fault(each.number, "", "no label in it"))
    if plan.split.column and each.text(plan.split.column) not in SPLITS:
        faults.append(Fault(each.number, plan.split.column, f"neither of {', '.join(SPLITS)}"))
    return [*faults, *wrong]


def mistaken(each: Line, task: Target) -> list[Fault]:
    try:
        target(each, task)
    except ValueError as error:
        return [Fault(each.number, ", ".join(task.columns), str(error))]
    return []


def labelled(each: Line, tasks: Mapping[str, Target]) -> bool:
    """Whether it says any answer. Raises ValueError where one is wrong."""
    return any(bool(np.any(~unknown(target(each, task)))) for task in tasks.values() if task.kind not in UNLABELLED)


def unknown(values: Array) -> Array:
    return values == UNKNOWN if values.dtype == np.int64 else np.isnan(values)


def target(each: Line, task: Target) -> Array:
    """() int64 class; or (size,) float32, NaN where it is not known. Raises ValueError with what is wrong."""
    if task.kind == CLASSIFICATION:
        label = each.text(task.columns[0]).strip()
        return np.array(task.labels.index(known(label, task.labels)) if label else UNKNOWN, np.int64)
    if task.kind == EMBEDDING:
        return np.array(group(each.text(task.columns[0]).strip() if task.columns else ""), np.int64)
    if task.kind == MULTILABEL and not task.flags:
        return several(each.cells.get(task.columns[0], ""), task)
    if not task.columns:
        return np.full(task.size, np.nan, FLOAT)
    return np.array([number(each.text(name).strip(), flag=task.flags) for name in task.columns], FLOAT)


def group(cell: str) -> int:
    """Equal cells have equal numbers; an empty one is of no group."""
    return int.from_bytes(hashlib.sha256(cell.encode()).digest()[:7]) if cell else UNKNOWN


def several(cell: Cell, task: Target) -> Array:
    if isinstance(cell, bytes):
        raise ValueError("holds a file, no labels")
    said = cell if isinstance(cell, list) else [each.strip() for each in cell.split(task.separator)]
    if said == ["?"]:
        return np.full(task.size, np.nan, FLOAT)
    chosen = {known(label, task.labels) for label in said if label}
    return np.array([label in chosen for label in task.labels], FLOAT)


def known(label: str, labels: Sequence[str]) -> str:
    if label not in labels:
        raise ValueError(f"{label!r} is not in the list of labels")
    return label


def number(text: str, *, flag: bool) -> float:
    if not text:
        return math.nan
    if flag:
        if text not in ("0", "1"):
            raise ValueError(f"{text!r} is neither 0 nor 1")
        return float(text)
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def classes(lines: Sequence[Line], splits: Array, tasks: Mapping[str, Target]) -> list[Fault]:
    """Labels without a row to train on, tasks that leave nothing to learn, splits without rows."""
    faults = [Fault(0, "", f"no row for the split {name!r}") for name in SPLITS if name not in splits]
    for name, task in tasks.items():
        trained = [target(each, task) for each, split in zip(lines, splits, strict=True) if split == "train"]
        if task.kind == CLASSIFICATION:
            counts = Counter(int(value) for value in trained if value != UNKNOWN)
            empty = [label for i, label in enumerate(task.labels) if not counts[i]]
            faults += [Fault(0, task.columns[0], f"no row to train the class {label!r} of {name}") for label in empty]
            if len(counts) == 1:
                faults.append(Fault(0, task.columns[0], f"{name}: all rows to train on are of one class"))
        elif task.kind == ANOMALY:
            if trained and all(value[0] == 1 for value in trained):
                faults.append(Fault(0, task.columns[0], f"{name}: all rows to train on are anomalies"))
        elif task.kind != EMBEDDING and trained:
            columns = np.stack(trained)
            for i, label in enumerate(task.labels or task.columns):
                seen = np.unique(columns[:, i][~np.isnan(columns[:, i])])
                if len(seen) < 2:
                    held = "all of one value" if len(seen) else "none is known"
                    faults.append(Fault(0, ", ".join(task.columns), f"{name}: {label}: {held} in what is trained on"))
    return faults


def pairs(
    lines: Sequence[Line], splits: Array, parts: Mapping[str, Column], tasks: Mapping[str, Target]
) -> list[Fault]:
    """Embeddings that no two parts of one row teach."""
    counts = [sum(part.column in each.cells for part in parts.values()) for each in lines]
    taught = sum(count > 1 for count, split in zip(counts, splits, strict=True) if split == "train") > 1
    return [
        Fault(0, "", f"{name}: no two rows to train on have two parts: nothing says what belongs together")
        for name, task in tasks.items()
        if task.kind == EMBEDDING and not taught
    ]


def splits(lines: Sequence[Line], split: Split, tasks: Mapping[str, Target], seed: int) -> Array:
    """(N,) of SPLITS: the column's, or drawn, in equal shares from each class of the first classification; anomalies
    are for the test."""
    if split.column:
        return np.array([each.text(split.column) for each in lines])
    rng = np.random.default_rng(seed)
    task = next((task for task in tasks.values() if task.kind == CLASSIFICATION), None)
    if split.group:
        units = [each.text(split.group) or f"\0{each.number}" for each in lines]
    else:
        units = [f"\0{each.number}" for each in lines]
    strata: dict[int, dict[str, None]] = {}
    for each, unit in zip(lines, units, strict=True):
        stratum = int(target(each, task)) if task and not split.group else 0
        strata.setdefault(stratum, {})[unit] = None
    chosen: dict[str, str] = {}
    spare = {"valid": 0.0, "test": 0.0}  # what rounding owes to each split
    for stratum in sorted(strata):
        names = rng.permutation(list(strata[stratum]))
        start = 0
        for name, share in (("valid", split.valid), ("test", split.test)):
            spare[name] += share * len(names)
            count = min(round(spare[name]), max(0, len(names) - 1 - start))
            spare[name] -= count
            chosen |= dict.fromkeys(map(str, names[start : start + count]), name)
            start += count
    watched = [task for task in tasks.values() if task.kind == ANOMALY]
    for each, unit in zip(lines, units, strict=True):
        if any(target(each, task)[0] == 1 for task in watched):
            chosen[unit] = "test"
    return np.array([chosen.get(unit, "train") for unit in units])
