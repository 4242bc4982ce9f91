"""Scores of classes: logits to probabilities, labels best first; never rounded."""

from typing import Any, Literal

import numpy as np

from service.errors import BundleError
from service.types import Array

Activation = Literal["none", "softmax", "sigmoid"]
Shapes = dict[str, list[int | None]]  # the graph's outputs
TOP = 5  # how many labels an answer lists unless `top_k` says otherwise


def activated(activation: Activation, scores: Array) -> Array:
    """(..., classes) -> probabilities of the same shape."""
    if activation == "softmax":
        shifted = np.exp(scores - scores.max(-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(-1, keepdims=True))
    if activation == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0, -scores)))  # 1 / (1 + exp(-scores)) overflows
    return scores


def best(labels: list[str], values: list[float], count: int | None) -> list[dict[str, Any]]:
    """`count` labels (TOP unless given) with the highest scores; equals keep the manifest's order."""
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)[: TOP if count is None else count]
    return [{"label": labels[i], "score": values[i]} for i in order]


def check_labels(tensor: str, labels: list[str], shapes: Shapes) -> None:
    """Raises BundleError where the labels do not fit the last axis, if that is known."""
    last = (shapes[tensor] or [None])[-1]
    if last is not None and last != len(labels):
        raise BundleError(f"output {tensor!r} has {last} classes, the manifest {len(labels)} labels")


def scored(labels: list[str] | None = None) -> dict[str, Any]:
    """JSON Schema of a label with its score."""
    label: dict[str, Any] = {"type": "string"} | ({"enum": labels} if labels else {})
    return {
        "type": "object",
        "required": ["label", "score"],
        "properties": {"label": label, "score": {"type": "number"}},
    }
