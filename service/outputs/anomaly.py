"""How unusual the input is: a score, and whether it is over the threshold."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

from service.outputs.scores import Shapes
from service.types import NOTHING, Asked, Row, Spec


class Anomaly(Spec):
    """`tensor` () or (1,): such as the error of an autoencoder; larger is more unusual."""

    kind: Literal["anomaly"] = "anomaly"
    tensor: str
    threshold: float
    controls: ClassVar[frozenset[str]] = frozenset({"threshold"})
    explains: ClassVar[str | None] = "value"

    def tensors(self) -> list[str]:
        return [self.tensor]

    def check(self, shapes: Shapes) -> None:
        """Nothing to hold against the graph."""

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        properties = {"score": {"type": "number"}, "threshold": {"type": "number"}, "anomalous": {"type": "boolean"}}
        return {"type": "object", "required": list(properties), "properties": properties}

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """The number that can be explained."""
        return {"score": float(row[self.tensor].reshape(-1)[0])}

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        score = float(row[self.tensor].reshape(-1)[0])
        threshold = self.threshold if asked.threshold is None else asked.threshold
        return {"score": score, "threshold": threshold, "anomalous": score > threshold}
