"""What a graph gives for one row, and whether its numbers are probabilities."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given
from models.importers.guess.measure import Measured
from service.types import Array, Shape

NEAR = 1e-3


class Output(NamedTuple):
    """Of one row, without batch axis; `rows` are empty where the graph did not run."""

    name: str
    shape: Shape
    rows: Sequence[Array]


def outputs(shapes: Mapping[str, Shape], measured: Measured) -> list[Output]:
    found = []
    for name, shape in shapes.items():
        rows = measured.outputs.get(name, [])
        sizes = {row.shape for row in rows}
        declared = shape if name in measured.unbatched else shape[1:]
        found.append(Output(name, sizes.pop() if len(sizes) == 1 else declared, rows))
    return found


def probabilities(output: Output) -> str:
    """`sum`: from 0 to 1 and they sum to 1; `each`: each from 0 to 1; `no`; `unknown`: it did not run."""
    rows = [row.astype(np.float64) for row in output.rows if row.size]
    if not rows:
        return "unknown"
    if any((row < -NEAR).any() or (row > 1 + NEAR).any() for row in rows):
        return "no"
    return "sum" if all(np.abs(row.sum(-1) - 1).max() < NEAR for row in rows) else "each"


def activation(draft: Draft, place: str, output: Output, given: Given, usual: str) -> None:
    how = probabilities(output)
    if given.activation:
        draft.put(place, given.activation, Origin.GIVEN)
    elif how in ("sum", "each"):
        draft.put(place, "none", Origin.MEASURED, "they are probabilities already")
    elif how == "no":
        draft.put(
            place, usual, Origin.GUESS, "they are no probabilities on random inputs; softmax or sigmoid; --activation"
        )
    else:
        draft.ask(place, "none, softmax or sigmoid; --activation")


def shown(shape: Shape) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape) or "one number"
