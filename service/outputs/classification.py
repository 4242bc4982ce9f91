"""One class of several: label, score, and the best few."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

from pydantic import Field

from service.outputs.scores import Activation, Shapes, activated, best, check_labels, scored
from service.types import NOTHING, Asked, Row, Spec


class Classification(Spec):
    """`tensor` (classes,)."""

    kind: Literal["classification"] = "classification"
    tensor: str
    labels: list[str] = Field(min_length=1)
    activation: Activation = Field("none", description="what makes the tensor probabilities")
    controls: ClassVar[frozenset[str]] = frozenset({"top_k"})
    explains: ClassVar[str | None] = "probability"

    def tensors(self) -> list[str]:
        return [self.tensor]

    def check(self, shapes: Shapes) -> None:
        check_labels(self.tensor, self.labels, shapes)

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        schema = scored(self.labels)
        top = {"type": "array", "items": scored(self.labels)}
        return {**schema, "properties": {**schema["properties"], "top": top}}

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Label -> probability: the numbers that can be explained."""
        return dict(zip(self.labels, activated(self.activation, row[self.tensor]).tolist(), strict=True))

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        values = activated(self.activation, row[self.tensor]).tolist()
        top = best(self.labels, values, asked.top_k)
        return {"label": top[0]["label"], "score": top[0]["score"], "top": top}
