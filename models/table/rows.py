"""Lines of a table to arrays, through the service's own inputs; kept on disk, collated to batches."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from models.table import check
from models.table.check import BadRows, Fault
from models.table.columns import Column, Plan, TextColumn, tensors, write_bank
from models.table.lines import Line, Table
from service.errors import RequestError
from service.types import FLOAT, Array, Encode, Row

CHUNK = 64  # rows of one job
FEW = 200  # rows that are not worth other processes


@dataclass(frozen=True)
class Rows:
    rows: list[Row]  # only the tensors of the parts that are there
    present: Array  # (N, M) float32
    targets: dict[str, Array]  # task -> (N,) int64 or (N, size) float32
    lines: Array  # (N,) numbers of the lines
    blank: Row  # zeros for what is absent

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: Array) -> "Rows":
        return replace(
            self,
            rows=[self.rows[i] for i in chosen],
            present=self.present[chosen],
            targets={task: values[chosen] for task, values in self.targets.items()},
            lines=self.lines[chosen],
        )

    def batch(self) -> Row:
        """All rows stacked; absent parts and what is shorter filled with zeros at the end."""
        out = {}
        for name, blank in self.blank.items():
            held = [(i, row[name]) for i, row in enumerate(self.rows) if name in row]
            shape = np.max([values.shape for _, values in held] or [blank.shape], 0)
            stacked = np.zeros((len(self), *shape), blank.dtype)
            for i, values in held:
                stacked[i][tuple(map(slice, values.shape))] = values
            out[name] = stacked
        return out

    def save(self, path: Path) -> None:
        """Each tensor of all rows end to end, with the rows and shapes of the pieces."""
        arrays: Row = {"present": self.present, "lines": self.lines}
        arrays |= {f"target/{task}": values for task, values in self.targets.items()}
        for name, blank in self.blank.items():
            held = [i for i, row in enumerate(self.rows) if name in row]
            arrays[f"blank/{name}"] = blank
            arrays[f"rows/{name}"] = np.array(held, np.int64)
            arrays[f"shapes/{name}"] = np.array([self.rows[i][name].shape for i in held], np.int64)
            pieces = [self.rows[i][name].ravel() for i in held]
            arrays[f"values/{name}"] = np.concatenate(pieces) if pieces else np.zeros(0, blank.dtype)
        np.savez(path, allow_pickle=False, **arrays)


def load(path: Path) -> Rows:
    """Raises FileNotFoundError."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)

    def under(prefix: str) -> Row:
        return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}

    rows: list[Row] = [{} for _ in arrays["lines"]]
    for name, values in under("values/").items():
        start = 0
        for i, shape in zip(arrays[f"rows/{name}"], arrays[f"shapes/{name}"], strict=True):
            end = start + int(np.prod(shape))
            rows[i][name] = values[start:end].reshape(shape)
            start = end
    return Rows(rows, arrays["present"], under("target/"), arrays["lines"], under("blank/"))


def fewer(present: Array, complete: float, rng: np.random.Generator) -> Array:
    """A random number of the parts that are there; in a share of `complete` all of them."""
    order = np.where(present > 0, rng.random(present.shape), np.inf).argsort(1).argsort(1)  # rank among what is there
    count = present.sum(1)
    kept = np.where(rng.random(len(present)) < complete, count, rng.integers(1, count + 1))
    return np.asarray((order < kept[:, None]) & (present > 0), np.float32)


def prepare(
    table: Table, plan: Plan, folder: Path, tell: Callable[[int, int], None], *, skip: bool = False
) -> tuple[dict[str, Rows], dict[str, int], list[Fault]]:
    """Split -> rows, text part -> size of its vocabulary, and what is left out. Writes tokenizers and filter banks.

    Raises BadRows, with every bad row, before anything is trained; with `skip` only where the table itself is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if faults := check.columns(table, plan.parts, plan.tasks, plan.split):
        raise BadRows(faults, table.path)
    home = table.path.parent
    found = {each.number: check.line(each, home, plan) for each in table.lines}
    lines = [each for each in table.lines if not found[each.number]]
    for column in plan.parts.values():
        if column.kind == "audio":
            write_bank(column, folder)
    sizes = tokenizers(plan, lines, folder)
    encoders = {name: column.input.load(folder) for name, column in plan.parts.items()}
    made = encoded(lines, plan, home, encoders, tell)
    for each, (_, wrong) in zip(lines, made, strict=True):
        found[each.number] = wrong
    faults = [fault for wrong in found.values() for fault in wrong]
    kept = [(each, row) for each, (row, wrong) in zip(lines, made, strict=True) if not wrong]
    lines = [each for each, _ in kept]
    splits = split(lines, plan)
    whole = check.classes(lines, splits, plan.tasks) + check.pairs(lines, splits, plan.parts, plan.tasks)
    whole += [
        Fault(0, part.column, "no row has this part")
        for part in plan.parts.values()
        if not any(part.column in each.cells for each in lines)
    ]
    if whole or (faults and not skip):
        raise BadRows([*faults, *whole], table.path)
    return divided(lines, [row for _, row in kept], splits, plan), sizes, faults


def split(lines: Sequence[Line], plan: Plan) -> Array:
    """(N,) of check.SPLITS; what has no label is nothing to stop a training or to measure it by."""
    if not lines:
        return np.array([], str)
    found = check.splits(lines, plan.split, plan.tasks, plan.seed)
    if plan.unlabelled and not plan.split.column:
        found[[not check.labelled(each, plan.tasks) for each in lines]] = "train"
    return found


def divided(lines: Sequence[Line], rows: Sequence[Row], splits: Array, plan: Plan) -> dict[str, Rows]:
    blank = {name: np.zeros_like(values) for row in reversed(rows) for name, values in row.items()}
    everything = Rows(
        list(rows),
        np.array([[part.column in each.cells for part in plan.parts.values()] for each in lines], FLOAT),
        {name: np.stack([check.target(each, task) for each in lines]) for name, task in plan.tasks.items()},
        np.array([each.number for each in lines]),
        blank,
    )
    return {split: everything.take(np.flatnonzero(splits == split)) for split in check.SPLITS}


def tokenizers(plan: Plan, lines: Sequence[Line], folder: Path) -> dict[str, int]:
    """From the texts that are trained on."""
    if not lines:
        return {}
    splits = split(lines, plan)
    sizes = {}
    for name, part in plan.parts.items():
        if isinstance(part, TextColumn):
            texts = [each.text(part.column) for each, split in zip(lines, splits, strict=True) if split == "train"]
            prepared = [part.input.prepared(text) for text in texts if text]
            sizes[name] = part.tokens.write(folder / part.input.tokenizer, prepared)
    return sizes


Made = tuple[Row, list[Fault]]


def encoded(
    lines: Sequence[Line], plan: Plan, home: Path, encoders: Mapping[str, Encode], tell: Callable[[int, int], None]
) -> list[Made]:
    """A row each, and what is wrong with it."""
    global _job  # noqa: PLW0603 (a forked worker has no other way to large things)
    _job = plan, home, encoders
    if len(lines) <= FEW:
        made = _work(lines)
        tell(len(made), len(lines))
        return made
    chunks = [lines[at : at + CHUNK] for at in range(0, len(lines), CHUNK)]
    made = []
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as workers:
        for some in workers.map(_work, chunks):
            made += some
            tell(len(made), len(lines))
    return made


_job: tuple[Plan, Path, Mapping[str, Encode]]


def _work(lines: Sequence[Line]) -> list[Made]:
    plan, home, encoders = _job
    return [one(each, plan, home, encoders) for each in lines]


def one(each: Line, plan: Plan, home: Path, encoders: Mapping[str, Encode]) -> Made:
    row: Row = {}
    faults = []
    for name, part in plan.parts.items():
        if part.column in each.cells:
            try:
                made = encoders[name](content(each, part, home))
            except (RequestError, OSError) as error:
                what = error.detail if isinstance(error, RequestError) else "cannot be read"
                faults.append(Fault(each.number, part.column, what))
            else:
                row |= {tensor: made[tensor] for tensor in tensors(part.input)}
    return row, faults


def content(each: Line, part: Column, home: Path) -> bytes:
    """What a client would send."""
    cell = each.cells[part.column]
    if isinstance(cell, bytes):
        return cell
    return each.text(part.column).encode() if part.kind == "text" else (home / each.text(part.column)).read_bytes()
