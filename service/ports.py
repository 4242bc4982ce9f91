"""A graph's inputs and outputs as the rest of Braid sees them: those that rows hold, all with a batch axis in front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import BundleError
from service.types import Array, Shape


@dataclass(frozen=True, slots=True)
class Port:
    """An input of the graph, batch axis first; None is a dynamic axis, no axis at all an unknown shape."""

    dtype: Any
    shape: Shape

    def blank(self, usual: Shape = ()) -> tuple[int, ...]:
        """The slot of an absent part: where an axis is dynamic that of `usual`, a shape without batch axis, else 1."""
        axes = self.shape[1:]
        usual = usual if len(usual) == len(axes) else (None,) * len(axes)
        return tuple(size or other or 1 for size, other in zip(axes, usual, strict=True))


class Ports:
    """`constants`: input -> what it is always fed; `whole`: inputs and outputs that have no batch axis.

    A graph with one of the latter takes one row at a time: to others it looks as if the axis were there, and 1.
    """

    def __init__(
        self,
        inputs: Mapping[str, Port],
        outputs: Mapping[str, Shape],
        constants: Mapping[str, Any],
        whole: Sequence[str],
    ) -> None:
        """Raises BundleError where the graph has no such input or output, or a constant does not fit."""
        for name in [*constants, *whole]:
            if name not in inputs and (name not in outputs or name in constants):
                have = ", ".join([*inputs, *(outputs if name not in constants else ())])
                raise BundleError(f"{'constants' if name in constants else 'whole'}: no {name!r}; the graph has {have}")
        self._inputs = [name for name in whole if name in inputs]
        self._outputs = [i for i, name in enumerate(outputs) if name in whole]
        self.inputs = {
            name: Port(port.dtype, (1, *port.shape)) if name in whole else port
            for name, port in inputs.items()
            if name not in constants
        }
        self.outputs = {name: (1, *shape) if name in whole else shape for name, shape in outputs.items()}
        self._once: dict[str, Array] = {}
        self._a_row: dict[str, Array] = {}
        for name, value in constants.items():
            a_row = inputs[name].shape[:1] == (None,) and name not in whole
            (self._a_row if a_row else self._once)[name] = constant(name, value, inputs[name], a_row=a_row)

    @property
    def plain(self) -> bool:
        """The graph is seen as it is."""
        return not (self._inputs or self._outputs or self._once or self._a_row)

    def feed(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """What the graph takes."""
        full = {**feed, **self._once}
        for name, value in self._a_row.items():
            full[name] = np.repeat(value[None], len(next(iter(feed.values()))), 0)
        for name in self._inputs:
            full[name] = full[name][0]
        return full

    def answers(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """What the graph gave, batch axis first."""
        if not self._outputs:
            return arrays
        return [np.asarray(array)[None] if i in self._outputs else array for i, array in enumerate(arrays)]


def constant(name: str, value: Any, port: Port, *, a_row: bool) -> Array:
    """In the input's type and shape, without the batch axis if there is one; a single number fills it.

    Raises BundleError where it does not fit.
    """
    shape = port.shape[1:] if a_row else port.shape
    try:
        array = np.asarray(value)
        with np.errstate(all="ignore"):
            cast = array.astype(port.dtype)
    except (ValueError, OverflowError):
        array = cast = np.array("no numbers")
    exact = np.dtype(port.dtype).kind == "f" or (cast == array).all()
    if array.dtype.kind not in "biuf" or not exact:
        raise BundleError(f"constants: {name}: {value} is no {np.dtype(port.dtype)}, which the graph takes")
    if array.ndim == 0 and None not in shape:
        return np.full([size or 0 for size in shape], cast)
    if array.ndim != len(shape) or any(
        fixed not in (None, size) for size, fixed in zip(array.shape, shape, strict=True)
    ):
        axes = tuple("any" if size is None else size for size in shape)
        raise BundleError(f"constants: {name}: a value of shape {array.shape}, but the graph takes {axes}")
    return cast
