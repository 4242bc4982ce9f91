"""How much the fusion took from each part: stands in `parts.<name>.weight` of the answer, not under `outputs`."""

from collections.abc import Collection
from typing import ClassVar, Literal

from service.outputs.scores import Shapes
from service.types import NOTHING, Asked, Row, Spec


class Weights(Spec):
    """One number a part, in the order of the manifest's inputs. A weight is not an importance."""

    kind: Literal["weights"] = "weights"
    tensor: str
    controls: ClassVar[frozenset[str]] = frozenset()
    explains: ClassVar[str | None] = None

    def tensors(self) -> list[str]:
        return [self.tensor]

    def check(self, shapes: Shapes) -> None:
        """Nothing to hold against the graph."""

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Nothing that is one number."""
        return {}

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> list[float]:
        return list(row[self.tensor].tolist())
