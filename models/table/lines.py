"""A CSV, JSONL or Parquet file to its rows, each with the number of its line."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Cell = str | list[str] | bytes  # a list only where JSONL or Parquet has one, bytes of a file where Parquet has them
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
SIGNATURES = {  # how a file begins -> its ending
    b"\x89PNG": ".png",
    b"\xff\xd8": ".jpg",
    b"GIF8": ".gif",
    b"RIFF": ".wav",
    b"fLaC": ".flac",
    b"OggS": ".ogg",
    b"ID3": ".mp3",
    b"\xff\xfb": ".mp3",
}


class Line(NamedTuple):
    """An empty cell has no key."""

    number: int  # of the line in the file, the head of a CSV being 1; of a Parquet file the row, from 1
    cells: dict[str, Cell]

    def text(self, column: str) -> str:
        """Nothing of bytes."""
        cell = self.cells.get(column, "")
        return cell if isinstance(cell, str) else "" if isinstance(cell, bytes) else " ".join(cell)

    def ending(self, column: str) -> str:
        """Of the file that a cell names or holds, with its dot."""
        cell = self.cells[column]
        return ending(cell) if isinstance(cell, bytes) else Path(self.text(column)).suffix


def ending(data: bytes) -> str:
    if data[8:12] == b"WEBP":
        return ".webp"
    return next((name for begin, name in SIGNATURES.items() if data.startswith(begin)), ".bin")


class Table(NamedTuple):
    path: Path  # files in its cells are relative to its folder
    columns: list[str]
    lines: list[Line]


def read(path: Path) -> Table:
    """Raises FileNotFoundError, ValueError with the line."""
    if not path.is_file():
        raise FileNotFoundError(f"no such table: {path}; --data names it")
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path}: a table ends in {', '.join(ENDINGS)}")
    if path.suffix in (".csv", ".tsv"):
        columns, lines = separated(path)
    else:
        records = list(parquet(path) if path.suffix == ".parquet" else jsonl(path))
        columns = list(dict.fromkeys(name for _, held in records for name in held))
        lines = [Line(number, cells(held)) for number, held in records]
    if not lines:
        raise ValueError(f"{path}: no rows in it")
    return Table(path, columns, lines)


def separated(path: Path) -> tuple[list[str], list[Line]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8; save it as CSV in UTF-8") from error
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator(path, text), strict=True)
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


def separator(path: Path, text: str) -> str:
    """What stands between the cells: a comma, unless the head has none; spreadsheets of some languages write `;`."""
    head = text.partition("\n")[0]
    return "\t" if path.suffix == ".tsv" else next((sign for sign in ",;\t" if sign in head), ",")


def jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if text.strip():
            try:
                held = json.loads(text)
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: not JSON") from error
            if not isinstance(held, dict):
                raise ValueError(f"{path}: line {number}: not an object")
            yield number, held


def parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow.parquet  # only who has such a table needs it

    yield from enumerate(pyarrow.parquet.read_table(path).to_pylist(), 1)


def cells(held: dict[str, Any]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for name, value in held.items():
        if isinstance(value, dict):  # as datasets of Hugging Face's have pictures and sounds
            value = value.get("bytes") or value.get("path")
        if isinstance(value, list):
            found[name] = [said(each) for each in value]
        elif isinstance(value, bytes):
            found |= {name: value} if value else {}
        elif value is not None and value == value and said(value).strip():  # NaN is not itself
            found[name] = said(value)
    return found


def said(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
