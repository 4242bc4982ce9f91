"""A request's body to its parts: multipart/form-data or JSON, from memory, under limits, strictly."""

import binascii
import io
import json
import re
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from service.errors import DuplicatePart, InvalidInput, Malformed, TooLarge, UnknownPart, UnsupportedType
from service.limits import MIB, Limits
from service.web import controls, documents, forms
from service.web.asgi import Disconnected, Receive, Scope, header

PLAIN_ENCODINGS = {"", "7bit", "8bit", "binary"}
LENGTH = 1024  # bytes of a JSON value that is long
LONG = re.compile(rb':[ \t\r\n]*"([0-9A-Za-z+/]{%d,}={0,2})"' % LENGTH)
ESCAPED = re.compile(
    rb':[ \t\r\n]*"((?:[0-9A-Za-z+/]++|\\/|\\u002[BbFf]){20,}+={0,2})"'
)  # as PHP and .NET write base64
SLASH, PLUS = re.compile(rb"\\(?:/|u002[Ff])"), re.compile(rb"\\u002[Bb]")
TOKEN = secrets.token_hex(16)  # stands for a long value; no client knows it
WORDS = 4 * MIB  # bytes of a JSON body without its long values

Bytes = bytes | memoryview


class Place(Protocol):
    """Where the bytes of a body are counted."""

    def grow(self, size: int) -> None: ...
    def whole(self, size: int) -> None: ...


class Part(Protocol):
    """What uploads need to know of a model's input."""

    @property
    def kind(self) -> str: ...

    def limit(self, limits: Limits) -> int: ...


async def read(
    scope: Scope, receive: Receive, inputs: Mapping[str, Part], limits: Limits, place: Place | None = None
) -> tuple[dict[str, bytes], dict[str, object]]:
    """Part name -> bytes, and the controls. Nothing is spooled; file names and declared media types are not looked at.

    Raises Malformed, UnknownPart, DuplicatePart, SlowBody, TooLarge, UnsupportedType, InvalidInput; Disconnected.
    """
    if header(scope, b"content-encoding").lower() not in (b"", b"identity"):
        raise UnsupportedType("compressed bodies are not taken")
    kind, given = media_type(header(scope, b"content-type").decode("latin-1"))
    if kind == "multipart/form-data":
        return from_form(await body(receive, limits, place), given.get("boundary", ""), inputs, limits)
    if kind == "application/json":
        return from_json(await body(receive, limits, place), inputs, limits)
    raise UnsupportedType("send multipart/form-data or application/json")


def length(scope: Scope, limits: Limits) -> int:
    """Bytes announced by Content-Length; 0: none are. Raises Malformed, TooLarge."""
    value = header(scope, b"content-length")
    if value and not value.isdigit():
        raise Malformed("Content-Length is not a number")
    size = int(value or 0)
    if size > limits.body_bytes:
        raise TooLarge(f"a body of {size} bytes", limit=limits.body_bytes)
    return size


async def body(receive: Receive, limits: Limits, place: Place | None = None) -> bytes:
    """Whole. That it comes in time is the connection's affair: `receive` raises SlowBody, and Malformed.

    Raises TooLarge; QueueFull, if there is no `place` for so many bytes; Disconnected.
    """
    whole: io.BytesIO | None = None  # grows in place: a list of pieces, joined, would be there twice
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limits.body_bytes:
            raise TooLarge("the body is too large", limit=limits.body_bytes)
        if not message.get("more_body"):
            if place is not None:
                place.whole(size)
            if whole is None:
                return chunk
            whole.write(chunk)
            return whole.getvalue()
        if place is not None:
            place.grow(len(chunk))
        whole = whole or io.BytesIO()
        whole.write(chunk)


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """Media type in lower case and its parameters. Raises Malformed, UnsupportedType."""
    kind, given = forms.options(value)
    if given.get("charset", "").lower() not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedType("text must be UTF-8")
    return kind, given


def from_form(
    data: bytes, boundary: str, inputs: Mapping[str, Part], limits: Limits
) -> tuple[dict[str, bytes], dict[str, object]]:
    """One level, each part once, no transfer encodings."""
    parts: dict[str, bytes] = {}
    said: dict[str, object] = {}
    for segment in forms.segments(data, boundary, limits.parts):
        if segment.kind and media_type(segment.kind)[0].startswith("multipart/"):
            raise Malformed("nested multipart is not taken")
        if segment.encoding.lower() not in PLAIN_ENCODINGS:
            raise Malformed("parts must not be transfer-encoded")
        if segment.name in controls.NAMES and segment.name not in inputs:
            say(said, segment.name, segment.content, limits)
        elif segment.content or not segment.nameless:  # else: what a browser sends for a file field left empty
            add(parts, segment.name, segment.content, inputs, limits)
    return parts, said


def say(said: dict[str, object], name: str, data: memoryview, limits: Limits) -> None:
    if name in said:
        raise DuplicatePart("sent more than once", part=name)
    if len(data) > limits.text_bytes:
        raise TooLarge(f"{len(data)} bytes", part=name, limit=limits.text_bytes)
    try:
        said[name] = str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8", part=name) from error


def add(parts: dict[str, bytes], name: str, data: Bytes, inputs: Mapping[str, Part], limits: Limits) -> None:
    """Copied only when it is known to be what it may be."""
    if name not in inputs:
        raise UnknownPart(f"this model has no such part; it takes {', '.join(inputs)}")
    if name in parts:
        raise DuplicatePart("sent more than once", part=name)
    most = inputs[name].limit(limits)
    if len(data) > most:
        raise TooLarge(f"{len(data)} bytes", part=name, limit=most)
    if not data:
        raise InvalidInput("empty; leave an absent part out", part=name)
    parts[name] = bytes(data)


def from_json(data: bytes, inputs: Mapping[str, Part], limits: Limits) -> tuple[dict[str, bytes], dict[str, object]]:
    """`{"inputs": {"text": "...", "image": {"base64": "..."}}}` means exactly the same as a form."""
    document = parsed(data)
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), dict):
        raise Malformed('JSON bodies look like {"inputs": {"text": "...", "image": {"base64": "..."}}}')
    given = document.pop("inputs")
    if not document.keys() <= set(controls.NAMES):
        raise Malformed(f"beside inputs stand only {', '.join(controls.NAMES)}")
    parts: dict[str, bytes] = {}
    for name, value in given.items():
        if name in inputs and value is None:
            continue
        add(parts, name, content(value, inputs, name, limits), inputs, limits)
    return parts, document


def parsed(data: bytes) -> object:
    """Long base64 values stay where they are, as memoryviews: as strings they would be there up to five times.

    Raises Malformed, TooLarge, DuplicatePart.
    """
    lifted: dict[str, memoryview] = {}
    text, view = data, memoryview(data)

    def lift(match: re.Match[bytes]) -> bytes:
        token = f"{TOKEN}{len(lifted)}"
        if match.re is LONG:
            lifted[token] = view[slice(*match.span(1))]
        else:
            lifted[token] = memoryview(PLUS.sub(b"+", SLASH.sub(b"/", match[1])))
        return b':"%s"' % token.encode()

    if len(text) > LENGTH:
        text = LONG.sub(lift, data)
    if len(text) > WORDS:
        text = ESCAPED.sub(lift, text)
    if len(text) > WORDS:
        raise TooLarge("more text than all parts may have", limit=WORDS)
    documents.bounded(text)
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=partial(unique, lifted), parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("not valid JSON in UTF-8") from error


def content(value: object, inputs: Mapping[str, Part], name: str, limits: Limits) -> Bytes:
    if name not in inputs:
        return b""  # `add` says that it is unknown
    if inputs[name].kind == "text" and isinstance(value, str | memoryview):
        try:
            return value.encode("utf-8") if isinstance(value, str) else value
        except UnicodeEncodeError as error:
            raise InvalidInput("text is not valid Unicode", part=name) from error
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str | memoryview):
        size, most = len(value["base64"]) // 4 * 3 - 2, inputs[name].limit(limits)
        if size > most:  # before it is decoded
            raise TooLarge(f"at least {size} bytes", part=name, limit=most)
        try:
            return binascii.a2b_base64(value["base64"], strict_mode=True)
        except ValueError as error:
            raise Malformed("not valid base64", part=name) from error
    raise Malformed('send {"base64": "..."}, or for text a string', part=name)


def unique(lifted: Mapping[str, memoryview], pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = {key: lifted.get(value, value) if isinstance(value, str) else value for key, value in pairs}
    if len(document) < len(pairs):
        raise DuplicatePart("a JSON key stands twice")
    return document


def no_constant(name: str) -> None:
    raise ValueError(name)
