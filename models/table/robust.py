"""How each task's first score falls as one part gets worse. Needs no torch."""

from collections.abc import Callable, Mapping

from models.table.columns import Column, Target
from models.table.rows import Rows
from models.table.scores import FIRST, LEVELS, Subset, having, scores
from service.types import Array

Asked = Callable[[Rows, Subset, Mapping[int, float]], dict[str, list[Array]]]
"""Rows that have all of a subset, given no more, some parts degraded (number -> level) -> task -> what is served."""


def curves(
    parts: Mapping[str, Column], tasks: Mapping[str, Target], test: Rows, asked: Asked
) -> dict[str, dict[str, list[float]]]:
    """Task -> which part is degraded -> its score at each of LEVELS; by itself, and with all parts there."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in tasks}
    for i, part in enumerate(parts):
        lone = tuple(int(j == i) for j in range(len(parts)))
        for label, subset in {f"{part} alone": lone, f"all, {part} degraded": (1,) * len(parts)}.items():
            rows = test.take(having(test, subset))
            if not len(rows) or (len(parts) == 1 and label != f"{part} alone"):
                continue
            at = [asked(rows, subset, {i: level}) for level in LEVELS]
            for name in at[0]:
                kind = tasks[name].kind
                line = [scores(kind, said[name], rows.targets[name]).get(FIRST[kind]) for said in at]
                if all(each is not None for each in line):
                    found[name][label] = [float(each) for each in line if each is not None]
    return found
