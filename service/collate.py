"""Rows to batches: which rows may share a run of the graph, and how they become one feed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from service.ports import Port
from service.types import Array, Row, Shape

CELLS = 2**24  # numbers in the padded tensors of one run; 64 MiB of float32
EMPTY: Mapping[str, Shape] = {}
WASTE = 2  # padding at most doubles a row


class Collate:
    """Padding needs a mask: rows that differ in a tensor which no mask covers never share a run.

    Those that may are sorted by length and share one as long as padding does not more than double any of them, and as
    the whole stays within `CELLS`, so that neither time nor memory follows the longest.
    """

    def __init__(
        self,
        ports: Mapping[str, Port],
        masked: Collection[str],
        most: int | None = None,
        slots: Mapping[str, Shape] = EMPTY,
    ) -> None:
        """`masked`: tensors whose padding a mask covers; `most` rows share a run, fewer if the graph says so; `slots`:
        shapes of tensors that no row has."""
        self.ports = ports
        self._slots = {name: (port, port.blank(slots.get(name, ()))) for name, port in ports.items()}
        dynamic = [name for name, port in ports.items() if None in port.shape[1:] or not port.shape]
        self._padded = [name for name in dynamic if name in masked]
        self._rigid = [name for name in dynamic if name not in masked]
        axes = [port.shape[0] for port in ports.values() if port.shape and port.shape[0]]
        self.most = min([*axes, most] if most else axes, default=None)

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Indices of rows that share a run; each row in one group."""
        if not self._padded and not self._rigid and self.most is None:
            return [list(range(len(rows)))]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for i, row in enumerate(rows):
            alike.setdefault(tuple(row[name].shape if name in row else None for name in self._rigid), []).append(i)
        cells = [sum(row[name].size for name in self._padded if name in row) for row in rows]
        return [group for same in alike.values() for group in self._buckets(same, cells)]

    def _buckets(self, rows: list[int], cells: Sequence[int]) -> list[list[int]]:
        buckets: list[list[int]] = []
        longest = 0
        for i in sorted(rows, key=lambda i: -cells[i]):
            last = buckets[-1] if buckets else []
            full = len(last) == (self.most or len(rows)) or (len(last) + 1) * longest > CELLS
            if not last or full or WASTE * cells[i] < longest:
                buckets.append(last := [])
                longest = cells[i]
            last.append(i)
        return buckets

    def feed(self, rows: Sequence[Row]) -> dict[str, Array]:
        """Tensor name -> (batch, ...). Short rows and absent slots are filled with zeros, never NaN: 0 x NaN is NaN."""
        return {
            name: stacked(port, [row.get(name) for row in rows], slot) for name, (port, slot) in self._slots.items()
        }


def stacked(port: Port, arrays: Sequence[Array | None], slot: tuple[int, ...]) -> Array:
    """Arrays without batch axis -> one with it, in the graph's type."""
    there = [array for array in arrays if array is not None]
    shapes = {array.shape for array in there}
    if len(there) == len(arrays) and len(shapes) == 1:
        return np.stack(there).astype(port.dtype, copy=False)
    shape = tuple(map(max, zip(*shapes, strict=True))) if shapes else slot
    batch = np.zeros((len(arrays), *shape), port.dtype)
    for i, array in enumerate(arrays):
        if array is not None:
            place: list[Any] = [i, *(slice(size) for size in array.shape)]
            batch[tuple(place)] = array
    return batch
