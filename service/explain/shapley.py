"""Exact Shapley values of the parts of one request: rows of the graph with parts left out -> contributions."""

from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np

from service.errors import NotExplainable
from service.explain.target import Target
from service.model import Model, joined
from service.types import FLOAT, Row

MOST = 4  # parts; 2^M coalitions are one batch
Coalition = frozenset[str]
Runs = Generator[list[Row], Sequence[Row], dict[str, Any]]  # yields rows to run, is sent the graph's answers


def explained(model: Model, row: Row, used: Sequence[str], target: Target) -> Runs:
    """The answer's `explanation`. Values are signed and sum to f(all) - f(none), f(none) being the declared prior.

    Shapley, A value for n-person games, 1953; shares as in Parcalabescu and Frank, MM-SHAP, 2023. Raises
    NotExplainable.
    """
    if why := unexplainable(model, used):
        raise NotExplainable(why)
    coalitions = [frozenset(some) for n in range(1, len(used) + 1) for some in combinations(used, n)]
    answers = yield [without(model, row, set(used) - coalition) for coalition in coalitions]
    worth = {
        coalition: target.value(row | answer, model.manifest)
        for coalition, answer in zip(coalitions, answers, strict=True)
    }
    worth[frozenset()] = target.value(prior(model), model.manifest)
    return {**target.said(), **report(used, worth), "rows": len(coalitions)}


def unexplainable(model: Model, used: Sequence[str] = ()) -> str | None:
    """Why parts cannot be left out of this model's requests; None: they can."""
    manifest = model.manifest
    if manifest.towers:
        return (
            "in this model each part stands alone, so nothing can be said of parts; ask where in them, by POST explain"
        )
    if manifest.missing.policy == "reject":
        return (
            "this model cannot do without a part, so nothing can be said of parts; ask where in them, by POST explain"
        )
    if not manifest.prior:
        return "this model's manifest declares no prior, the answer with no part at all"
    if len(used) > MOST:
        return f"more than {MOST} parts"
    return None


def without(model: Model, row: Row, left_out: set[str]) -> Row:
    """The row as if these parts had not been sent."""
    inputs = model.manifest.inputs
    theirs = {name for part in left_out for name in inputs[part].tensors.model_dump().values() if name}
    kept = {name: values for name, values in row.items() if name not in theirs}
    present = model.manifest.missing.tensor
    if present is None:
        return kept | joined(model.blanks[part] for part in left_out)
    there = np.array([here and part not in left_out for part, here in zip(inputs, row[present], strict=True)], FLOAT)
    return kept | {present: there}


def prior(model: Model) -> Row:
    return {name: np.array(values, FLOAT) for name, values in model.manifest.prior.items()}


def report(used: Sequence[str], worth: Mapping[Coalition, float]) -> dict[str, Any]:
    everything, nothing = frozenset(used), frozenset[str]()
    values = {part: shapley(part, used, worth) for part in used}
    whole = sum(map(abs, values.values())) or 1.0
    parts = {
        part: {"value": value, "share": abs(value) / whole, "without": worth[everything - {part}]}
        for part, value in values.items()
    }
    pairs = {f"{a}+{b}": interaction(a, b, used, worth) for a, b in combinations(used, 2)}
    return {"all": worth[everything], "none": worth[nothing], "parts": parts, "interactions": pairs}


def shapley(part: str, used: Sequence[str], worth: Mapping[Coalition, float]) -> float:
    """sum over S without i of |S|! (n - |S| - 1)! / n! (f(S + i) - f(S))."""

    def gain(some: Coalition) -> float:
        return worth[some | {part}] - worth[some]

    return averaged(gain, [other for other in used if other != part])


def interaction(a: str, b: str, used: Sequence[str], worth: Mapping[Coalition, float]) -> float:
    """Positive: together they say more than each alone (Grabisch and Roubens, 1999)."""

    def gain(some: Coalition) -> float:
        return worth[some | {a, b}] - worth[some | {a}] - worth[some | {b}] + worth[some]

    return averaged(gain, [other for other in used if other not in (a, b)])


def averaged(gain: Callable[[Coalition], float], others: Sequence[str]) -> float:
    """Over all coalitions of the others, every size weighing the same."""
    n = len(others)
    return sum(
        factorial(size) * factorial(n - size) / factorial(n + 1) * gain(frozenset(some))
        for size in range(n + 1)
        for some in combinations(others, size)
    )
