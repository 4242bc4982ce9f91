"""Features and targets to fitted estimators, and to what makes their answers mean what they say."""

import math
from typing import Any, NamedTuple

import numpy as np

from models.classic.estimators import build
from models.classic.recipe import Task
from models.table.check import UNKNOWN
from models.table.columns import CLASSIFICATION, REGRESSION
from service.types import FLOAT, Array

SMALL = 1e-6  # of a probability: logarithms stay finite
TEMPERATURES = np.logspace(-0.9, 0.6, 76)


class Fitted(NamedTuple):
    """One estimator of a classification, one for each label or value of other tasks."""

    task: Task
    estimators: list[Any]

    def answer(self, features: Array) -> Array:
        """(N, K) probabilities, not calibrated, or values."""
        if self.task.kind == CLASSIFICATION:
            return np.asarray(self.estimators[0].predict_proba(features), FLOAT)
        if self.task.kind == REGRESSION:
            return np.stack([each.predict(features) for each in self.estimators], 1).astype(FLOAT)
        return np.stack([each.predict_proba(features)[:, 1] for each in self.estimators], 1).astype(FLOAT)


def fit(task: Task, features: Array, targets: Array, seed: int, threads: int = 1) -> Fitted:
    """features (N, D); rows of which a target is not known do not count for it."""
    if task.kind == CLASSIFICATION:
        known = targets != UNKNOWN
        return Fitted(task, [build(task.estimator, seed, threads, values=False).fit(features[known], targets[known])])
    estimators = []
    for column in targets.T:
        known = ~np.isnan(column)
        y = column[known] if task.kind == REGRESSION else column[known].astype(np.int64)
        made = build(task.estimator, seed, threads, values=task.kind == REGRESSION)
        estimators.append(made.fit(features[known], y))
    return Fitted(task, estimators)


def softened(kind: str, p: Array, t: Array) -> Array:
    """Probabilities (N, K) at temperatures (N, 1) (Guo et al., 2017, arXiv:1706.04599): softmax(ln p / T), or, of
    labels, sigmoid(ln(p / (1 - p)) / T)."""
    p = p.astype(np.float64).clip(SMALL, 1 - SMALL)
    if kind == CLASSIFICATION:
        z = np.exp(np.log(p) / t)
        return np.asarray((z / z.sum(1, keepdims=True)).astype(FLOAT))
    return np.asarray((1 / (1 + np.exp((np.log1p(-p) - np.log(p)) / t))).astype(FLOAT))


def temperature(kind: str, p: Array, truth: Array) -> float | None:
    """The one that makes the truth most likely; None where nothing is known."""
    known = truth != UNKNOWN if kind == CLASSIFICATION else ~np.isnan(truth)
    if not known.any():
        return None
    losses = []
    for t in TEMPERATURES:
        q = softened(kind, p, np.full((len(p), 1), t)).astype(np.float64).clip(SMALL, 1 - SMALL)
        if kind == CLASSIFICATION:
            losses.append(-np.log(q[known, truth[known]]).mean())
        else:
            losses.append(-np.log(np.where(truth > 0, q, 1 - q))[known].mean())
    return float(TEMPERATURES[int(np.argmin(losses))])


def quantile(errors: Array, coverage: float) -> float | None:
    """What a share of `coverage` of unseen errors will not pass (Lei et al., 2018, arXiv:1604.04173); None where too
    few are there to tell."""
    rank = math.ceil(round((len(errors) + 1) * coverage, 9))
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else None
