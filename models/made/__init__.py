"""Tables for worked examples: `digits` and `search` of real pictures and recordings, `triage` synthetic."""

from collections.abc import Callable, Iterable
from pathlib import Path

from models.made import digits, search, triage
from models.made.rows import Made, write

TABLES: dict[str, Callable[[Path, int, int], Iterable[Made]]] = {  # name -> data folder, rows, seed -> rows
    "digits": digits.rows,
    "search": search.rows,
    "triage": triage.rows,
}
USUAL = {"digits": 5000, "search": 5000, "triage": 2000}  # rows


def make(name: str, data: Path, folder: Path, count: int, seed: int = 7) -> Path:
    """Writes FOLDER/table.csv and its files; returns the table. Raises ValueError, FileNotFoundError."""
    if name not in TABLES:
        raise ValueError(f"no table {name!r}; there are {', '.join(TABLES)}")
    return write(folder, TABLES[name](data, count, seed))
