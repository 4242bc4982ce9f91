"""An infer request's body to what is asked, the answer's tensors to a body: JSON, or JSON followed by raw tensors."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.errors import Malformed, TooLarge, UnsupportedType
from service.types import Array
from service.web import documents
from service.web.asgi import Headers
from service.web.calls import Reply
from service.web.oip import tensors

HEADER = b"inference-header-content-length"
BINARY = b"application/octet-stream"
WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's numbers for the two
SMALL = 1024  # bytes that are not worth compressing
NUMBERS, LISTS = 1_000_000, 200_000  # of a document; what is more is to come as binary data


@dataclass(frozen=True)
class Wanted:
    """One output, as the client wants it."""

    name: str
    binary: bool = False
    classes: int = 0  # of the classification extension


@dataclass(frozen=True)
class Request:
    inputs: Mapping[str, Array]
    id: str | None = None
    wanted: tuple[Wanted, ...] = ()  # empty: all outputs
    binary: bool = False  # all outputs, unless one says otherwise
    timeout: float | None = None  # seconds


def inflated(body: bytes, encoding: str, most: int) -> bytes:
    """Raises UnsupportedType, TooLarge, Malformed."""
    if encoding in ("", "identity"):
        return body
    if encoding not in WINDOWS:
        raise UnsupportedType("bodies may be compressed by gzip or deflate")
    inflater = zlib.decompressobj(WINDOWS[encoding])
    try:
        found = inflater.decompress(body, most)
    except zlib.error as error:
        raise Malformed(f"the body is not {encoding}") from error
    if inflater.unconsumed_tail:
        raise TooLarge("the body is too large when it is inflated", limit=most)
    if not inflater.eof:
        raise Malformed(f"the body is not {encoding}")
    return found


def read(body: bytes, length: bytes, ports: Mapping[str, Any]) -> Request:
    """`length`: the header's value, of the JSON in front. `ports`: the graph's inputs. Raises Malformed."""
    if not length:
        return parsed(body, b"")
    if not length.isdigit() or int(length) > len(body):
        raise Malformed("Inference-Header-Content-Length is not the length of the JSON in front of the body")
    size = int(length)
    return parsed(body[:size], body[size:]) if size else raw(body, ports)


def raw(body: bytes, ports: Mapping[str, Any]) -> Request:
    """Bytes of the one input and nothing else; a batch of one, answered in bytes. Raises Malformed."""
    if len(ports) != 1:
        raise Malformed("a raw request is for models of one input")
    ((name, port),) = ports.items()
    sizes = [size or -1 for size in port.shape[1:]]
    datatype = tensors.NAMES[port.dtype]
    if sizes.count(-1) > 1:
        raise Malformed("a raw request is for inputs of at most one variable axis")
    count, rest = len(body) // port.dtype.itemsize, 1
    for size in sizes:
        rest *= abs(size)
    sizes = [count // rest if size == -1 else size for size in sizes]
    return Request({name: tensors.from_bytes(body, datatype, (1, *sizes), "the input")}, binary=True)


def parsed(text: bytes, rest: bytes) -> Request:
    documents.bounded(text, values=NUMBERS, objects=LISTS)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed("not valid JSON in UTF-8") from error
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise Malformed('a request looks like {"inputs": [{"name", "shape", "datatype", "data"}]}')
    inputs: dict[str, Array] = {}
    for number, given in enumerate(document["inputs"], 1):
        name, array, rest = tensor(given, rest, f"input {number}")
        if name in inputs:
            raise Malformed(f"input {number} has the name of one before it")
        inputs[name] = array
    if rest:
        raise Malformed("the body is longer than its tensors")
    about = parameters(document)
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Malformed("id is not a string")
    binary = about.get("binary_data_output") is True
    timeout = about.get("timeout")
    seconds = timeout / 1e6 if isinstance(timeout, int) and timeout > 0 else None
    outputs = document.get("outputs") or []
    if not isinstance(outputs, list):
        raise Malformed("outputs is not a list")
    return Request(inputs, identity, tuple(wanted(one, binary) for one in outputs), binary, seconds)


def tensor(given: Any, rest: bytes, place: str) -> tuple[str, Array, bytes]:
    """Name, values, and the bytes behind those that belong to it. Refusals name its place: its name is the client's."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise Malformed(f"{place} has no name")
    name, datatype = given["name"], given.get("datatype")
    if not isinstance(datatype, str) or datatype not in tensors.DATATYPES:
        raise Malformed(f"{place}: datatypes are {', '.join(tensors.DATATYPES)}")
    sizes = tensors.shape(given.get("shape"), place)
    size = parameters(given).get("binary_data_size")
    if size is None:
        return name, tensors.from_json(given.get("data"), datatype, sizes, place), rest
    if type(size) is not int or not 0 <= size <= len(rest) or "data" in given:
        raise Malformed(f"{place}: binary_data_size is not that of its bytes")
    return name, tensors.from_bytes(rest[:size], datatype, sizes, place), rest[size:]


def wanted(given: Any, binary: bool) -> Wanted:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise Malformed("an output has no name")
    about = parameters(given)
    classes = about.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise Malformed("classification is a number of classes")
    return Wanted(given["name"], about.get("binary_data", binary) is True, classes)


def parameters(given: Mapping[str, Any]) -> Mapping[str, Any]:
    found = given.get("parameters") or {}
    if not isinstance(found, dict):
        raise Malformed("parameters is not an object")
    return found


@dataclass
class Answer:
    """An infer response under construction."""

    model: str
    version: str
    id: str | None
    outputs: list[dict[str, Any]] = field(default_factory=list)
    bytes: list[bytes] = field(default_factory=list)

    def add(self, name: str, array: Array, binary: bool) -> None:
        said: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": tensors.NAMES[array.dtype]}
        if binary:
            data = tensors.to_bytes(array)
            self.bytes.append(data)
            said["parameters"] = {"binary_data_size": len(data)}
        else:
            said["data"] = tensors.to_json(array)
        self.outputs.append(said)

    def reply(self, accepted: str) -> Reply:
        """Compressed if the client takes that."""
        document = {"model_name": self.model, "model_version": self.version, "outputs": self.outputs}
        head = orjson.dumps({**document, "id": self.id} if self.id is not None else document)
        body = b"".join((head, *self.bytes))
        headers: Headers = [(HEADER, b"%d" % len(head))] if self.bytes else []
        encoding = next((word for word in WINDOWS if word in accepted), None)
        if encoding and len(body) > SMALL:
            deflater = zlib.compressobj(1, zlib.DEFLATED, WINDOWS[encoding])
            body = deflater.compress(body) + deflater.flush()
            headers.append((b"content-encoding", encoding.encode()))
        return Reply(body, BINARY, headers) if self.bytes else Reply(body, headers=headers)
