"""What a kind of output is: a frozen spec that makes of the graph's arrays, for one row, the answer's JSON."""

from collections.abc import Collection
from typing import Any, ClassVar

from service.outputs.scores import Shapes
from service.types import NOTHING, Asked, Row, Spec


class Answer(Spec):
    """A kind of one's own is a subclass with a `kind`, its keys, `tensors` and `decode`."""

    controls: ClassVar[frozenset[str]] = frozenset()  # what a request may ask of it: top_k, threshold
    explains: ClassVar[str | None] = None  # what `scalars` are: a probability or a value

    def tensors(self) -> list[str]:
        """The graph's outputs that it reads."""
        raise NotImplementedError

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> Any:
        """JSON. `row` has the graph's inputs and outputs without batch axis; `used` are the parts that were sent."""
        raise NotImplementedError

    def check(self, shapes: Shapes) -> None:
        """Raises BundleError where it does not fit the graph's outputs, as far as their shapes are known."""

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        return {}

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Label or name -> the number that can be explained; {}: none can."""
        return {}
