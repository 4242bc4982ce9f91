"""Rows of a table or files of a folder to sources: where each part of a row stands. Nothing is decoded here."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from service.errors import BraidError

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
ENDINGS = {
    "text": (".txt", ".md"),
    "image": (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
    "audio": (".wav", ".flac", ".ogg", ".opus", ".mp3"),
}
GROUP = 1000  # rows of a Parquet file that are in memory at once


class TableError(BraidError):
    """The table cannot be read as it was asked for."""


@dataclass(frozen=True, slots=True)
class Source:
    """A row: the number of its line, or the files' common name; its parts; columns to keep."""

    row: int | str
    parts: Mapping[str, str | bytes | Path] = field(default_factory=dict)  # words, contents, or the file they are in
    kept: Mapping[str, Any] = field(default_factory=dict)
    trouble: str | None = None  # why it cannot be scored


class Input(Protocol):
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class Columns:
    """Part -> column; parts without one are absent from all rows."""

    parts: Mapping[str, str]
    kinds: Mapping[str, str]
    kept: Sequence[str]
    folder: Path  # that file names are relative to

    def source(self, row: int, cells: Mapping[str, Any]) -> Source:
        parts: dict[str, str | bytes | Path] = {}
        for part, column in self.parts.items():
            value = cells.get(column)
            if value is None or value == "":
                continue
            if isinstance(value, dict):  # as Hugging Face's datasets keep media
                value = value.get("bytes") or value.get("path")
            if self.kinds[part] != "text" and isinstance(value, str):
                value = self.folder / value
            if not isinstance(value, str | bytes | Path):
                value = str(value)
            parts[part] = value
        return Source(row, parts, {name: cells.get(name) for name in self.kept})


def columns(
    table: Path, inputs: Mapping[str, Input], given: Mapping[str, str], kept: Sequence[str], names: Sequence[str]
) -> Columns:
    """A part is the column of its name unless `given` says another. Raises TableError."""
    for part, column in given.items():
        if part not in inputs:
            raise TableError(f"--column {part}={column}: the model has no such part; it takes {', '.join(inputs)}")
    parts = {part: given.get(part, part) for part in inputs if part in given or part in names}
    for name in [*parts.values(), *kept]:
        if name not in names:
            raise TableError(f"{table}: no column {name!r}; it has {', '.join(names)}")
    if not parts:
        raise TableError(
            f"{table}: no column is named after a part ({', '.join(inputs)}); it has {', '.join(names)}. "
            "Say which is which: --column text=body"
        )
    return Columns(parts, {part: inputs[part].kind for part in parts}, kept, table.parent)


def names(table: Path) -> list[str]:
    """Of a table's columns; those of JSONL are the keys of its first rows. Raises TableError."""
    if table.suffix in (".csv", ".tsv"):
        with table.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file, delimiter=delimiter(table)), [])
    if table.suffix == ".parquet":
        return list(parquet(table).schema_arrow.names)
    found: dict[str, None] = {}
    for _, cells in zip(range(GROUP), objects(table), strict=False):
        found |= dict.fromkeys(cells[1] if isinstance(cells[1], dict) else {})
    return list(found)


def count(table: Path) -> int:
    """Rows, for the progress bar."""
    if table.is_dir():
        return len(stems(table))
    if table.suffix == ".parquet":
        return int(parquet(table).metadata.num_rows)
    if table.suffix in (".csv", ".tsv"):
        with table.open(newline="", encoding="utf-8-sig") as file:
            return sum(1 for _ in csv.reader(file, delimiter=delimiter(table))) - 1
    with table.open("rb") as file:
        return sum(1 for line in file if line.strip())


def rows(table: Path, columns: Columns) -> Iterator[Source]:
    if table.suffix in (".csv", ".tsv"):
        yield from csv_rows(table, columns)
    elif table.suffix == ".parquet":
        number = 0
        for batch in parquet(table).iter_batches(GROUP):
            for cells in batch.to_pylist():
                number += 1
                yield columns.source(number, cells)
    else:
        for number, cells in objects(table):
            if isinstance(cells, dict):
                yield columns.source(number, cells)
            else:
                yield Source(number, trouble="the line is not a JSON object")


def csv_rows(table: Path, columns: Columns) -> Iterator[Source]:
    csv.field_size_limit(sys.maxsize)
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter(table))
        head = next(reader, [])
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            if len(cells) == len(head):
                yield columns.source(number, dict(zip(head, cells, strict=True)))
            elif cells:
                yield Source(number, trouble=f"{len(cells)} cells, the head has {len(head)}")


def objects(table: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers, and what stands there; None for what is not JSON."""
    with table.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, orjson.loads(line)
                except orjson.JSONDecodeError:
                    yield number, None


def delimiter(table: Path) -> str:
    return "\t" if table.suffix == ".tsv" else ","


def parquet(table: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise TableError("Parquet needs pyarrow: pip install 'braid[parquet]'") from error
    return pyarrow.parquet.ParquetFile(table)


def files(folder: Path, inputs: Mapping[str, Input]) -> Iterator[Source]:
    """Files of one name and different endings are the parts of one row: 001.png, 001.wav, 001.txt."""
    for stem, found in stems(folder).items():
        parts: dict[str, str | bytes | Path] = {}
        for part, spec in inputs.items():
            fitting = [file for file in found if file.suffix.lower() in ENDINGS.get(spec.kind, ())]
            if fitting:
                parts[part] = fitting[0]
        yield Source(stem, parts)


def stems(folder: Path) -> dict[str, list[Path]]:
    """Common name -> files, in the order of the names; subfolders are part of the name."""
    known = {ending for endings in ENDINGS.values() for ending in endings}
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in known and file.is_file():
            found.setdefault(str(file.relative_to(folder).with_suffix("")), []).append(file)
    return found
