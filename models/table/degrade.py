"""A batch of one part to a worse one: noise and less contrast, other words; for training, and for robustness curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator

from models.table.columns import Column, tensors
from models.table.rows import Rows
from service.types import FLOAT, Array, Row

WORDS = 0.6  # share of a text's tokens that the strongest degradation replaces
NOISE = 1.5  # of the strongest, in standard deviations of what it is added to


def degrade(kind: str, arrays: Sequence[Array], level: Array, rng: Generator) -> list[Array]:
    """`level` (B,) from 0, nothing, to 1. Masks stay as they are."""
    first, *rest = arrays
    return [words(first, level, rng) if kind == "text" else noisy(first, level, rng), *rest]


def degraded(parts: Mapping[str, Column], rows: Rows, levels: Mapping[int, float], rng: Generator) -> Row:
    """The batch of `rows`, some parts of it worse: number of the part -> level."""
    batch = rows.batch()
    for i, level in levels.items():
        part = list(parts.values())[i]
        names = tensors(part.input)
        worse = degrade(part.kind, [batch[name] for name in names], np.full(len(rows), level), rng)
        batch |= dict(zip(names, worse, strict=True))
    return batch


def words(ids: Array, level: Array, rng: Generator) -> Array:
    """Tokens (B, T) replaced by others of the same batch, at any place but padding's."""
    chosen = rng.random(ids.shape) < WORDS * level[:, None]
    others = ids.ravel()[rng.integers(ids.size, size=ids.shape)]
    return np.where(chosen & (ids != 0) & (others != 0), others, ids)


def noisy(x: Array, level: Array, rng: Generator) -> Array:
    """x (B, ...) float: m + (1 - a / 2) (x - m) + a NOISE s n; m and s the mean and deviation of each, n normal."""
    out = x.copy()
    for i in np.flatnonzero(level):
        a, m, s = FLOAT(level[i]), x[i].mean(), x[i].std()
        noise = rng.standard_normal(x[i].shape, FLOAT)
        out[i] = m + (1 - a / 2) * (x[i] - m) + a * FLOAT(NOISE) * s * noise
    return out
