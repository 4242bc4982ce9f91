"""The one number of an answer that is explained: which output, which class, on which scale."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.bundle import Manifest
from service.errors import Malformed, NotExplainable
from service.outputs import Output
from service.types import Asked, Row

EDGE = 1e-7  # float32's probabilities reach 0 and 1, log-odds must not


@dataclass(frozen=True)
class Target:
    output: str  # its name in the manifest
    name: str  # the class, or the number's name
    scale: str  # probability, log_odds or value
    asked: Asked

    def value(self, row: Row, manifest: Manifest) -> float:
        """f(row); `row` holds the graph's outputs."""
        value = manifest.outputs[self.output].scalars(row, self.asked)[self.name]
        if self.scale != "log_odds":
            return value
        value = min(max(value, EDGE), 1 - EDGE)
        return math.log(value / (1 - value))

    def said(self) -> dict[str, Any]:
        return {"output": self.output, "target": self.name, "scale": self.scale}


def choose(outputs: Mapping[str, Output], row: Row, asked: Asked, options: Mapping[str, str]) -> Target:
    """By the options `output`, `target`, `scale`; else the first output with a number, and its best class.

    Raises NotExplainable where no output is a number or a probability, Malformed for what does not exist.
    """
    numbers = {name: output.scalars(row, asked) for name, output in outputs.items()}
    numbers = {name: scalars for name, scalars in numbers.items() if scalars}
    if not numbers:
        raise NotExplainable("no output of this answer is a single number or probability")
    output = options.get("output", next(iter(numbers)))
    if output not in numbers:
        raise Malformed(f"output is one of {', '.join(numbers)}")
    scalars = numbers[output]
    name = options.get("target", max(scalars, key=scalars.__getitem__))
    if name not in scalars:
        raise Malformed("target is not one of the labels or names of this output")
    usual = str(outputs[output].explains)
    scale = options.get("scale", usual)
    if scale != usual and (usual, scale) != ("probability", "log_odds"):
        raise Malformed("scale is probability or log_odds, for numbers value")
    return Target(output, name, scale, asked)
