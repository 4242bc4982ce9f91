"""An ONNX file to what onnxruntime does not tell of it: the operators it needs, and the files that hold its weights.

A strict reader of protobuf's wire format for these fields alone, so that serving needs no onnx package. The fields'
numbers are those of onnx.proto3 (ONNX 1.21, IR version 13); what is not named here is skipped by its length.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from service.errors import BundleError

KNOWN = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"}
OWN = ("com.microsoft", "com.ms.")  # onnxruntime's, in each of its builds
DEPTH = 100  # messages within messages
EXTERNAL = 1  # TensorProto.DataLocation
WITHIN = {  # message -> number of a field -> the message in it
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "opset": {},
    "entry": {},
}
Span = tuple[int, int]  # where a message or a string begins and ends in the file


class Malformed(ValueError):
    """Why it is not the wire format, or not ONNX in it."""


@dataclass(frozen=True)
class External:
    """A tensor's numbers in another file, relative to the graph's folder, which must have `end` bytes at least."""

    file: str
    end: int


@dataclass
class Graph:
    ir: int = 0
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)  # domain -> version
    operators: set[tuple[str, str]] = field(default_factory=set)  # domain and name of all that it calls
    functions: set[tuple[str, str]] = field(default_factory=set)  # and of those that it defines itself
    external: list[External] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """Each once, in the order of the tensors."""
        return list(dict.fromkeys(one.file for one in self.external))

    @property
    def custom(self) -> list[str]:
        """`domain:Operator` of what onnxruntime does not have, sorted."""
        missing = self.operators - self.functions
        return sorted(f"{where}:{name}" for where, name in missing if where not in KNOWN and not where.startswith(OWN))


def read(path: Path) -> Graph:
    """Raises BundleError where the file is no ONNX graph, or names weights that are not in files beside it."""
    found = Graph()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            walk(data, "model", (0, len(data)), found)
            if not found.operators:
                raise Malformed("no operator in it")
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise BundleError(f"{path}: not a readable ONNX graph ({error})") from error
    return found


def check(path: Path, found: Graph) -> None:
    """Raises BundleError where onnxruntime lacks an operator."""
    if found.custom:
        raise BundleError(
            f"{path}: the graph calls {', '.join(found.custom[:5])}, which onnxruntime does not have; "
            "export it without operators of its own (what prepares a part belongs into the manifest)"
        )


def walk(data: mmap.mmap, kind: str, span: Span, found: Graph, depth: int = 0) -> dict[int, int | Span]:
    """The message's fields, of which the last of a number counts; what is in it, however deep, is added to `found`."""
    if depth > DEPTH:
        raise Malformed("nested too deep")
    last: dict[int, int | Span] = {}
    entries: dict[str, str] = {}
    for number, value in fields(data, span):
        inner = WITHIN[kind].get(number)
        if inner is None:
            last[number] = value
        elif isinstance(value, int):
            raise Malformed(f"field {number} of a {kind} is a number")
        else:
            below = walk(data, inner, value, found, depth + 1)
            if inner == "opset":
                found.opsets[text(data, below.get(1))] = whole(below.get(2, 0))
            elif inner == "entry":
                key = text(data, below.get(1))
                if key in entries:
                    raise Malformed(f"{key!r} of a tensor twice")
                entries[key] = text(data, below.get(2))
    gather(data, kind, last, entries, found)
    return last


def gather(data: mmap.mmap, kind: str, last: dict[int, int | Span], entries: dict[str, str], found: Graph) -> None:
    if kind == "model":
        found.ir, found.producer = whole(last.get(1, 0)), text(data, last.get(2))
    elif kind == "node":
        found.operators.add((text(data, last.get(7)), text(data, last.get(4))))
    elif kind == "function":
        found.functions.add((text(data, last.get(10)), text(data, last.get(1))))
    elif kind == "tensor" and last.get(14, 0) == EXTERNAL:
        found.external.append(external(entries))


def external(entries: dict[str, str]) -> External:
    """Raises Malformed unless it stays within the folder."""
    location = entries.get("location", "")
    path = PurePosixPath(location)
    if not path.parts or path.is_absolute() or {"\\", "\0", ":"} & set(location) or ".." in path.parts:
        raise Malformed(f"weights in {location[:100]!r}, which is no file of the bundle's folder")
    numbers = [entries.get(key, "0") for key in ("offset", "length")]
    if not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
        raise Malformed(f"weights in {location[:100]!r} at no such place")
    return External(str(path), sum(map(int, numbers)))


def fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int | Span]]:
    """(number, value) of each field: an integer, or where its bytes are."""
    at, end = span
    while at < end:
        tag, at = varint(data, at, end)
        wire, number = tag & 7, tag >> 3
        if number == 0:
            raise Malformed("a field without a number")
        if wire == 0:
            value, at = varint(data, at, end)
            yield number, value
            continue
        if wire == 2:
            size, at = varint(data, at, end)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Malformed(f"wire type {wire}")
        if size > end - at:
            raise Malformed("it ends too early")
        yield number, (at, at + size)
        at += size


def varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """An unsigned integer and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise Malformed("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise Malformed("a number of more than 64 bits")


def text(data: mmap.mmap, span: int | Span | None) -> str:
    """Raises Malformed on bytes that are not UTF-8."""
    if isinstance(span, int):
        raise Malformed("a number in the place of a text")
    try:
        return data[span[0] : span[1]].decode() if span else ""
    except UnicodeDecodeError as error:
        raise Malformed("a text that is not UTF-8") from error


def whole(value: int | Span) -> int:
    if not isinstance(value, int):
        raise Malformed("a text in the place of a number")
    return value
