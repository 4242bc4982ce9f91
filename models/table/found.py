"""What an evaluation found: printed and drawn. Needs no torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Shown

from models.table import card, check, plots
from models.table.columns import ANOMALY, CLASSIFICATION, REGRESSION, Target
from models.table.evaluation import Evaluation
from models.table.rows import Rows
from models.table.scores import FIRST, NOTHING, Scores, guessed
from service.types import Array


def add_guesses(quality: dict[str, dict[str, Scores]], tasks: Mapping[str, Target], valid: Rows, test: Rows) -> None:
    """To each task what is reached without looking: a model that is no better has learned nothing."""
    for name, task in tasks.items():
        if found := guessed(task, valid.targets[name], test.targets[name]):
            quality[name][NOTHING] = found


def show(found: Evaluation, tasks: Mapping[str, Target], console: Console) -> None:
    """A table a task."""
    for name, each in found.scores.items():
        head, *body = card.table(each)
        shown = Shown(*head, title=f"{name}: {tasks[name].kind}, rows not trained on")
        for line in body:
            shown.add_row(*line)
        console.print(shown)
        if found.again:
            head, *body = card.spread(found.spread(name))
            shown = Shown(*head, title=f"{name}: mean and deviation of {len(found.again) + 1} trainings")
            for line in body:
                shown.add_row(*line)
            console.print(shown)
        if warning := learned_nothing(found, name, tasks[name]):
            console.print(f"{name}: {warning}", style="yellow", markup=False)
    for note in found.notes:
        console.print(f"not calibrated: {note}", markup=False)


def learned_nothing(found: Evaluation, name: str, task: Target) -> str | None:
    """Said where the best subset is hardly better than a guess."""
    held, first = found.scores[name], FIRST[task.kind]
    values = [each[first] for subset, each in held.items() if subset != NOTHING and first in each]
    if NOTHING not in held or first not in held[NOTHING] or not values:
        return None
    guess = held[NOTHING][first]
    better = min(values) < 0.95 * guess if task.kind == REGRESSION else max(values) > guess + 0.05 * (1 - guess)
    said = f"hardly better than a guess ({first} {guess:.3f}); do the parts tell it, are there enough rows?"
    return None if better else said


def draw(
    name: str,
    task: Target,
    said: list[Array] | None,
    truth: Array,
    curves: dict[str, list[float]],
    folder: Path,
) -> list[str]:
    """Names of the pictures of one task's answers, if it has such, and of its robustness."""
    files = answered(name, task, said, truth, folder) if said else []
    if curves:
        files.append(f"{name}-robustness.svg")
        plots.robustness(curves, FIRST[task.kind], folder / files[-1])
    return files


def answered(name: str, task: Target, said: list[Array], truth: Array, folder: Path) -> list[str]:
    files: list[str] = []

    def path(what: str) -> Path:
        files.append(f"{name}-{what}.svg")
        return folder / files[-1]

    known = ~check.unknown(truth)
    if not known.any() and task.kind != ANOMALY:
        return []
    if task.kind == CLASSIFICATION:
        p, truth = said[0][known], truth[known]
        plots.confusion(truth, p.argmax(1), task.labels, path("confusion"))
        plots.reliability(p.max(1), p.argmax(1) == truth, path("reliability"))
    elif task.kind == REGRESSION:
        for i, column in enumerate(task.columns):
            rows = known[:, i]
            if rows.any():
                plots.values(truth[rows, i], said[0][rows, i], said[1][rows, i], column, path(f"values{i or ''}"))
    elif task.kind == ANOMALY:
        plots.unusual(said[0], truth[:, 0] == 1, path("scores"))
    else:
        plots.reliability(said[0][known], truth[known] > 0, path("reliability"))
    return files


def largest(test: Rows) -> tuple[int, ...]:
    """All parts, or the most that a row of the test has."""
    best = test.present[int(np.argmax(test.present.sum(1)))]
    return tuple(int(each) for each in best)
