"""Tables for worked examples: `digits`, `monitor`, `search` of real pictures and sounds; the others are synthetic."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from models.made import digits, monitor, scenes, search, triage
from models.made.rows import Made, write


class Table(NamedTuple):
    rows: Callable[[Path, int, int], Iterable[Made]]  # data folder, count, seed -> rows
    usual: int  # rows


TABLES = {
    "digits": Table(digits.rows, 5000),
    "machine": Table(scenes.machine, 1500),
    "monitor": Table(monitor.rows, 5000),  # as many as there are
    "search": Table(search.rows, 5000),  # as many as there are
    "triage": Table(triage.rows, 2000),
    "weather": Table(scenes.weather, 1500),
}


def make(name: str, data: Path, folder: Path, count: int | None = None, seed: int = 7) -> Path:
    """Writes FOLDER/table.csv and its files; returns the table. Raises ValueError, FileNotFoundError."""
    if name not in TABLES:
        raise ValueError(f"no table {name!r}; there are {', '.join(TABLES)}")
    return write(folder, TABLES[name].rows(data, count or TABLES[name].usual, seed))
