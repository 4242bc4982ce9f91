"""Classes that the request names: how well each candidate, as a sentence, fits the picture or the sound."""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from service.errors import MissingPart
from service.outputs.answer import Answer
from service.outputs.embedding import unit
from service.outputs.scores import Activation, activated, best, scored
from service.types import FLOAT, NOTHING, Array, Asked, Row

CANDIDATES = "{}:candidates"  # row entry beside the query's vector: the vectors of the labels, (labels, width)


class ZeroShot(Answer):
    """scale x cosine + bias of the query's and each label's vector, as CLIP, CLAP and SigLIP compare them."""

    kind: Literal["zero_shot"] = "zero_shot"
    query: str = Field(description="part that is classified")
    candidates: str = Field(description="text part that the request's labels stand for")
    vectors: dict[str, str] = Field(description="both parts -> the graph's output that is its vector")
    tensor: str = Field("logits", description="name of the numbers (labels,) in `raw`")
    scale: float = 1.0
    bias: float = 0.0
    activation: Activation = "softmax"
    template: str = Field("{}", description="sentence with {} in place of a label, unless the request has one")
    controls: ClassVar[frozenset[str]] = frozenset({"top_k", "labels", "template"})
    explains: ClassVar[str | None] = "probability"

    @model_validator(mode="after")
    def possible(self) -> "ZeroShot":
        if self.vectors.keys() != {self.query, self.candidates}:
            raise ValueError(f"vectors: one each for {self.query} and {self.candidates}")
        if self.template.count("{}") != 1:
            raise ValueError("template: has one {} where the label goes")
        return self

    def tensors(self) -> list[str]:
        return list(self.vectors.values())

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        schema = scored()
        return {**schema, "properties": {**schema["properties"], "top": {"type": "array", "items": scored()}}}

    def fit(self, parts: Collection[str]) -> None:
        """Raises MissingPart where there is nothing that the labels could be of."""
        if self.query not in parts:
            raise MissingPart("it is what labels are asked for", part=self.query)

    def prompts(self, asked: Asked) -> list[str]:
        """A sentence for each label."""
        template = self.template if asked.template is None else asked.template
        return [template.replace("{}", label) for label in asked.labels or ()]

    def compared(self, rows: Sequence[Row]) -> Row:
        """The graph's answers to the prompts -> what a row has of them: their vectors, as they are and of length 1."""
        name = self.vectors[self.candidates]
        vectors = np.stack([row[name] for row in rows]).astype(FLOAT, copy=False)  # (labels, width)
        return {name: vectors, CANDIDATES.format(self.vectors[self.query]): unit(vectors)}

    def logits(self, row: Row) -> Array:
        """(labels,)"""
        query = self.vectors[self.query]
        cosines = row[CANDIDATES.format(query)] @ unit(row[query].astype(FLOAT, copy=False))
        return np.asarray(cosines * FLOAT(self.scale) + FLOAT(self.bias))

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Label -> probability: the numbers that can be explained."""
        if asked.labels is None:
            return {}
        return dict(zip(asked.labels, activated(self.activation, self.logits(row)).tolist(), strict=True))

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        scores = self.scalars(row, asked)
        top = best(list(scores), list(scores.values()), asked.top_k)
        return {"label": top[0]["label"], "score": top[0]["score"], "top": top}
