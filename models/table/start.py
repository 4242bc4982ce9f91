"""A table and a recipe's plan to the splits of a run, and to what its folder keeps of them. Needs no torch."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress as Bars

from models.table import lines, rows
from models.table.check import BadRows, Fault
from models.table.columns import Plan
from models.table.rows import Rows
from service.bundle import EXAMPLE

RECIPE, RUN, EVALUATION = "recipe.yaml", "run.json", "evaluation.json"
REPORT = "bad-rows.txt"


class Spent(NamedTuple):
    """Of training."""

    epochs: int
    best: int  # epoch of the weights that are kept
    seconds: float
    loss: float  # of `valid`


class Run(BaseModel):
    """What training leaves for the steps after it."""

    vocabularies: dict[str, int]
    rows: dict[str, int]
    left_out: int
    notes: list[str] = []
    features: int = 0  # where there is no torch
    spent: Spent | None = None


def prepared(
    plan: Plan, data: Path, folder: Path, bars: Bars, console: Console, *, skip: bool
) -> tuple[dict[str, Rows], Run]:
    """Splits of the table, its held-out rows and its example being kept for the steps to come."""
    table = lines.read(data)
    task = bars.add_task("reading rows", total=len(table.lines))
    try:
        splits, sizes, faults = rows.prepare(
            table, plan, folder, lambda done, total: bars.update(task, completed=done, total=total), skip=skip
        )
    except BadRows as error:
        report(error.faults, folder)
        raise
    if faults:
        report(faults, folder)
        left = len({fault.line for fault in faults})
        console.print(f"left out {left} bad rows, as asked; {folder / REPORT} names them", markup=False)
    for name in ("valid", "test"):
        splits[name].save(folder / f"{name}.npz")
    keep_example(table, plan, splits["test"], folder / EXAMPLE)
    counts = {name: len(each) for name, each in splits.items()}
    return splits, Run(vocabularies=sizes, rows=counts, left_out=len({fault.line for fault in faults}))


def report(faults: list[Fault], folder: Path) -> None:
    (folder / REPORT).write_text("".join(f"{fault}\n" for fault in faults), encoding="utf-8")


def keep_example(table: lines.Table, plan: Plan, test: Rows, folder: Path) -> None:
    """The bytes of the test row with most parts."""
    at = int(test.lines[int(np.argmax(test.present.sum(1)))])
    line = next(each for each in table.lines if each.number == at)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, part in plan.parts.items():
        if part.column in line.cells:
            ending = ".txt" if part.kind == "text" else line.ending(part.column)
            (folder / f"{name}{ending}").write_bytes(rows.content(line, part, table.path.parent))
