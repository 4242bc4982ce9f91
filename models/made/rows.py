"""Rows of bytes and words to a folder: table.csv, and the files that its cells name."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Made(NamedTuple):
    words: Mapping[str, str]  # column -> cell
    files: Mapping[str, tuple[str, bytes]]  # column -> ending, content


def write(folder: Path, rows: Iterable[Made]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        for i, row in enumerate(rows):
            cells = dict(row.words)
            for column, (ending, content) in row.files.items():
                cells[column] = f"{column}-{i:05}.{ending}" if content else ""
                if content:
                    (folder / cells[column]).write_bytes(content)
            writer = writer or csv.DictWriter(file, list(cells))
            if i == 0:
                writer.writeheader()
            writer.writerow(cells)
    return table


def kept(rng: np.random.Generator, parts: int, share: float) -> list[bool]:
    """Which parts a row has; one at least."""
    there = rng.random(parts) < share
    there[rng.integers(parts)] |= not there.any()
    return [bool(each) for each in there]
