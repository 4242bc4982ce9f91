"""A graph that compares two parts to a graph of each: what leads to a part's vector, cut out of the file byte for byte.

Works on protobuf's wire format as service/graph.py reads it, so that no onnx is needed.
"""

import mmap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.errors import BundleError
from service.graph import Span, fields, text

GRAPH = 7  # field numbers of onnx.proto3: of ModelProto,
NODE, INITIALIZER, INPUT, OUTPUT, VALUE, SPARSE = 1, 5, 11, 12, 13, 15  # of GraphProto,
READS, MAKES, KIND, ATTRIBUTE = 1, 2, 4, 5  # of NodeProto,
INNER, INNERS = 6, 11  # and of AttributeProto, whose graphs read what is outside of them
TENSOR = 8  # name of a TensorProto
FLOATS = bytes.fromhex("120a 0a08 0801 1204 0a00 0a00")  # of a ValueInfoProto: a tensor of floats with two axes
PRODUCTS = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Node:
    span: Span
    kind: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class Graph:
    """Of a file that is mapped: its nodes, and the spans of all else by name."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.model = [(number, value) for number, value in fields(data, (0, len(data)))]
        self.body = next(value for number, value in self.model if number == GRAPH and not isinstance(value, int))
        self.nodes = [node(data, span) for number, span in spans(data, self.body) if number == NODE]
        self.makers = {name: one for one in self.nodes for name in one.makes}

    def meeting(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Part -> the last tensor that depends on it alone, or {}; `parts`: the graph's input -> its part."""
        depends: dict[str, frozenset[str]] = {name: frozenset([part]) for name, part in parts.items()}
        for one in self.nodes:  # a graph's nodes are sorted
            sources = {name: depends.get(name, frozenset()) for name in one.reads}
            whole = frozenset[str]().union(*sources.values())
            if len(whole) > 1 and all(len(some) < 2 for some in sources.values()):
                if one.kind not in PRODUCTS:
                    return {}
                return {next(iter(some)): self.upright(name) for name, some in sources.items() if some}
            depends |= dict.fromkeys(one.makes, whole)
        return {}

    def upright(self, name: str) -> str:
        """Before it was transposed for the product."""
        maker, before = self.makers.get(name), name
        while maker and maker.kind in ("Cast", "Identity", "Transpose"):
            before = maker.reads[0]
            if maker.kind == "Transpose":
                return before
            maker = self.makers.get(before)
        return name

    def needed(self, name: str) -> set[str]:
        """All tensors that lead to it."""
        found, open_ = set[str](), [name]
        while open_:
            tensor = open_.pop()
            if tensor not in found:
                found.add(tensor)
                maker = self.makers.get(tensor)
                open_ += maker.reads if maker else ()
        return found

    def cut(self, output: str) -> Iterator[bytes]:
        """The file of a graph that gives this tensor alone."""
        needed = self.needed(output)
        body = b"".join(self._body(output, needed))
        for number, value in self.model:
            if isinstance(value, int):
                yield varint(number << 3) + varint(value)
            else:
                yield field(number, body if number == GRAPH else self.data[slice(*value)])

    def _body(self, output: str, needed: Collection[str]) -> Iterator[bytes]:
        described = b""
        for number, span in spans(self.data, self.body):
            name = ""
            if number in (INPUT, OUTPUT, VALUE):
                name = string(self.data, span, 1)
                if name == output and not described:
                    described = self.data[slice(*span)]
            elif number == INITIALIZER:
                name = string(self.data, span, TENSOR)
            elif number == NODE:
                name = next((name for name in node(self.data, span).makes if name in needed), "")
            if (
                number == OUTPUT
                or (number == VALUE and name == output)
                or (number in (NODE, INITIALIZER, INPUT, VALUE) and name not in needed)
            ):
                continue
            yield field(number, self.data[slice(*span)])
        yield field(OUTPUT, described or field(1, output.encode()) + FLOATS)


def towers(
    graph: Path, folder: Path, parts: Mapping[str, str], vectors: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Writes each part's tower; part -> its file and output. `vectors`: part -> an output, where the graph has one.

    Raises BundleError where the parts are not compared by one product of two vectors.
    """
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        whole = Graph(data)
        found = {**whole.meeting(parts), **vectors}
        if found.keys() != set(parts.values()):
            raise BundleError(
                f"{graph}: {' and '.join(sorted(set(parts.values())))} do not meet in one product of vectors"
            )
        for part, output in found.items():
            if others := {name for name in whole.needed(output) if parts.get(name, part) != part}:
                raise BundleError(
                    f"{graph}: {output!r}, the vector of {part}, depends on {', '.join(sorted(others))}, too"
                )
            with (folder / f"{part}.onnx").open("wb") as target:
                target.writelines(whole.cut(output))
    return {part: (f"{part}.onnx", output) for part, output in found.items()}


def spans(data: mmap.mmap, span: Span) -> Iterator[tuple[int, Span]]:
    for number, value in fields(data, span):
        if not isinstance(value, int):
            yield number, value


def node(data: mmap.mmap, span: Span) -> Node:
    reads, makes, kind = list[str](), list[str](), ""
    for number, value in spans(data, span):
        if number == READS:
            reads.append(text(data, value))
        elif number == MAKES:
            makes.append(text(data, value))
        elif number == KIND:
            kind = text(data, value)
        elif number == ATTRIBUTE:
            for inner, graph in spans(data, value):
                if inner in (INNER, INNERS):
                    reads += [
                        name for each, one in spans(data, graph) if each == NODE for name in node(data, one).reads
                    ]
    return Node(span, kind, tuple(filter(None, reads)), tuple(filter(None, makes)))


def string(data: mmap.mmap, span: Span, number: int) -> str:
    return next((text(data, value) for found, value in spans(data, span) if found == number), "")


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)
