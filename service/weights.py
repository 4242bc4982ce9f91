"""A graph's weights in sealed anonymous memory, where every session that runs it reads them: no copy for each."""

import fcntl
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from service import graph
from service.graph import Malformed, Span
from service.types import Array

GRAPH, WEIGHTS = "graph.onnx", "weights"
LEAST = 1024  # bytes of a tensor that is worth its own place
TYPES = {  # onnx.proto3, TensorProto.DataType
    1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 12: "<u4",
    13: "<u8",
}  # fmt: skip


class Shared:
    """A graph that was optimised already, and its large tensors: name -> read-only array."""

    def __init__(self, files: tuple[int, ...]) -> None:
        """`files`: descriptors of its own, of sealed memory: the graph, and its weights. Raises OSError, Malformed."""
        self.files = files
        weakref.finalize(self, close, files)
        if len(files) != 2 or not all(map(sealed, files)):
            raise Malformed("memory that others could change")
        text, weights = (mmap.mmap(file, 0, prot=mmap.PROT_READ) for file in files)
        with text:
            self.graph = text[:]
            self.weights: dict[str, Array] = dict(tensors(text, weights))
        self._mapped = weights

    def let_go(self) -> None:
        """Of pages that sessions have packed into their own memory. What they still read here comes back by itself."""
        self._mapped.madvise(mmap.MADV_DONTNEED)

    @contextmanager
    def placed(self) -> Iterator[Path]:
        """The graph as a file. onnxruntime wants to see that there is a file of weights, though it reads none."""
        with tempfile.TemporaryDirectory(prefix="braid-") as folder:
            (Path(folder) / GRAPH).write_bytes(self.graph)
            (Path(folder) / WEIGHTS).touch()
            yield Path(folder) / GRAPH


class Memory:
    """Where a graph is written: `graph`, and beside it, as a file named WEIGHTS, memory that has no place on a disk."""

    def __init__(self) -> None:
        """Raises OSError where there is no such memory, AttributeError where the system has no such call."""
        self._files = memory("graph"), memory("weights")
        self._folder = tempfile.TemporaryDirectory(prefix="braid-")
        self.graph = Path(self._folder.name) / GRAPH
        for name, file in zip((GRAPH, WEIGHTS), self._files, strict=True):
            (Path(self._folder.name) / name).symlink_to(f"/proc/self/fd/{file}")

    def read(self) -> Shared:
        """What was written; from now on it cannot be changed. Raises OSError, Malformed."""
        for file in self._files:
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals())
        return Shared((os.dup(self._files[0]), os.dup(self._files[1])))

    def close(self) -> None:
        self._folder.cleanup()
        close(self._files)


def memory(name: str) -> int:
    return os.memfd_create(f"braid-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seals() -> int:
    """All of them. Only Linux has them, and only who shares asks."""
    return fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def sealed(file: int) -> bool:
    return fcntl.fcntl(file, fcntl.F_GET_SEALS) & seals() == seals()


def close(files: tuple[int, ...]) -> None:
    for file in files:
        os.close(file)


def tensors(text: mmap.mmap, weights: mmap.mmap) -> Iterator[tuple[str, Array]]:
    """Of a graph that onnxruntime wrote: initialisers whose numbers are in `weights`. Raises Malformed."""
    for number, model in graph.fields(text, (0, len(text))):
        if number != 7 or isinstance(model, int):
            continue
        for number, span in graph.fields(text, model):
            if number == 5 and not isinstance(span, int) and (found := tensor(text, span, weights)):
                yield found


def tensor(text: mmap.mmap, span: Span, weights: mmap.mmap) -> tuple[str, Array] | None:
    """Name and numbers of an initialiser; None: they stand in the graph itself."""
    shape: list[int] = []
    kind, name, external, entries = 0, "", False, dict[str, str]()
    for number, value in graph.fields(text, span):
        if number == 1:
            shape += [value] if isinstance(value, int) else packed(text, value)
        elif number == 2:
            kind = graph.whole(value)
        elif number == 8:
            name = graph.text(text, value)
        elif number == 13 and not isinstance(value, int):
            entry = dict(graph.fields(text, value))
            entries[graph.text(text, entry.get(1))] = graph.text(text, entry.get(2))
        elif number == 14:
            external = value == graph.EXTERNAL
    if not external:
        return None
    if kind not in TYPES:
        raise Malformed(f"a tensor of type {kind}")
    return name, np.frombuffer(weights, TYPES[kind], prod(shape), int(entries.get("offset", "0"))).reshape(shape)


def packed(text: mmap.mmap, span: Span) -> list[int]:
    values, (at, end) = [], span
    while at < end:
        value, at = graph.varint(text, at, end)
        values.append(value)
    return values
