"""A trained network and unseen rows to numbers: calibration, and the quality of each task for each subset of parts."""

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import torch
from sklearn import metrics
from torch import Tensor
from torch.nn import functional

from models.heads import Calibrated
from models.heads.classify import UNKNOWN
from models.heads.regress import Regressor
from models.table import degrade as worse
from models.table.columns import CLASSIFICATION, REGRESSION, tensors
from models.table.fit import LARGE, tensor
from models.table.network import Network, Reach, spread
from models.table.rows import Rows
from service.types import Array

Subset = tuple[int, ...]  # 1 where the part is there
Scores = dict[str, float]
BINS = 10
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
CPU = torch.device("cpu")
FIRST = {"classification": "accuracy", "multilabel": "mAP", "regression": "MAE"}  # what plots and tables show


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


@torch.no_grad()
def ask(net: Network, rows: Rows, subset: Subset, level: Mapping[int, float] | None = None) -> dict[str, Tensor]:
    """Task -> what its head says of rows that have all of the subset, given no more. `level`: part -> degradation."""
    net.eval()
    said: list[dict[str, Tensor]] = []
    generator = torch.Generator().manual_seed(0)
    for at in range(0, len(rows), LARGE):
        some = rows.take(np.arange(at, min(at + LARGE, len(rows))))
        batch, _, _ = tensor(some, CPU)
        for i, amount in (level or {}).items():
            part = list(net.recipe.parts.values())[i]
            names = tensors(part.input)
            amounts = torch.full((len(some),), amount)
            degraded = worse.degrade(part.kind, [batch[name] for name in names], amounts, generator)
            batch |= dict(zip(names, degraded, strict=True))
        present = torch.tensor(subset, dtype=torch.float32).expand(len(some), -1)
        said.append(net(batch, present).raw)
    return {task: torch.cat([each[task] for each in said]) for task in net.recipe.tasks}


def calibrate(net: Network, valid: Rows) -> list[str]:
    """Temperatures and intervals for each subset, from rows not trained on; returns what could not be calibrated."""
    without = []
    parts = list(net.recipe.parts)
    for subset in subsets(len(parts)):
        rows = valid.take(having(valid, subset))
        raw = ask(net, rows, subset) if len(rows) else {}
        for name, head, calibrated in zip(net.recipe.tasks, net.tops, net.scales, strict=True):
            try:
                if not raw:
                    raise ValueError("no such row")
                truth = torch.from_numpy(rows.targets[name])
                if isinstance(head, Regressor) and isinstance(calibrated, Reach):
                    head.calibrate(raw[name], truth)
                    calibrated.reach[number(subset)] = head.reach
                elif isinstance(calibrated, Calibrated) and net.recipe.training.calibrate:
                    calibrated.temperature[number(subset)] = temperature(raw[name], truth)
            except ValueError as error:
                without.append(f"{name} from {title(subset, parts)}: {error}")
    return without


def temperature(logits: Tensor, truth: Tensor) -> float:
    """The T that makes the truth most likely (Guo et al., 2017). Raises ValueError where nothing is known."""
    single = truth.dtype == torch.int64
    known = truth != UNKNOWN if single else ~truth.isnan()
    if not known.any():
        raise ValueError("no known label")
    grid = torch.logspace(-0.6, 0.6, 61)
    loss = functional.cross_entropy if single else functional.binary_cross_entropy_with_logits
    losses = [loss(logits[known] / t, truth[known]) for t in grid]
    return grid[int(torch.stack(losses).argmin())].item()


def answers(net: Network, raw: Mapping[str, Tensor], subset: Subset) -> dict[str, list[Array]]:
    """Task -> [probabilities], or [values, intervals], as served."""
    found = {}
    with torch.no_grad():
        for name, head, calibrated in zip(net.recipe.tasks, net.tops, net.scales, strict=True):
            present = torch.tensor(subset, dtype=torch.float32).expand(len(raw[name]), -1)
            if isinstance(head, Regressor):
                found[name] = [each.numpy() for each in spread(head, raw[name], calibrated(present))]
            else:
                found[name] = [calibrated(raw[name], present).numpy()]
    return found


def scores(kind: str, said: list[Array], truth: Array) -> Scores:
    """What the task asks for; an empty dict where no truth is known. Classes without a row are left out of means."""
    if kind == CLASSIFICATION:
        known = truth != UNKNOWN
        return single(said[0][known], truth[known]) if known.any() else {}
    if kind == REGRESSION:
        return values(said[0], said[1], truth) if (~np.isnan(truth)).any() else {}
    known = ~np.isnan(truth)
    return several(said[0], truth) if known.any() else {}


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


def quality(net: Network, test: Rows) -> dict[str, dict[str, Scores]]:
    """Task -> subset -> scores."""
    parts = list(net.recipe.parts)
    found: dict[str, dict[str, Scores]] = {name: {} for name in net.recipe.tasks}
    for subset in subsets(len(parts)):
        rows = test.take(having(test, subset))
        if len(rows):
            said = answers(net, ask(net, rows, subset), subset)
            for name, task in net.recipe.tasks.items():
                if scored := scores(task.kind, said[name], rows.targets[name]):
                    found[name][title(subset, parts)] = scored
    return found


def robustness(net: Network, test: Rows) -> dict[str, dict[str, list[float]]]:
    """Task -> which part is degraded -> its first score at each of LEVELS; with all parts there, and by itself."""
    parts = list(net.recipe.parts)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in net.recipe.tasks}
    for i, part in enumerate(parts):
        lone = tuple(int(j == i) for j in range(len(parts)))
        for label, subset in {f"{part} alone": lone, f"all, {part} degraded": (1,) * len(parts)}.items():
            rows = test.take(having(test, subset))
            if not len(rows) or (len(parts) == 1 and subset != lone):
                continue
            at = [answers(net, ask(net, rows, subset, {i: level}), subset) for level in LEVELS]
            for name, task in net.recipe.tasks.items():
                line = [scores(task.kind, said[name], rows.targets[name]).get(FIRST[task.kind]) for said in at]
                if all(each is not None for each in line):
                    found[name][label] = [float(each) for each in line if each is not None]
    return found
