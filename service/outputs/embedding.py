"""A vector, or one a part, pooled over tokens where the graph has not done it."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from service.outputs.scores import Shapes
from service.types import FLOAT, NOTHING, Array, Asked, Row, Spec

SMALL = 1e-12  # torch.nn.functional.normalize's eps
Pooling = Literal["none", "mean", "cls", "max", "mean_sqrt", "weighted", "last"]


class Embedding(Spec):
    """`tensor` (width,), or (tokens, width) with `pooling`; or `parts`: part name -> its own tensor."""

    kind: Literal["embedding"] = "embedding"
    tensor: str | None = None
    parts: dict[str, str] = Field({}, description="part -> tensor of its embedding")
    pooling: Pooling | list[Pooling] = Field("none", description="several are joined, as in sentence-transformers")
    mask: str | None = Field(None, description="the graph's input that is 1 where there is a token")
    normalize: bool = Field(False, description="to length 1")
    controls: ClassVar[frozenset[str]] = frozenset()
    explains: ClassVar[str | None] = None

    @model_validator(mode="after")
    def names_one_tensor_or_one_a_part(self) -> "Embedding":
        if (self.tensor is None) == (not self.parts):
            raise ValueError("an embedding names `tensor`, or a tensor for each of `parts`")
        return self

    def tensors(self) -> list[str]:
        return [self.tensor] if self.tensor else list(self.parts.values())

    def check(self, shapes: Shapes) -> None:
        """Nothing to hold against the graph."""

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        vector: dict[str, Any] = {"type": "array", "items": {"type": "number"}}
        if self.parts:
            vector = {"type": "object", "properties": dict.fromkeys(self.parts, vector)}
        return {"type": "object", "required": ["embedding"], "properties": {"embedding": vector}}

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Nothing that is one number."""
        return {}

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        if self.tensor:
            return {"embedding": self.vector(row, self.tensor).tolist()}
        vectors = {part: self.vector(row, tensor).tolist() for part, tensor in self.parts.items() if part in used}
        return {"embedding": vectors}

    def vector(self, row: Row, tensor: str) -> Array:
        """(width,)"""
        pooled = self._pooled(row, row[tensor])
        return unit(pooled) if self.normalize else pooled

    def _pooled(self, row: Row, hidden: Array) -> Array:
        """(tokens, width) -> (width,); the padding of a batch's longer rows does not count."""
        if self.pooling == "none":
            return hidden.reshape(-1)  # (width, 1, 1), too, as ResNets have it
        if self.mask:
            there = row[self.mask].astype(bool)
            hidden = hidden[: len(there)][there]
        several = self.pooling if isinstance(self.pooling, list) else [self.pooling]
        return np.concatenate([pooled(hidden, one) for one in several])


def unit(vectors: Array) -> Array:
    """(..., width) to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), SMALL))


def pooled(hidden: Array, how: Pooling) -> Array:
    """(tokens, width) -> (width,)"""
    match how:
        case "cls":
            return np.asarray(hidden[0])
        case "last":
            return np.asarray(hidden[-1])
        case "max":
            return np.asarray(hidden.max(0))
        case "mean_sqrt":  # the sum over the root of the tokens
            return np.asarray(hidden.mean(0) * np.sqrt(FLOAT(len(hidden))))
        case "weighted":  # later tokens count more: 1, 2, 3, ... (Muennighoff, 2022)
            return np.asarray(np.average(hidden, 0, np.arange(1, len(hidden) + 1, dtype=FLOAT)))
    return np.asarray(hidden.mean(0))
