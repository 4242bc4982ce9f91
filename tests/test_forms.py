"""The multipart grammar by itself; what becomes of its segments is in test_uploads.py."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Malformed
from service.web import forms

BOUNDARY = "x-boundary"
LOOKALIKES = [b"\r\n", b"\r", b"\n", b"--", b"-", b"x-boundary", b"x-bound", b"\r\n--x-", b"\0", b"a", b": ", b"\xff"]
CONTENT = (
    st.lists(st.sampled_from(LOOKALIKES), max_size=30)
    .map(b"".join)
    .filter(lambda content: b"\r\n--x-boundary" not in b"\r\n" + content)
)
NAMES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20)


def body(*parts: tuple[str, bytes]) -> bytes:
    made = b"".join(b"--x-boundary\r\n%s\r\n\r\n%s\r\n" % (head.encode(), content) for head, content in parts)
    return made + b"--x-boundary--\r\n"


def read(data: bytes, boundary: str = BOUNDARY, most: int = 8) -> list[forms.Segment]:
    return list(forms.segments(data, boundary, most))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.tuples(NAMES, CONTENT), max_size=5))
def test_contents_may_hold_anything_but_the_boundary(parts: list[tuple[str, bytes]]) -> None:
    data = body(*((f"Content-Disposition: form-data; name={quoted(name)}", content) for name, content in parts))
    assert [(segment.name, bytes(segment.content)) for segment in read(data)] == parts


@given(
    st.sampled_from(["text", "a.b-c_d", "é", 'a"b', "a b"]),
    st.none() | st.sampled_from(["", "photo.png", "Фото.png", 'a"b', "a\\b", "a;b"]),
    st.none() | st.sampled_from(["image/png", "text/plain; charset=utf-8"]),
    st.sampled_from(["Content-Disposition", "content-disposition", "CONTENT-DISPOSITION"]),
)
def test_it_does_not_matter_how_a_header_block_is_written(
    name: str, file: str | None, kind: str | None, key: str
) -> None:
    """The usual blocks are read in one step; one more header makes any block an unusual one."""
    head = f"{key}: form-data; name={quoted(name)}" + ("" if file is None else f"; filename={quoted(file)}")
    head += "" if kind is None else f"\r\nContent-Type: {kind}"
    usual, unusual = read(body((head, b"a"), (f"X-More: 1\r\n{head}", b"a")))
    assert usual == unusual == forms.Segment(name, file == "", kind or "", "", memoryview(b"a"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("form-data", ("form-data", {})),
        ("Form-Data; Name=a", ("form-data", {"name": "a"})),
        ('form-data;name="a;b" ; filename="c=\\"d\\""', ("form-data", {"name": "a;b", "filename": 'c="d"'})),
        ('form-data; name=""', ("form-data", {"name": ""})),
        ("text/plain;", ("text/plain", {})),
        ("", ("", {})),
    ],
)
def test_a_header_is_a_word_and_its_parameters(value: str, expected: tuple[str, dict[str, str]]) -> None:
    assert forms.options(value) == expected


@pytest.mark.parametrize("value", ['a; name="b', "a; name=b; NAME=c", "a; b", "a; =b", 'a; name="b"c', "a; name=b c"])
def test_parameters_that_cannot_be_read_are_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        forms.options(value)


@pytest.mark.parametrize(
    "head",
    [
        'form-data; name="text"',
        'Content-Disposition : form-data; name="text"',
        'Content-Disposition: form-data;\r\n name="text"',
        'Content-Disposition: form-data; name="text"\r\nContent-Disposition: form-data; name="image"',
        'Content-Disposition: form-data; name="a"; name="b"',
        'Content-Disposition: form-data; filename="a"',
        'Content-Disposition: form-data; name="text"\0',
        'Content-Disposition: form-data; name="text"\r\n' + "\r\n".join(f"X-{i}: a" for i in range(8)),
    ],
)
def test_header_blocks_that_two_parsers_might_read_in_two_ways_are_malformed(head: str) -> None:
    with pytest.raises(Malformed):
        read(body((head, b"a")))


def test_parts_are_bounded() -> None:
    part = ('Content-Disposition: form-data; name="text"', b"a")
    assert len(read(body(*[part] * 8))) == 8
    with pytest.raises(Malformed) as refusal:
        read(body(*[part] * 9))
    assert refusal.value.limit == 8


@pytest.mark.parametrize("filler", [b"\r\n--x-boundar", b"\r\n-", b"--x-boundary", b"\r\n\r\n", b"-"])
def test_time_grows_with_the_body_and_no_faster(filler: bytes) -> None:
    data = body(('Content-Disposition: form-data; name="image"', b"a" + filler * (4_000_000 // len(filler))))
    start = time.process_time()
    (segment,) = read(data)
    assert len(segment.content) > 3_900_000
    assert time.process_time() - start < 0.5
