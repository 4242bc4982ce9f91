"""A CSV, JSONL or Parquet file to its rows, each with the number of its line."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Cell = str | list[str]  # a list only where JSONL or Parquet has one
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


class Line(NamedTuple):
    """An empty cell has no key."""

    number: int  # of the line in the file, the head of a CSV being 1; of a Parquet file the row, from 1
    cells: dict[str, Cell]

    def text(self, column: str) -> str:
        cell = self.cells.get(column, "")
        return cell if isinstance(cell, str) else " ".join(cell)


class Table(NamedTuple):
    path: Path  # files in its cells are relative to its folder
    columns: list[str]
    lines: list[Line]


def read(path: Path) -> Table:
    """Raises FileNotFoundError, ValueError with the line."""
    if not path.is_file():
        raise FileNotFoundError(f"no such table: {path}")
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path}: a table ends in {', '.join(ENDINGS)}")
    if path.suffix in (".csv", ".tsv"):
        columns, lines = separated(path)
    else:
        lines = list(parquet(path) if path.suffix == ".parquet" else jsonl(path))
        columns = list(dict.fromkeys(name for line in lines for name in line.cells))
    if not lines:
        raise ValueError(f"{path}: no rows in it")
    return Table(path, columns, lines)


def separated(path: Path) -> tuple[list[str], list[Line]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8") from error
    reader = csv.reader(text.splitlines(keepends=True), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    lines, start = [], 2
    try:
        columns = [name.strip() for name in next(reader, [])]
        if len(set(columns)) < len(columns) or not all(columns):
            raise ValueError(f"{path}: line 1: a column without a name, or a name twice")
        for cells in reader:
            if len(cells) > len(columns):
                raise ValueError(f"{path}: line {start}: {len(cells)} cells, but {len(columns)} columns")
            found = {name: cell for name, cell in zip(columns, cells, strict=False) if cell.strip()}
            if cells:
                lines.append(Line(start, dict(found)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from error
    return columns, lines


def jsonl(path: Path) -> Iterator[Line]:
    for number, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if text.strip():
            try:
                held = json.loads(text)
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: not JSON") from error
            if not isinstance(held, dict):
                raise ValueError(f"{path}: line {number}: not an object")
            yield Line(number, cells(held))


def parquet(path: Path) -> Iterator[Line]:
    import pyarrow.parquet  # only who has such a table needs it

    for number, held in enumerate(pyarrow.parquet.read_table(path).to_pylist(), 1):
        yield Line(number, cells(held))


def cells(held: dict[str, Any]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for name, value in held.items():
        if isinstance(value, list):
            found[name] = [said(each) for each in value]
        elif value is not None and value == value and said(value).strip():  # NaN is not itself
            found[name] = said(value)
    return found


def said(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
