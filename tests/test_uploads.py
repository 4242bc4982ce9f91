"""A request's body to its parts: the two grammars, strictly, under limits."""

import asyncio
import base64
import json
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import (
    DuplicatePart,
    InvalidInput,
    Malformed,
    RequestError,
    TooLarge,
    UnknownPart,
    UnsupportedType,
)
from service.inputs import Audio, Image, Input, Text
from service.limits import Limits
from service.web import uploads
from service.web.asgi import Disconnected, Message, Scope

INPUTS: Mapping[str, Input] = {
    "text": Text.model_validate({"tensors": {"ids": "ids"}}),
    "image": Image.model_validate({"tensors": {"pixels": "pixels"}}),
    "audio": Audio.model_validate(
        {"sample_rate": 8000, "features": {"kind": "waveform"}, "tensors": {"features": "x"}}
    ),
}
BOUNDARY = "x-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
CONTENT = st.binary(min_size=1, max_size=200).filter(lambda data: BOUNDARY.encode() not in data)
PARTS = st.dictionaries(st.sampled_from(list(INPUTS)), CONTENT)


def scope(kind: str | None, **headers: str) -> Scope:
    named = headers if kind is None else {"content_type": kind, **headers}
    return {"headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in named.items()]}


def read(body: bytes | Iterable[bytes], kind: str | None = FORM, limits: Limits | None = None, **headers: str) -> Any:
    """What the server would hand on; `body` in these pieces."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    sent, most = scope(kind, **headers), limits or Limits()
    uploads.length(sent, most)
    parts, said = asyncio.run(uploads.read(sent, receive, INPUTS, most))
    return {**parts, **said}


def form(*parts: tuple[str, bytes]) -> bytes:
    """Parts as (what stands in Content-Disposition and after it, content)."""
    made = b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), head.encode(), data) for head, data in parts)
    return made + b"--%s--\r\n" % BOUNDARY.encode()


def field(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"'


def file(name: str, filename: str = "a.png") -> str:
    return f'{field(name)}; filename="{filename}"\r\nContent-Type: application/octet-stream'


def document(parts: Mapping[str, bytes]) -> bytes:
    return json.dumps({"inputs": {k: {"base64": base64.b64encode(v).decode()} for k, v in parts.items()}}).encode()


# -- both grammars ----------------------------------------------------------------------------------------------------


@given(PARTS, st.booleans())
def test_parts_come_out_as_they_went_in_whichever_way(parts: dict[str, bytes], as_files: bool) -> None:
    head = file if as_files else field
    assert read(form(*((head(name), data) for name, data in parts.items()))) == parts
    assert read(document(parts), JSON) == parts


@given(PARTS, st.integers(1, 50))
def test_it_does_not_matter_in_which_pieces_a_body_arrives(parts: dict[str, bytes], size: int) -> None:
    body = form(*((field(name), data) for name, data in parts.items()))
    assert read(body[i : i + size] for i in range(0, len(body), size)) == parts


@given(st.text(min_size=1).filter(lambda text: BOUNDARY not in text))
def test_a_text_is_the_same_as_string_base64_or_form_field(text: str) -> None:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    as_string = json.dumps({"inputs": {"text": text}}).encode()
    assert read(as_string, JSON) == read(document({"text": data}), JSON) == read(form((field("text"), data)))


@given(PARTS.filter(bool), st.data())
@pytest.mark.parametrize("kind", [FORM, JSON])
def test_a_damaged_body_is_the_clients_fault_and_nothing_worse(kind: str, parts: dict[str, bytes], data: Any) -> None:
    body = bytearray(
        form(*((file(name), content) for name, content in parts.items())) if kind == FORM else document(parts)
    )
    for _ in range(data.draw(st.integers(0, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    with suppress(RequestError):  # nothing else
        assert read(cut, kind).keys() <= INPUTS.keys()


@given(st.text(st.characters(max_codepoint=255)), st.binary(max_size=100))
@example("multipart/form-data; boundary=\xff", b"")
@example("multipart/form-data; boundary=", b"")
@example('multipart/form-data; boundary="', b"")
@example("application/json; charset=", b"null")
def test_a_strange_content_type_is_the_clients_fault_and_nothing_worse(kind: str, body: bytes) -> None:
    with pytest.raises(RequestError) as refusal:
        read(body, kind)
    assert refusal.value.status in (400, 415)


@pytest.mark.parametrize("name", ["smell", "Text", "text[]", " text", "", "tëxt"])
def test_an_unknown_part_is_told_the_known_ones(name: str) -> None:
    for body, kind in ((form((field(name), b"a")), FORM), (document({name: b"a"}), JSON)):
        with pytest.raises(UnknownPart, match="it takes text, image, audio"):
            read(body, kind)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form((field("text"), b"a"), (field("text"), b"b")), FORM),
        (form((file("image"), b"a"), (field("image"), b"b")), FORM),
        (b'{"inputs": {"text": "a", "text": "b"}}', JSON),
        (b'{"inputs": {"text": "a"}, "inputs": {}}', JSON),
        (b'{"inputs": {"text": {"base64": "", "base64": ""}}}', JSON),
    ],
)
def test_no_one_picks_silently_among_duplicates(body: bytes, kind: str) -> None:
    with pytest.raises(DuplicatePart):
        read(body, kind)


@pytest.mark.parametrize(("body", "kind"), [(form((field("text"), b"")), FORM), (document({"audio": b""}), JSON)])
def test_an_empty_part_is_not_an_absent_one(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidInput, match="leave an absent part out"):
        read(body, kind)


@pytest.mark.parametrize(
    ("name", "limit"), [("text", "text_bytes"), ("image", "image_bytes"), ("audio", "audio_bytes")]
)
def test_each_part_has_its_limit_in_bytes(name: str, limit: str) -> None:
    limits = Limits.model_validate({limit: 10})
    for make, kind in ((lambda parts: form(*((field(k), v) for k, v in parts.items())), FORM), (document, JSON)):
        assert read(make({name: b"a" * 10}), kind, limits) == {name: b"a" * 10}
        with pytest.raises(TooLarge) as refusal:
            read(make({name: b"a" * 11}), kind, limits)
        assert (refusal.value.part, refusal.value.limit) == (name, 10)


# -- multipart --------------------------------------------------------------------------------------------------------


def test_what_follows_the_last_boundary_is_no_part() -> None:
    assert read(form((field("text"), b"a")) + b"epilogue (RFC 2046, 5.1.1)") == {"text": b"a"}


@pytest.mark.parametrize("padding", [b" ", b"\t", b" " * 70])
def test_blanks_after_a_boundary_are_padding(padding: bytes) -> None:
    body = form((field("text"), b"a"), (file("image"), b"b"))
    line = b"--" + BOUNDARY.encode()
    assert read(body.replace(line + b"\r\n", line + padding + b"\r\n")) == {"text": b"a", "image": b"b"}
    with pytest.raises(Malformed):
        read(body.replace(line + b"\r\n", line + padding + b"x\r\n"))


def test_an_empty_form_has_no_parts() -> None:
    assert read(form()) == {}


def test_a_file_field_that_a_browser_left_empty_is_an_absent_part() -> None:
    assert read(form((file("image", ""), b""), (field("text"), b"a"))) == {"text": b"a"}


def test_file_names_and_declared_types_do_not_matter() -> None:
    head = 'Content-Disposition: form-data; name="image"; filename="../../etc/passwd"\r\nContent-Type: audio/wav'
    assert read(form((head, b"a"))) == {"image": b"a"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text=a",
        form((field("text"), b"a"))[:-4],
        form((field("text"), b"a"))[:-20],
        form(("Content-Disposition: form-data", b"a")),
        form(("Content-Disposition: attachment; name=text", b"a")),
        form(("X-Header: no disposition", b"a")),
        form((field("text") + "\r\nContent-Type: multipart/mixed; boundary=b", b"--b\r\n\r\na\r\n--b--")),
        form((field("text") + "\r\nContent-Transfer-Encoding: base64", b"YQ==")),
        form((field("text") + "\r\nno colon", b"a")),
        form((field("text") + "\r\nX-Long: " + "a" * 100_000, b"a")),
        form(*((field("text"), b"a") for _ in range(9))),
        form((field("text"), b"a")).replace(b"\r\n", b"\n"),
        b"preamble" + form((field("text"), b"a")),
    ],
)
def test_what_rfc_7578_does_not_say_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize("boundary", ["", "a" * 71, "é", '"a\tb"'])
def test_a_boundary_has_1_to_70_printable_characters(boundary: str) -> None:
    with pytest.raises(Malformed, match="boundary"):
        read(b"", f"multipart/form-data; boundary={boundary}")


def test_a_boundary_of_70_is_fine() -> None:
    assert read(b"--%s--\r\n" % (b"a" * 70), f"multipart/form-data; boundary={'a' * 70}") == {}


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "iso-8859-1", "nonsense"])
def test_text_in_another_charset_is_refused_before_it_is_decoded(charset: str) -> None:
    with pytest.raises(UnsupportedType, match="UTF-8"):
        read(form((f"{field('text')}\r\nContent-Type: text/plain; charset={charset}", b"a")))
    for kind in (FORM, JSON):
        with pytest.raises(UnsupportedType, match="UTF-8"):
            read(b"", f"{kind}; charset={charset}")


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_utf8_may_be_declared(charset: str) -> None:
    assert read(form((f"{field('text')}\r\nContent-Type: text/plain; charset={charset}", b"a"))) == {"text": b"a"}
    assert read(b'{"inputs": {"text": "a"}}', f"{JSON};charset={charset}") == {"text": b"a"}


# -- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"a"', b"{}", b'{"inputs": []}', b'{"inputs": {}, "more": 1}', b'{"input": {}}',
        b'{"inputs": {"text": 1}}', b'{"inputs": {"text": ["a"]}}', b'{"inputs": {"image": "a"}}',
        b'{"inputs": {"image": {"base64": 1}}}', b'{"inputs": {"image": {"b64": "YQ=="}}}',
        b'{"inputs": {"image": {"base64": "YQ==", "name": "x"}}}', b'{"inputs": {"text": "\xff"}}',
        b"\xef\xbb\xbf{}", '{"inputs": {}}'.encode("utf-16"), b'{"inputs": {"text": NaN}}', b"[" * 100_000,
        b'{"inputs": {"text": ' + b"9" * 5000 + b"}}",
    ],
)  # fmt: skip
def test_what_is_not_such_a_document_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body, JSON)


@pytest.mark.parametrize("value", ["YQ", "YQ=", "YQ==\n", " YQ==", "Y-__", "YQ==YQ==", "=", "Ü"])
def test_base64_is_strict(value: str) -> None:
    with pytest.raises(Malformed) as refusal:
        read(json.dumps({"inputs": {"image": {"base64": value}}}).encode(), JSON)
    assert refusal.value.part == "image"


@given(
    st.binary(min_size=700, max_size=5000), st.text(max_size=3000), st.sampled_from(["", " ", "\r\n\t"]), st.booleans()
)
def test_long_values_mean_what_short_ones_mean(data: bytes, text: str, blank: str, ascii: bool) -> None:
    """They are lifted out before the rest is parsed."""
    if not text.isprintable() or not text:
        text = "a" * 3000
    body = {"inputs": {"audio": {"base64": base64.b64encode(data).decode()}, "text": f':"{text}', "image": None}}
    written = json.dumps(body, ensure_ascii=ascii, separators=(",", ":" + blank)).encode()
    assert read(written, JSON) == {"audio": data, "text": f':"{text}'.encode()}


@pytest.mark.parametrize("text", ["\U0001f600" + "a " * 3 * 10**6, "a " * 3 * 10**6 + "\u4e2d", "a " * 3 * 10**6])
@pytest.mark.parametrize("ascii", [True, False])
def test_megabytes_of_text_are_refused_before_they_are_decoded(text: str, ascii: bool) -> None:
    with pytest.raises(TooLarge):
        read(json.dumps({"inputs": {"text": text}}, ensure_ascii=ascii).encode(), JSON)


@pytest.mark.parametrize(("slash", "plus"), [("\\/", "+"), ("/", "\\u002B"), ("\\u002f", "\\u002b")])
@pytest.mark.parametrize("size", [100, 5 * 2**20])
def test_base64_may_be_escaped_as_other_languages_do(slash: str, plus: str, size: int) -> None:
    data = random.Random(size).randbytes(size)
    encoded = base64.b64encode(data).decode().replace("+", plus).replace("/", slash)
    assert read(f'{{"inputs": {{"image": {{"base64": "{encoded}"}}}}}}'.encode(), JSON) == {"image": data}


def test_a_part_that_is_too_large_is_refused_before_its_base64_is_decoded() -> None:
    with pytest.raises(TooLarge) as refusal:
        read(b'{"inputs": {"image": {"base64": "%s"}}}' % (b"A" * 16 * 2**20), JSON)
    assert refusal.value.part == "image"


def test_null_is_an_absent_part() -> None:
    assert read(b'{"inputs": {"text": "a", "image": null}}', JSON) == {"text": b"a"}


def test_a_lone_surrogate_is_no_text() -> None:
    with pytest.raises(InvalidInput, match="Unicode"):
        read(rb'{"inputs": {"text": "\ud800"}}', JSON)


# -- the body ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed", "image/png"]
)
def test_other_media_types_are_refused(kind: str | None) -> None:
    with pytest.raises(UnsupportedType, match=r"send multipart/form-data or application/json"):
        read(b"", kind)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity"])
def test_compressed_bodies_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedType, match="compressed"):
        read(b"", content_encoding=encoding)


@pytest.mark.parametrize("encoding", ["identity", "Identity"])
def test_identity_is_no_compression(encoding: str) -> None:
    assert read(form(), content_encoding=encoding) == {}


def test_a_body_that_announces_too_much_is_not_read() -> None:
    with pytest.raises(TooLarge) as refusal:
        read(b"never looked at", limits=Limits(body_bytes=100), content_length="101")
    assert refusal.value.limit == 100


def test_a_body_that_grows_too_large_is_not_read_to_its_end() -> None:
    def pieces() -> Iterable[bytes]:
        yield from (b"a" * 60, b"a" * 60)

    with pytest.raises(TooLarge):
        read(pieces(), limits=Limits(body_bytes=100))


@pytest.mark.parametrize("length", ["-1", "1e3", "ten", "+5", "1, 1"])
def test_a_content_length_is_a_number(length: str) -> None:
    with pytest.raises(Malformed):
        read(b"", content_length=length)


def test_a_client_that_leaves_is_noticed() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        asyncio.run(uploads.read(scope(FORM), receive, INPUTS, Limits()))
