"""Scores of one row to label, score and the best few; scores are never rounded."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from service.errors import BundleError
from service.types import Array, Row, Spec

TOP = 5  # how many labels an answer lists unless `top_k` says otherwise


class Classification(Spec):
    kind: Literal["classification"] = "classification"
    tensor: str
    labels: list[str] = Field(min_length=1)
    activation: Literal["none", "softmax", "sigmoid"] = Field("none", description="what makes the tensor probabilities")

    def tensors(self) -> list[str]:
        return [self.tensor]

    def check(self, shapes: dict[str, list[int | None]]) -> None:
        """`shapes`: the graph's outputs. Raises BundleError where the labels do not fit the last axis."""
        last = (shapes[self.tensor] or [None])[-1]
        if last is not None and last != len(self.labels):
            raise BundleError(f"output {self.tensor!r} has {last} classes, the manifest {len(self.labels)} labels")

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        score = {"label": {"type": "string", "enum": self.labels}, "score": {"type": "number"}}
        scored = {"type": "object", "required": list(score), "properties": score}
        return {**scored, "properties": {**score, "top": {"type": "array", "items": scored}}}

    def decode(self, row: Row, top_k: int | None = None) -> dict[str, Any]:
        scores = activated(self.activation, row[self.tensor])
        values = scores.tolist()
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)[: TOP if top_k is None else top_k]
        top = [{"label": self.labels[i], "score": values[i]} for i in order]
        return {"label": top[0]["label"], "score": top[0]["score"], "top": top}


def activated(activation: str, scores: Array) -> Array:
    """(classes,) -> (classes,) probabilities."""
    if activation == "softmax":
        shifted = np.exp(scores - scores.max())
        return np.asarray(shifted / shifted.sum())
    if activation == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0, -scores)))  # 1 / (1 + exp(-scores)) overflows
    return scores
