"""Bodies against the two grammars, and texts against the tokenizer."""

import itertools
import json
from collections.abc import Iterator

from tests.hostile.cases import BOUNDARY, FORM, JSON, Case, field, file, form, inputs

MIB = 2**20
LINE = b"--" + BOUNDARY.encode()


def texts() -> Iterator[Case]:
    broken: dict[str, tuple[bytes, int]] = {
        "300000 CJK characters": ("中".encode() * 300_000, 413),
        "33 KiB": (b"a" * 33 * 1024, 413),
        "a lone surrogate": (b"\xed\xa0\x80", 422),
        "Latin-1": (b"caf\xe9", 422),
        "UTF-16": ("seven".encode("utf-16"), 422),
        "an overlong slash": (b"\xc0\xaf", 422),
        "beyond Unicode": (b"\xf4\x90\x80\x80", 422),
        "half a character": ("sieben ü".encode()[:-1], 422),
        "nothing": (b"", 422),
    }
    for name, (data, status) in broken.items():
        yield Case(f"text: {name}", (status,), FORM, form((field("text"), data)))
        yield Case(f"text in base64: {name}", (status,), JSON, inputs(text=data))
    for charset in ("utf-16", "latin-1", "utf-7", "x-user-defined"):
        head = f"{field('text')}\r\nContent-Type: text/plain; charset={charset}"
        yield Case(f"text in {charset}", (415,), FORM, form((head, b"seven")))
        yield Case(f"form in {charset}", (415,), f"{FORM}; charset={charset}", form((field("text"), b"seven")))
        yield Case(f"JSON in {charset}", (415,), f"{JSON}; charset={charset}", b'{"inputs": {"text": "a"}}')


def forms() -> Iterator[Case]:
    good = form((field("text"), b"seven"))
    long = "a" * 5000

    def bad(name: str, body: bytes, *statuses: int, kind: str = FORM) -> Case:
        return Case(f"form: {name}", statuses or (400,), kind, body)

    yield bad("empty body", b"")
    yield bad("no part", form(), 422)
    yield bad("no end", good[:-4])
    yield bad("no boundary in it", b"hello")
    yield bad("bare line feeds", good.replace(b"\r\n", b"\n"))
    yield bad("9 parts", form(*[(field("text"), b"a")] * 9))
    yield bad("100000 parts", form(*[(field("text"), b"a")] * 100_000))
    yield bad("a part twice", form((field("text"), b"a"), (file("text"), b"a")))
    yield bad("an unknown part", form((field("__proto__"), b"a")))
    yield bad("a part without name", form(("Content-Disposition: form-data", b"a")))
    yield bad("a part named with NUL", form((field("te\0xt"), b"a")))
    yield bad("a part of many headers", form((field("text") + "\r\nX-A: 1" * 100, b"a")))
    yield bad("a part with the same header twice", form((f"{field('text')}\r\n{field('text')}", b"a")))
    yield bad("a part with a parameter twice", form((f'{field("text")}; name="image"', b"a")))
    yield bad("a header without colon", form((field("text") + "\r\nnonsense", b"a")))
    yield bad("a folded header", form((field("text") + "\r\n folded", b"a")))
    yield bad("a header of 5000 characters", form((field("text") + f"\r\nX-A: {long}", b"a")))
    yield bad("a header of 9 MiB", form((field("text") + "\r\nX-A: " + "a" * 9 * MIB, b"a")))
    yield bad("a header that never ends", LINE + b"\r\n" + b"a" * 20 * MIB)
    yield bad("a base64 part", form((field("text") + "\r\nContent-Transfer-Encoding: base64", b"YQ==")))
    yield bad("a nested form", form((field("text") + "\r\nContent-Type: multipart/mixed; boundary=b", b"--b--")))
    yield bad("another disposition", form(("Content-Disposition: attachment; name=text", b"a")))
    yield bad("boundaries and nothing else", (LINE + b"\r\n") * 500_000)
    yield bad("almost boundaries", LINE[:-1] * 2 * MIB)
    yield bad("a picture of 11 MiB", form((file("image"), b"\x89PNG\r\n\x1a\n" + bytes(11 * MIB))), 413)
    yield bad("an unknown part of 31 MiB", form((file("smell"), bytes(31 * MIB))))
    yield bad("a sound of 31 MiB", form((file("audio"), bytes(31 * MIB))), 413)
    for name, boundary in (("none", ""), ("71 characters", "a" * 71), ("not ASCII", "é"), ("ends in a blank", '"a "')):
        yield bad(f"a boundary: {name}", good, kind=f"multipart/form-data; boundary={boundary}")
    yield bad("no boundary said", good, kind="multipart/form-data")
    yield bad("two boundaries said", good, kind=f"{FORM}; boundary=b")
    for other in ("multipart/mixed", "multipart/related", "application/x-www-form-urlencoded", "text/plain", "x"):
        yield bad(f"sent as {other}", good, 415, kind=f"{other}; boundary={BOUNDARY}")


def documents() -> Iterator[Case]:
    def bad(name: str, body: bytes, *statuses: int) -> Case:
        return Case(f"JSON: {name}", statuses or (400,), JSON, body)

    for text in (
        "", "{", "[]", "null", "1", '"a"', "{}", '{"inputs": []}', '{"inputs": {"text": NaN}}',
        '{"inputs": {"text": "a", "text": "b"}}', '{"inputs": {"text": "a"}, "inputs": {}}', '{"inputs": {"text": 1},}',
        '{"inputs": {"image": "YQ=="}}', '{"inputs": {"image": {"base64": "YQ"}}}',
        '{"inputs": {"image": {"base64": "Y Q=="}}}', '{"inputs": {"image": {"url": "http://127.0.0.1/"}}}',
        '{"inputs": {"image": {"base64": "YQ==", "url": "file:///etc/passwd"}}}',
        '{"inputs": {"text": "a"}, "__class__": "x"}', '{"inputs": {"text": "a"}, "threshold": 1e999}',
        '{"inputs": {"text": {"$ref": "#"}}}', "{'inputs': {}}", '{"inputs": {"text": "\\x"}}',
        '{"inputs": {"text": "a\nb"}}',
    ):  # fmt: skip
        yield bad(text[:60], text.encode())
    yield bad("no part", b'{"inputs": {}}', 422)
    yield bad("only null", b'{"inputs": {"text": null}}', 422)
    yield bad("an empty text", b'{"inputs": {"text": ""}}', 422)
    yield bad("a lone surrogate", b'{"inputs": {"text": "\\ud800"}}', 422)
    yield bad("UTF-16", '{"inputs": {"text": "a"}}'.encode("utf-16"))
    yield bad("Latin-1", b'{"inputs": {"text": "\xe9"}}')
    yield bad("a byte order mark", b'\xef\xbb\xbf{"inputs": {"text": "a"}}')
    for open_ in ("[", '{"a":', '{"inputs":{"text":['):
        yield bad(f"100000 times {open_}", open_.encode() * 100_000)
    yield bad("a number of 5000 digits", b'{"inputs": {"text": ' + b"9" * 5000 + b"}}")
    yield bad("a number of 20 MB", b'{"inputs": {"text": ' + b"9" * 20 * MIB + b"}}", 400, 413)
    yield bad("a text of 31 MiB", b'{"inputs": {"text": "' + b"a" * 31 * MIB + b'"}}', 413)
    yield bad("a text of 31 MiB with blanks", b'{"inputs": {"text": "' + b"a " * 15 * MIB + b'"}}', 413)
    yield bad(
        "a text of 31 MiB with an emoji", b'{"inputs": {"text": "' + b"a " * 15 * MIB + "😀".encode() + b'"}}', 413
    )
    yield bad("300000 CJK characters, escaped", json.dumps({"inputs": {"text": "中" * 300_000}}).encode(), 413)
    yield bad("a picture of 31 MiB", b'{"inputs": {"image": {"base64": "' + b"A" * 31 * MIB + b'"}}}', 413)
    keys = ",".join(f'"k{i}":1' for i in range(200_000))
    yield bad("200000 keys", f'{{"inputs": {{{keys}}}}}'.encode())
    for many in ("[]", "{}", '""', '{"a":1}', "1.5", '"a,b"'):
        some = ",".join([many] * (4_000_000 // (len(many) + 1)))
        yield bad(f"4 MB of {many}", f'{{"inputs": {{"text": [{some}]}}}}'.encode())
    yield bad("an unknown part of 31 MiB", b'{"inputs": {"smell": "' + b"a" * 31 * MIB + b'"}}')


def hostile() -> Iterator[Case]:
    return itertools.chain(texts(), forms(), documents())
