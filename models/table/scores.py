"""Answers and truths to numbers: accuracy, F1, AUROC, average precision, calibration, errors. Needs no torch."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from sklearn import metrics

from models.table.check import UNKNOWN
from models.table.columns import ANOMALY, CLASSIFICATION, REGRESSION, UNLABELLED, Target
from models.table.rows import Rows
from service.types import Array

Subset = tuple[int, ...]  # 1 where the part is there
Scores = dict[str, float]
NOTHING = "nothing (a guess)"  # in the place of a subset
GUESSED = ("accuracy", "F1", "mAP", "MAE", "rows")  # what means something there
BINS = 10
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of degradation
FIRST = {  # what plots and tables show
    "classification": "accuracy",
    "multilabel": "mAP",
    "regression": "MAE",
    "embedding": "R@10",
    "anomaly": "AUROC",
}


def subsets(parts: int) -> list[Subset]:
    """All but the empty one, single parts first."""
    every = [each for each in product((0, 1), repeat=parts) if any(each)]
    return sorted(every, key=lambda each: (sum(each), [-x for x in each]))


def title(subset: Subset, parts: list[str]) -> str:
    return "+".join(part for part, there in zip(parts, subset, strict=True) if there)


def number(subset: Subset) -> int:
    """Part i is bit i; as heads.subset."""
    return sum(there << i for i, there in enumerate(subset))


def having(rows: Rows, subset: Subset) -> Array:
    """Indices of the rows that have all of it."""
    return np.flatnonzero((rows.present >= np.array(subset)).all(1))


def scores(kind: str, said: list[Array], truth: Array) -> Scores:
    """What the task asks for; an empty dict where no truth is known. Classes without a row are left out of means."""
    if kind == CLASSIFICATION:
        known = truth != UNKNOWN
        return single(said[0][known], truth[known]) if known.any() else {}
    if kind == REGRESSION:
        return values(said[0], said[1], truth) if (~np.isnan(truth)).any() else {}
    if kind == ANOMALY:
        return unusual(said[0], truth[:, 0] == 1)
    known = ~np.isnan(truth)
    return several(said[0], truth) if known.any() else {}


def unusual(said: Array, truth: Array) -> Scores:
    """Of scores whose threshold is 1: false alarms are the share of usual rows over it, found that of the others."""
    found: Scores = {"rows": len(truth)}
    if not truth.all():
        found["false alarms"] = float((said[~truth] > 1).mean())
    if truth.any():
        found |= {"anomalies": int(truth.sum()), "found": float((said[truth] > 1).mean())}
    if 0 < truth.sum() < len(truth):
        found["AUROC"] = float(metrics.roc_auc_score(truth, said))
    return found


def guessed(task: Target, known: Array, truth: Array) -> Scores:
    """What an answer that looks at nothing scores: the most frequent class, the share of each label, the mean, all of
    rows (N, ...) `known` before; an empty dict where nothing is known."""
    seen = known != UNKNOWN if task.kind == CLASSIFICATION else ~np.isnan(known)
    if task.kind in UNLABELLED or not seen.any():
        return {}
    if task.kind == CLASSIFICATION:
        p = np.bincount(known[seen], minlength=task.size) / seen.sum()
        found = scores(task.kind, [np.tile(p, (len(truth), 1))], truth)
    else:
        mean = np.tile(np.nan_to_num(np.nanmean(known, 0)), (len(truth), 1))
        found = scores(task.kind, [mean, np.stack((mean, mean), -1)], truth)
    return {name: value for name, value in found.items() if name in GUESSED}


def single(p: Array, truth: Array) -> Scores:
    answer = p.argmax(1)
    found = {
        "accuracy": float((answer == truth).mean()),
        "F1": float(metrics.f1_score(truth, answer, labels=np.unique(truth), average="macro", zero_division=0)),
        "ECE": calibration(p.max(1), answer == truth),
        "rows": len(truth),
    }
    areas = [
        metrics.roc_auc_score(truth == c, p[:, c]) for c in np.unique(truth) if 0 < (truth == c).sum() < len(truth)
    ]
    return found | ({"AUROC": float(np.mean(areas))} if areas else {})


def several(p: Array, truth: Array) -> Scores:
    known = ~np.isnan(truth)
    columns = [(p[known[:, i], i], truth[known[:, i], i]) for i in range(truth.shape[1])]
    mixed = [(each, yes) for each, yes in columns if 0 < yes.sum() < len(yes)]
    flat, yes = p[known], truth[known] > 0
    found = {
        "accuracy": float(((flat >= 0.5) == yes).mean()),
        "F1": float(metrics.f1_score(yes, flat >= 0.5, zero_division=0)),
        "ECE": calibration(flat, yes),
        "rows": len(truth),
    }
    if mixed:
        found["mAP"] = float(np.mean([metrics.average_precision_score(yes, each) for each, yes in mixed]))
        found["AUROC"] = float(np.mean([metrics.roc_auc_score(yes, each) for each, yes in mixed]))
    return found


def values(said: Array, interval: Array, truth: Array) -> Scores:
    """Of several values the means; R2 of each is of the one column."""
    known = ~np.isnan(truth)
    inside = (truth >= interval[..., 0]) & (truth <= interval[..., 1])
    r2 = []
    for i in range(truth.shape[1]):
        y, x = truth[known[:, i], i], said[known[:, i], i]
        if len(y) > 1 and y.std() > 0:
            r2.append(1 - ((y - x) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    found = {
        "MAE": float(np.abs(said - truth)[known].mean()),
        "coverage": float(inside[known].mean()),
        "interval": float((interval[..., 1] - interval[..., 0])[known].mean()),
        "rows": len(truth),
    }
    return found | ({"R2": float(np.mean(r2))} if r2 else {})


def calibration(confidence: Array, right: Array) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): sum over bins of |confidence - share that is right|."""
    return float(sum(abs(c - r) * n for c, r, n in bins(confidence, right)) / max(1, len(right)))


def bins(confidence: Array, right: Array) -> Iterator[tuple[float, float, int]]:
    """Mean confidence, share that is right, how many; of each bin that is not empty."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    for b in range(BINS):
        there = place == b
        if there.any():
            yield float(confidence[there].mean()), float(right[there].mean()), int(there.sum())
