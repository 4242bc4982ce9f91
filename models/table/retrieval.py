"""Vectors of parts to how well one part of a row finds the other among those of all rows. Needs no torch."""

from itertools import permutations

import numpy as np

from models.table.check import UNKNOWN
from models.table.scores import Scores
from service.types import Array

RECALLS = (1, 5, 10)


def retrieval(vectors: Array, present: Array, groups: Array, parts: list[str]) -> dict[str, Scores]:
    """`asked -> found` -> recall at 1, 5 and 10, median rank, and the rows that have both, among which it is found.

    vectors (N, M, d) of length 1, present (N, M), groups (N,): a row of the same group is as right as the row itself.
    """
    scored: dict[str, Scores] = {}
    for i, j in permutations(range(len(parts)), 2):
        both = np.flatnonzero((present[:, i] > 0) & (present[:, j] > 0))
        if len(both) > 1:
            place = ranks(vectors[both, i] @ vectors[both, j].T, groups[both])
            found: Scores = {f"R@{k}": float((place <= k).mean()) for k in RECALLS}
            scored[f"{parts[i]} -> {parts[j]}"] = found | {"median rank": float(np.median(place)), "rows": len(both)}
    return scored


def ranks(scores: Array, groups: Array) -> Array:
    """scores (N, N) of what asks against what may be found -> (N,): the place of the best that is right, 1 being the
    first; among equal scores the middle one."""
    same = (groups[:, None] == groups) & (groups[:, None] != UNKNOWN)
    right = same | np.eye(len(scores), dtype=bool)
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    better = ((scores > best) & ~right).sum(1)
    equal = ((scores == best) & ~right).sum(1)
    return np.asarray(1 + better + equal / 2)
