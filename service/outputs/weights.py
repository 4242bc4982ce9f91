"""How much the fusion took from each part: stands in `parts.<name>.weight` of the answer, not under `outputs`."""

from typing import Literal

from service.types import Row, Spec


class Weights(Spec):
    """One number a part, in the order of the manifest's inputs. A weight is not an importance."""

    kind: Literal["weights"] = "weights"
    tensor: str

    def tensors(self) -> list[str]:
        return [self.tensor]

    def check(self, shapes: dict[str, list[int | None]]) -> None:
        """Nothing to hold against the graph."""

    def decode(self, row: Row, top_k: int | None = None) -> list[float]:
        return list(row[self.tensor].tolist())
