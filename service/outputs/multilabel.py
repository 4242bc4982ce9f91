"""Several classes at once: those over their threshold, and the best few."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from service.outputs.scores import Activation, Shapes, activated, best, check_labels, scored
from service.types import NOTHING, Asked, Row, Spec


class Multilabel(Spec):
    """`tensor` (classes,); the classes do not exclude each other."""

    kind: Literal["multilabel"] = "multilabel"
    tensor: str
    labels: list[str] = Field(min_length=1)
    activation: Activation = Field("sigmoid", description="what makes the tensor probabilities")
    threshold: float | list[float] = Field(0.5, description="of the probability: one number, or one a label")
    controls: ClassVar[frozenset[str]] = frozenset({"top_k", "threshold"})
    explains: ClassVar[str | None] = "probability"

    @model_validator(mode="after")
    def has_a_threshold_a_label(self) -> "Multilabel":
        if isinstance(self.threshold, list) and len(self.threshold) != len(self.labels):
            raise ValueError(f"{len(self.threshold)} thresholds for {len(self.labels)} labels")
        return self

    def tensors(self) -> list[str]:
        return [self.tensor]

    def check(self, shapes: Shapes) -> None:
        check_labels(self.tensor, self.labels, shapes)

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        listed = {"type": "array", "items": scored(self.labels)}
        return {"type": "object", "required": ["labels", "top"], "properties": {"labels": listed, "top": listed}}

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Label -> probability: the numbers that can be explained."""
        return dict(zip(self.labels, activated(self.activation, row[self.tensor]).tolist(), strict=True))

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        values: list[float] = activated(self.activation, row[self.tensor]).tolist()
        over = {
            label for label, value, least in zip(self.labels, values, self._least(asked), strict=True) if value >= least
        }
        everything = best(self.labels, values, len(values))
        return {
            "labels": [entry for entry in everything if entry["label"] in over],
            "top": best(self.labels, values, asked.top_k),
        }

    def _least(self, asked: Asked) -> list[float]:
        if asked.threshold is not None:
            return [asked.threshold] * len(self.labels)
        return self.threshold if isinstance(self.threshold, list) else [self.threshold] * len(self.labels)
