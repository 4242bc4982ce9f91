"""A trained network and unseen rows to numbers: calibration, and the quality of each task for each subset of parts."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.heads import Calibrated
from models.heads.classify import UNKNOWN
from models.heads.regress import Regressor
from models.table.columns import EMBEDDING
from models.table.degrade import degraded
from models.table.fit import CPU, LARGE, tensor
from models.table.network import Network, Reach, spread
from models.table.retrieval import retrieval
from models.table.robust import curves
from models.table.rows import Rows
from models.table.scores import FIRST, LEVELS, Scores, Subset, having, number, scores, subsets, title
from models.table.unlabelled import Usual
from service.types import Array


@torch.no_grad()
def ask(net: Network, rows: Rows, subset: Subset, level: Mapping[int, float] | None = None) -> dict[str, Tensor]:
    """Task -> what its head says of rows that have all of the subset, given no more. `level`: part -> degradation."""
    net.eval()
    said: list[dict[str, Tensor]] = []
    rng = np.random.default_rng(0)
    for at in range(0, len(rows), LARGE):
        some = rows.take(np.arange(at, min(at + LARGE, len(rows))))
        batch = tensor(degraded(net.recipe.parts, some, level or {}, rng), CPU)
        present = torch.tensor(subset, dtype=torch.float32).expand(len(some), -1)
        said.append(net(batch, present).raw)
    return {task: torch.cat([each[task] for each in said]) for task in net.recipe.tasks}


def calibrate(net: Network, valid: Rows) -> list[str]:
    """Temperatures, intervals and what is usual for each subset, from rows not trained on; returns what could not be
    calibrated."""
    without = []
    parts = list(net.recipe.parts)
    for subset in subsets(len(parts)):
        rows = valid.take(having(valid, subset))
        raw = ask(net, rows, subset) if len(rows) else {}
        for name, task in net.recipe.tasks.items():
            if task.kind == EMBEDDING:
                continue
            try:
                if not raw:
                    raise ValueError("no such row")
                fitted(net, name, raw[name], torch.from_numpy(rows.targets[name]), subset)
            except ValueError as error:
                without.append(f"{name} from {title(subset, parts)}: {error}")
    return without


def fitted(net: Network, name: str, raw: Tensor, truth: Tensor, subset: Subset) -> None:
    """Raises ValueError where there are too few rows."""
    if name not in net.labelled:
        usual = net.free[name]
        assert isinstance(usual, Usual)
        if not usual.looks(subset):
            return
        errors = usual.error(raw, torch.tensor(subset).expand(len(raw), -1))[truth[:, 0] != 1]
        if not len(errors):
            raise ValueError("no usual row")
        usual.calibrate(subset, errors)
        return
    index, at = list(net.labelled).index(name), number(subset)
    head, calibrated = net.tops[index], net.scales[index]
    if isinstance(head, Regressor) and isinstance(calibrated, Reach):
        head.calibrate(raw, truth)
        calibrated.reach[at] = head.reach
    elif isinstance(calibrated, Calibrated) and net.recipe.training.calibrate:
        calibrated.temperature[at] = temperature(raw, truth)


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
    """Task -> [probabilities], [values, intervals] or [scores], as served; nothing of an embedding."""
    found = {}
    present = torch.tensor(subset, dtype=torch.float32).expand(len(next(iter(raw.values()))), -1)
    with torch.no_grad():
        for name, usual in net.free.items():
            if isinstance(usual, Usual) and usual.looks(subset):
                found[name] = [usual.served(raw[name], present)[:, 0].numpy()]
        for name, head, calibrated in zip(net.labelled, net.tops, net.scales, strict=True):
            if isinstance(head, Regressor):
                found[name] = [each.numpy() for each in spread(head, raw[name], calibrated(present))]
            else:
                found[name] = [calibrated(raw[name], present).numpy()]
    return found


def quality(net: Network, test: Rows) -> dict[str, dict[str, Scores]]:
    """Task -> subset -> scores; of an embedding what is asked for what."""
    parts = list(net.recipe.parts)
    found: dict[str, dict[str, Scores]] = {name: {} for name in net.recipe.tasks}
    for name in embeddings(net):
        found[name] = retrieval(vectors(net, name, test), test.present, test.targets[name], parts)
    for subset in subsets(len(parts)):
        rows = test.take(having(test, subset))
        if len(rows):
            said = answers(net, ask(net, rows, subset), subset)
            for name, values in said.items():
                if scored := scores(net.recipe.tasks[name].kind, values, rows.targets[name]):
                    found[name][title(subset, parts)] = scored
    return found


def embeddings(net: Network) -> list[str]:
    return [name for name, task in net.recipe.tasks.items() if task.kind == EMBEDDING]


def vectors(net: Network, name: str, rows: Rows, level: Mapping[int, float] | None = None) -> Array:
    """(N, M, dimensions), of what is absent meaningless."""
    return ask(net, rows, (1,) * len(net.recipe.parts), level)[name].numpy()


def robustness(net: Network, test: Rows) -> dict[str, dict[str, list[float]]]:
    """Task -> which part is degraded -> its first score at each of LEVELS; with all parts there, and by itself."""

    def asked(rows: Rows, subset: Subset, levels: Mapping[int, float]) -> dict[str, list[Array]]:
        return answers(net, ask(net, rows, subset, levels), subset)

    found = curves(net.recipe.parts, net.recipe.tasks, test, asked)
    for i in range(len(net.recipe.parts)):
        for name in embeddings(net):
            found[name] |= found_among(net, name, test, i)
    return found


def found_among(net: Network, name: str, test: Rows, part: int) -> dict[str, list[float]]:
    """A degraded part -> how often the others are found by it, and it by them."""
    parts = list(net.recipe.parts)
    lines: dict[str, list[float]] = {}
    for level in LEVELS:
        held = vectors(net, name, test, {part: level})
        for way, scored in retrieval(held, test.present, test.targets[name], parts).items():
            if parts[part] in way.split(" -> "):
                lines.setdefault(f"{way}, {parts[part]} degraded", []).append(scored[FIRST[EMBEDDING]])
    return lines
