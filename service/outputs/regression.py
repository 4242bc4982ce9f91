"""Numbers with a unit, each with the interval in which it is expected."""

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from service.errors import BundleError
from service.outputs.scores import Shapes
from service.types import NOTHING, Array, Asked, Row, Spec


class Regression(Spec):
    """`tensor` (values,), `interval` (values, 2) or (2,) low and high; both are `p(x) scale + offset` in `unit`."""

    kind: Literal["regression"] = "regression"
    tensor: str
    interval: str | None = Field(None, description="tensor of the lowest and highest value expected")
    coverage: float | None = Field(None, gt=0, lt=1, description="share of true values within the interval")
    unit: str | None = None
    names: list[str] = Field([], description="of the values, where there are several")
    polynomial: list[Annotated[list[float], Field(min_length=1)]] = Field(
        [], description="p of each value, or one of all: coefficients from the highest power down"
    )
    scale: float = 1.0
    offset: float = 0.0
    controls: ClassVar[frozenset[str]] = frozenset()
    explains: ClassVar[str | None] = "value"

    @model_validator(mode="after")
    def has_a_polynomial_a_value(self) -> "Regression":
        if len(self.polynomial) not in (0, 1, max(1, len(self.names))):
            raise ValueError(f"polynomial: {len(self.polynomial)} of them for {max(1, len(self.names))} values")
        return self

    def tensors(self) -> list[str]:
        return [self.tensor] + ([self.interval] if self.interval else [])

    def check(self, shapes: Shapes) -> None:
        """Raises BundleError where the names do not fit the last axis, if that is known."""
        last = (shapes[self.tensor] or [None])[-1] if len(shapes[self.tensor]) > 1 else 1
        if last is not None and last != max(1, len(self.names)):
            raise BundleError(f"output {self.tensor!r} has {last} values, the manifest {len(self.names)} names")

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        number, interval = {"type": "number"}, {"type": "array", "items": {"type": "number"}}
        properties: dict[str, Any] = {"value": number, "interval": interval}
        if self.names:
            properties = {
                "values": {"type": "object", "properties": dict.fromkeys(self.names, number)},
                "intervals": {"type": "object", "properties": dict.fromkeys(self.names, interval)},
            }
        return {
            "type": "object",
            "required": ["values" if self.names else "value"],
            "properties": {**properties, "unit": {"type": "string"}},
        }

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Name -> value: the numbers that can be explained."""
        return dict(zip(self.names or ["value"], self._scaled(row[self.tensor].reshape(-1, 1)).tolist(), strict=True))

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        values = self._scaled(row[self.tensor].reshape(-1, 1)).tolist()
        answer: dict[str, Any] = (
            {"values": dict(zip(self.names, values, strict=True))} if self.names else {"value": values[0]}
        )
        if self.unit is not None:
            answer["unit"] = self.unit
        if self.interval:
            intervals = np.sort(self._scaled(row[self.interval].reshape(-1, 2)).reshape(-1, 2)).tolist()
            if self.names:
                answer["intervals"] = dict(zip(self.names, intervals, strict=True))
            else:
                answer["interval"] = intervals[0]
        return answer

    def _scaled(self, numbers: Array) -> Array:
        """(values, k) -> (values x k,)."""
        numbers = numbers.astype(np.float64)
        if self.polynomial:
            several = self.polynomial * len(numbers) if len(self.polynomial) == 1 else self.polynomial
            numbers = np.array([np.polyval(each, one) for each, one in zip(several, numbers, strict=True)])
        return np.asarray(numbers.reshape(-1) * self.scale + self.offset)
