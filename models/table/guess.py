"""A table to what each of its columns seems to be: a part, the answer, the split, or nothing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from models.table.lines import Cell, Line, Table, ending

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".opus", ".aiff", ".au")
ANSWERS = (
    "label",
    "labels",
    "class",
    "classes",
    "target",
    "category",
    "y",
    "answer",
    "diagnosis",
    "sentiment",
    "score",
)
IGNORED = ("id", "uuid", "index", "key")
SEPARATORS = ("|", ";", ",")
PARTS = ("text", "image", "audio")
RARE = 3  # rows of a class that are too few to learn it


class Found(NamedTuple):
    """Column -> what it seems to be: text, image, audio, split, ignored; or a kind of task."""

    roles: dict[str, str]
    labels: dict[str, list[str]]
    separators: dict[str, str]
    others: list[str]  # columns that could be predicted, too

    def having(self, roles: Sequence[str]) -> list[str]:
        return [column for column, role in self.roles.items() if role in roles]


def look(table: Table, asked: Sequence[str], *, unlabelled: bool = False) -> Found:
    """`asked`: columns to predict, where the guess is wrong. Raises ValueError where there is no such column."""
    if missing := [column for column in asked if column not in table.columns]:
        raise ValueError(f"no column {missing[0]!r}; there are {', '.join(table.columns)}")
    values = {column: cells(table.lines, column) for column in table.columns}
    roles = {column: role(column, found) for column, found in values.items()}
    likely = [c for c, kind in roles.items() if kind == "ignored" and values[c] and c.lower() not in IGNORED]
    named = list(asked) or [column for column in table.columns if column.lower() in ANSWERS]
    if unlabelled:
        named = list(asked)
    elif not named:
        named = [c for c in likely if any(isinstance(cell, list) for cell in values[c])] or likely[-1:]
    labels, separators = {}, {}
    for column in named:
        if roles[column] not in ("image", "audio", "split"):
            roles[column], labels[column], separators[column] = answer(values[column])
    return Found(roles, labels, separators, [column for column in likely if column not in named])


def cells(lines: Sequence[Line], column: str) -> list[Cell]:
    return [line.cells[column] for line in lines if column in line.cells]


def role(column: str, found: Sequence[Cell]) -> str:
    """Of a column that is not asked for."""
    said = [cell for cell in found if isinstance(cell, str)]
    files = [ending(cell) if isinstance(cell, bytes) else cell.lower() for cell in found if not isinstance(cell, list)]
    if not files:
        return "ignored"
    for kind, endings in (("image", PICTURES), ("audio", SOUNDS)):
        if np.mean([cell.endswith(endings) for cell in files]) > 0.8:
            return kind
    if not said or (column.lower() == "split" and set(said) <= {"train", "valid", "test"}):
        return "split" if said else "ignored"
    if column.lower() in IGNORED or np.mean([numeric(cell) for cell in said]) > 0.8:
        return "ignored"
    words = np.mean([len(cell.split()) for cell in said])
    return "text" if words >= 2 or len(set(said)) > max(20, len(said) // 2) else "ignored"


def answer(found: Sequence[Cell]) -> tuple[str, list[str], str]:
    """Kind of the task, labels, separator."""
    said = [cell for cell in found if isinstance(cell, str)]
    if len(said) < len(found):
        listed = (label for cell in found for label in (cell if isinstance(cell, list) else [str(cell)]))
        return "multilabel", frequent(listed), "|"
    if said and all(numeric(cell) for cell in said):
        several = len(set(said))
        if several > 20 or any(not float(cell).is_integer() for cell in said):
            return "regression", [], "|"
    for separator in SEPARATORS:
        pieces = [piece.strip() for cell in set(said) for piece in cell.split(separator)]
        shares = [separator in cell for cell in said]
        if shares and np.mean(shares) > 0.05 and len(set(pieces)) < len(pieces):
            return "multilabel", frequent(piece for cell in said for piece in split(cell, separator)), separator
    return "classification", frequent(cell.strip() for cell in said), "|"


def split(cell: str, separator: str) -> list[str]:
    return [piece.strip() for piece in cell.split(separator) if piece.strip()]


def frequent(labels: Iterable[str]) -> list[str]:
    """Numbers by size, then others by letter."""
    counts = Counter(labels)
    return sorted(counts, key=lambda label: (not numeric(label), float(label) if numeric(label) else 0.0, label))


def doubtful(found: Sequence[Cell], labels: Sequence[str], separator: str) -> list[str]:
    """Labels that may be slips: of few rows, or written like another one; with what speaks against them."""
    said: list[str] = []
    for cell in found:
        if isinstance(cell, list):
            said += cell
        elif isinstance(cell, str):
            said += split(cell, separator)
    counts, doubts = Counter(said), []
    for label in labels:
        alike = [other for other in labels if other != label and other.lower() == label.lower()]
        if alike and counts[alike[0]] > counts[label]:
            doubts.append(f"{label!r} ({counts[label]} of the rows) and {alike[0]!r} ({counts[alike[0]]})")
        elif counts[label] < RARE:
            doubts.append(f"{label!r} ({counts[label]} of the rows)")
    return doubts


def numeric(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
