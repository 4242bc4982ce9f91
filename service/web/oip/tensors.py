"""Tensors on the wire: JSON or little-endian bytes <-> numpy."""

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from service.errors import Malformed
from service.types import Array

DATATYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
NAMES = {np.dtype(dtype): name for name, dtype in DATATYPES.items()}
AXES = 8  # of a tensor at most
KINDS = {"b": "b", "u": "u", "i": "ui", "f": "uif"}  # kind of a datatype -> kinds of JSON's numbers that it takes


def shape(given: Any, place: str) -> tuple[int, ...]:
    """Raises Malformed unless it is a list of sizes."""
    if not isinstance(given, list) or not all(type(size) is int and size >= 0 for size in given) or len(given) > AXES:
        raise Malformed(f"shape of {place} is not a list of up to {AXES} sizes")
    return tuple(given)


def from_json(data: Any, datatype: str, sizes: tuple[int, ...], place: str) -> Array:
    """Nested or flat, row-major. BYTES are strings. Raises Malformed."""
    if not isinstance(data, list):
        raise Malformed(f"data of {place} is not a list")
    if datatype == "BYTES":
        return sized([element.encode() for element in flat(data, place)], sizes, place)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise Malformed(f"data of {place} is ragged") from error
    dtype = np.dtype(DATATYPES[datatype])
    if array.size == 0:
        array = array.astype(dtype)
    if array.dtype.kind == "i" and dtype.kind == "u" and array.size and array.min() >= 0:
        array = array.astype(np.uint64)
    if array.dtype.kind not in KINDS[dtype.kind]:
        raise Malformed(f"data of {place} is not {datatype}")
    if dtype.kind in "ui" and (
        array.max(initial=0) > np.iinfo(dtype).max or array.min(initial=0) < np.iinfo(dtype).min
    ):
        raise Malformed(f"data of {place} is beyond {datatype}")
    if array.size != math.prod(sizes):
        raise Malformed(f"{place} has {array.size} elements, its shape says {math.prod(sizes)}")
    with np.errstate(over="ignore"):
        return array.astype(dtype).reshape(sizes)


def flat(data: list[Any], place: str) -> Iterator[str]:
    waiting = [iter(data)]  # not by recursion: a client says how deep it goes
    while waiting:
        for element in waiting[-1]:
            if isinstance(element, list):
                waiting.append(iter(element))
                break
            if not isinstance(element, str):
                raise Malformed(f"data of {place} is not strings; send other bytes in the binary form")
            yield element
        else:
            waiting.pop()


def from_bytes(data: bytes, datatype: str, sizes: tuple[int, ...], place: str) -> Array:
    """Little-endian, no padding; a BYTES element is a 32-bit length and its bytes. Raises Malformed."""
    if datatype == "BYTES":
        return sized(list(elements(data, place)), sizes, place)
    dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
    if len(data) != dtype.itemsize * math.prod(sizes):
        raise Malformed(f"{place} has {len(data)} bytes, its shape says {dtype.itemsize * math.prod(sizes)}")
    return np.frombuffer(data, dtype).reshape(sizes)


def elements(data: bytes, place: str) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed(f"{place} ends inside an element")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        if at > len(data):
            raise Malformed(f"{place} ends inside an element")
        yield data[at - length : at]


def sized(values: list[bytes], sizes: tuple[int, ...], place: str) -> Array:
    if len(values) != math.prod(sizes):
        raise Malformed(f"{place} has {len(values)} elements, its shape says {math.prod(sizes)}")
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array.reshape(sizes)


def to_json(array: Array) -> Any:
    """Flat, row-major."""
    if array.dtype == np.object_:
        return [element.decode() for element in array.ravel()]
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return array.ravel().tolist()


def to_bytes(array: Array) -> bytes:
    if array.dtype == np.object_:
        return b"".join(struct.pack("<I", len(element)) + element for element in array.ravel())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
