"""Requests as nobody should send them, written by hand: name -> bytes and the statuses of what comes back, in order."""

from collections.abc import Iterator, Mapping

CANARY = b"kanarienvogel"  # what a client sends and nobody may repeat
PATH = b"/v1/predict"
JSON = b'{"inputs": {"text": "a b"}}'
CHUNKED = b"Transfer-Encoding: chunked"
KIND = b"Content-Type: application/json"
HOST = b"Host: braid.test"
WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket")


def head(*fields: bytes, line: bytes = b"POST %b HTTP/1.1" % PATH) -> bytes:
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n"


def post(*fields: bytes, body: bytes = JSON, line: bytes = b"POST %b HTTP/1.1" % PATH) -> bytes:
    return head(HOST, KIND, *fields, line=line) + body


def sized(body: bytes = JSON, *fields: bytes) -> bytes:
    """A good request."""
    return post(b"Content-Length: %d" % len(body), *fields, body=body)


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def get(line: bytes = b"GET /health/live HTTP/1.1", *fields: bytes) -> bytes:
    return head(HOST, *fields, line=line)


GOOD = sized()
CH = chunks(JSON)
N = len(JSON)
LENGTH = b"Content-Length: %d" % N
NEXT = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % CANARY  # a request that must not be found inside another

SMUGGLING: Mapping[str, bytes] = {  # each is 400, and whatever follows is not looked at
    "length and chunks": post(LENGTH, CHUNKED, body=CH),
    "chunks and length": post(CHUNKED, LENGTH, body=CH),
    "chunks and length 0": post(CHUNKED, b"Content-Length: 0", body=CH),
    "two lengths": post(LENGTH, b"Content-Length: %d" % (N + 40), body=JSON + NEXT),
    "two equal lengths": post(LENGTH, LENGTH, body=JSON + NEXT),
    "a list of lengths": post(b"Content-Length: %d, %d" % (N, N), body=JSON + NEXT),
    "a length with a sign": post(b"Content-Length: +%d" % N, body=JSON + NEXT),
    "a negative length": post(b"Content-Length: -%d" % N, body=JSON + NEXT),
    "a negative length of zero": post(b"Content-Length: -0", body=JSON + NEXT),
    "a hexadecimal length": post(b"Content-Length: 0x1b", body=JSON + NEXT),
    "a length with an exponent": post(b"Content-Length: 2e1", body=JSON + NEXT),
    "a length with a point": post(b"Content-Length: 27.0", body=JSON + NEXT),
    "a length in two words": post(b"Content-Length: 2 7", body=JSON + NEXT),
    "a length with underscores": post(b"Content-Length: 2_7", body=JSON + NEXT),
    "a length in other digits": post("Content-Length: ٢٧".encode(), body=JSON + NEXT),
    "a length of letters": post(b"Content-Length: %b" % CANARY, body=JSON + NEXT),
    "an empty length": post(b"Content-Length:", body=JSON + NEXT),
    "a length that overflows": post(b"Content-Length: 18446744073709551643", body=JSON + NEXT),
    "a length of 100 digits": post(b"Content-Length: " + b"9" * 100, body=JSON + NEXT),
    "identity": post(b"Transfer-Encoding: identity", body=CH),
    "identity and a length": post(b"Transfer-Encoding: identity", LENGTH, body=JSON + NEXT),
    "xchunked": post(b"Transfer-Encoding: xchunked", body=CH),
    "chunkedx": post(b"Transfer-Encoding: chunkedx", body=CH),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked", body=CH),
    "chunked, gzip": post(b"Transfer-Encoding: chunked, gzip", body=CH),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=CH),
    "chunked, chunked": post(b"Transfer-Encoding: chunked, chunked", body=CH),
    "identity, then chunked": post(b"Transfer-Encoding: identity", CHUNKED, body=CH),
    "chunked, then identity": post(CHUNKED, b"Transfer-Encoding: identity", body=CH),
    "chunked twice": post(CHUNKED, CHUNKED, body=CH),
    "a comma before chunked": post(b"Transfer-Encoding: ,chunked", body=CH),
    "a comma after chunked": post(b"Transfer-Encoding: chunked,", body=CH),
    "chunked with a parameter": post(b"Transfer-Encoding: chunked;q=1", body=CH),
    "chunked in quotes": post(b'Transfer-Encoding: "chunked"', body=CH),
    "an empty coding": post(b"Transfer-Encoding:", body=CH),
    "a vertical tab before chunked": post(b"Transfer-Encoding:\x0bchunked", body=CH),
    "a form feed before chunked": post(b"Transfer-Encoding:\x0cchunked", body=CH),
    "a NUL after chunked": post(b"Transfer-Encoding: chunked\x00", body=CH),
    "a no-break space before chunked": post(b"Transfer-Encoding: \xa0chunked", body=CH),
    "a space before the colon": post(b"Transfer-Encoding : chunked", LENGTH, body=CH),
    "a tab before the colon": post(b"Transfer-Encoding\t: chunked", LENGTH, body=CH),
    "a space before the colon of a length": post(b"Content-Length : %d" % N, body=JSON + NEXT),
    "a space before a name": post(b" Transfer-Encoding: chunked", LENGTH, body=CH),
    "a space before the first name": head(b" Host: x", LENGTH) + JSON,
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked", LENGTH, body=CH),
    "a folded value": post(b"X: a\r\n b", LENGTH),
    "a value folded by a tab": post(b"X: a\r\n\tb", LENGTH),
    "a coding behind a line feed": post(b"X: a\nTransfer-Encoding: chunked", LENGTH, body=CH),
    "a coding behind a carriage return": post(b"X: a\rTransfer-Encoding: chunked", LENGTH, body=CH),
    "a coding behind a NUL": post(b"X: a\x00Transfer-Encoding: chunked", LENGTH, body=CH),
    "lines that end in LF": post(LENGTH).replace(b"\r\n", b"\n"),
    "one line that ends in LF": post(LENGTH).replace(b"\r\n", b"\n", 1),
    "the last line ends in LF": head(HOST, LENGTH)[:-2] + b"\n" + JSON,
    "lines that end in CR": post(LENGTH).replace(b"\r\n", b"\r"),
    "two carriage returns": post(b"X: a\r", LENGTH),
    "a NUL in a value": post(b"X: a\x00b", LENGTH),
    "a bell in a value": post(b"X: a\x07b", LENGTH),
    "a DEL in a value": post(b"X: a\x7fb", LENGTH),
    "a NUL in a name": post(b"X\x00Y: a", LENGTH),
    "a space in a name": post(b"X Y: a", LENGTH),
    "a slash in a name": post(b"X/Y: a", LENGTH),
    "an umlaut in a name": post("Ü: a".encode(), LENGTH),
    "no name": post(b": a", LENGTH),
    "no colon": post(CANARY, LENGTH),
    "chunks in HTTP/1.0": head(HOST, KIND, CHUNKED, line=b"POST %b HTTP/1.0" % PATH) + CH,
    "no host": head(LENGTH) + JSON,
    "two hosts": post(LENGTH, b"Host: other"),
    "two equal hosts": post(LENGTH, HOST),
    "a host with a space": head(b"Host: a b", LENGTH) + JSON,
    "a host with a path": head(b"Host: a/b", LENGTH) + JSON,
    "a host with an at": head(b"Host: a@b", LENGTH) + JSON,
    "two content types": post(LENGTH, b"Content-Type: multipart/form-data; boundary=b"),
    "two authorizations": post(LENGTH, b"Authorization: Bearer a", b"Authorization: Bearer b"),
    "two timeouts": post(LENGTH, b"Braid-Timeout: 1", b"Braid-Timeout: 2"),
}  # fmt: skip

LINES: Mapping[str, tuple[bytes, int]] = {
    "nothing but NULs": (b"\x00" * 40, 400),
    "a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), 400),
    "an SSH client": (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
    "an SMTP client": (b"EHLO %b\r\n" % CANARY, 400),
    "a Redis client": (b"*1\r\n$4\r\nPING\r\n", 400),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "random bytes": (bytes((i * 197 + 91) % 256 for i in range(500)), 400),
    "HTTP/0.9": (b"GET /health/live\r\n\r\n", 400),
    "HTTP/0.9 by name": (get(b"GET /health/live HTTP/0.9"), 400),
    "HTTP/1.2": (get(b"GET /health/live HTTP/1.2"), 400),
    "HTTP/2.0": (get(b"GET /health/live HTTP/2.0"), 400),
    "HTTP/1.10": (get(b"GET /health/live HTTP/1.10"), 400),
    "HTTP/11.1": (get(b"GET /health/live HTTP/11.1"), 400),
    "http/1.1": (get(b"GET /health/live http/1.1"), 400),
    "HTTPS/1.1": (get(b"GET /health/live HTTPS/1.1"), 400),
    "an unknown method": (get(b"%b /health/live HTTP/1.1" % CANARY.upper()), 400),
    "a method in lower case": (get(b"get /health/live HTTP/1.1"), 400),
    "no method": (get(b" /health/live HTTP/1.1"), 400),
    "a tab in the line": (get(b"GET\t/health/live HTTP/1.1"), 400),
    "a space after the version": (get(b"GET /health/live HTTP/1.1 "), 400),
    "a space in the URL": (get(b"GET /health/ live HTTP/1.1"), 400),
    "a NUL in the URL": (get(b"GET /health\x00/live HTTP/1.1"), 400),
    "a control character in the URL": (get(b"GET /health\x01/live HTTP/1.1"), 400),
    "an umlaut in the URL": (get("GET /gesundheit/lebt-ü HTTP/1.1".encode()), 400),
    "a fragment": (get(b"GET /health/live#%b HTTP/1.1" % CANARY), 400),
    "a path without a slash": (get(b"GET health/live HTTP/1.1"), 400),
    "an asterisk": (get(b"GET * HTTP/1.1"), 400),
    "a URL of another scheme": (get(b"GET ftp://x/health/live HTTP/1.1"), 400),
    "a URL of a file": (get(b"GET file:///etc/passwd HTTP/1.1"), 400),
    "CONNECT": (get(b"CONNECT example.org:443 HTTP/1.1"), 405),
    "CONNECT to a path": (get(b"CONNECT /health/live HTTP/1.1"), 405),
    "TRACE": (get(b"TRACE /health/live HTTP/1.1", b"Cookie: %b" % CANARY), 405),
    "PROPFIND": (get(b"PROPFIND / HTTP/1.1"), 405),
    "RTSP": (get(b"DESCRIBE /health/live RTSP/1.0"), 405),
    "a URL of 9 KiB": (get(b"GET /%b HTTP/1.1" % (b"a" * 9216)), 414),
    "a query of 9 KiB": (get(b"GET /health/live?%b HTTP/1.1" % (b"a" * 9216)), 414),
    "a URL of 1 MiB": (get(b"GET /%b HTTP/1.1" % (b"a" * 2**20)), 414),
    "a URL that does not end": (b"GET /" + b"a" * 100_000, 414),
    "a field of 33 KiB": (get(b"GET /health/live HTTP/1.1", b"X: " + b"a" * 33 * 1024), 431),
    "a field of 1 MiB": (get(b"GET /health/live HTTP/1.1", b"X: " + b"a" * 2**20), 431),
    "a field that does not end": (get(b"GET /health/live HTTP/1.1")[:-2] + b"X: " + b"a" * 100_000, 431),
    "a name of 1 MiB": (get(b"GET /health/live HTTP/1.1", b"X" * 2**20 + b": a"), 431),
    "101 fields": (get(b"GET /health/live HTTP/1.1", *(b"X-%d: a" % i for i in range(101))), 431),
    "20000 fields": (get(b"GET /health/live HTTP/1.1", *(b"X-%d: a" % i for i in range(20_000))), 431),
    "a cookie of 40 KiB": (get(b"GET /health/live HTTP/1.1", b"Cookie: a=" + b"b" * 40_960), 431),
    "a field of 33 KiB before a body": (post(LENGTH, b"X: " + b"a" * 33 * 1024), 431),
    "line ends without end": (b"\r\n" * 50_000, 431),
}  # fmt: skip

CHUNKS: Mapping[str, bytes] = {  # of a body: each is 400
    "a size that is no number": post(CHUNKED, body=b"zz\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "no size": post(CHUNKED, body=b"\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a negative size": post(CHUNKED, body=b"-1b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size with a sign": post(CHUNKED, body=b"+1b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size with 0x": post(CHUNKED, body=b"0x1b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size with a space before it": post(CHUNKED, body=b" 1b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size with a space after it": post(CHUNKED, body=b"1b \r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size with an underscore": post(CHUNKED, body=b"1_b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size that overflows": post(CHUNKED, body=b"1000000000000001b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size of 1000 digits": post(CHUNKED, body=b"1" * 1000 + b"\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size that ends in LF": post(CHUNKED, body=b"1b\n" + JSON + b"\r\n0\r\n\r\n"),
    "a size that ends in CR": post(CHUNKED, body=b"1b\r" + JSON + b"\r\n0\r\n\r\n"),
    "a chunk that ends in LF": post(CHUNKED, body=b"1b\r\n" + JSON + b"\n0\r\n\r\n"),
    "a chunk without an end": post(CHUNKED, body=b"1b\r\n" + JSON + b"0\r\n\r\n"),
    "a chunk that is longer than its size": post(CHUNKED, body=b"1a\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a chunk that is shorter than its size": post(CHUNKED, body=b"1c\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a NUL in an extension": post(CHUNKED, body=b"1b;a\x00b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a line feed in an extension": post(CHUNKED, body=b"1b;a\nb\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "a line feed in a quoted extension": post(CHUNKED, body=b'1b;a="\n"\r\n' + JSON + b"\r\n0\r\n\r\n"),
    "an extension of 1 MiB": post(CHUNKED, body=b"1b;a=" + b"b" * 2**20 + b"\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "an extension that does not end": post(CHUNKED, body=b"1b;a=" + b"b" * 2**20),
    "200000 chunks of a byte": post(CHUNKED, body=chunks(*[b" "] * 200_000)),
    "trailers of 1 MiB": post(CHUNKED, body=chunks(JSON, end=b"0\r\nX: " + b"a" * 2**20 + b"\r\n\r\n")),
    "20000 trailers": post(CHUNKED, body=chunks(JSON, end=b"0\r\n" + b"X-Trailer: a\r\n" * 20_000 + b"\r\n")),
    "a trailer that is a length": post(CHUNKED, body=chunks(JSON, end=b"0\r\nContent-Length: 5\r\n\r\n")),
    "a trailer that is a coding": post(CHUNKED, body=chunks(JSON, end=b"0\r\nTransfer-Encoding: chunked\r\n\r\n")),
    "a trailer without a colon": post(CHUNKED, body=chunks(JSON, end=b"0\r\n%b\r\n\r\n" % CANARY)),
    "a folded trailer": post(CHUNKED, body=chunks(JSON, end=b"0\r\nX: a\r\n b\r\n\r\n")),
}  # fmt: skip

HONEST: Mapping[str, tuple[bytes, list[int]]] = {  # unusual, and right
    "chunks": (post(CHUNKED, body=CH), [200]),
    "chunks of a byte": (post(CHUNKED, body=chunks(*(JSON[i : i + 1] for i in range(N)))), [200]),
    "chunked in capitals": (post(b"TRANSFER-ENCODING: CHUNKED", body=CH), [200]),
    "chunked with blanks around": (post(b"Transfer-Encoding: \t chunked ", body=CH), [200]),
    "sizes with leading zeros": (post(CHUNKED, body=b"0000001B\r\n" + JSON + b"\r\n0000\r\n\r\n"), [200]),
    "extensions": (post(CHUNKED, body=b'1b;a;b=c;d="e\\"f"\r\n' + JSON + b"\r\n0;z\r\n\r\n"), [200]),
    "trailers": (post(CHUNKED, body=chunks(JSON, end=b"0\r\nX: a\r\nAuthorization: b\r\n\r\n")) + get(), [200, 200]),
    "a length with leading zeros": (post(b"Content-Length: 00000%d" % N), [200]),
    "a length with blanks around": (post(b"Content-Length: \t %d \t" % N), [200]),
    "names in capitals": (post(LENGTH).replace(b"Content", b"CONTENT"), [200]),
    "an empty field": (post(LENGTH, b"X-Empty:"), [200]),
    "latin letters in a field": (post(LENGTH, b"X: \xe4\xf6\xfc"), [200]),
    "line ends before a request": (b"\r\n\r\n" + GOOD, [200]),
    "line ends between requests": (GOOD + b"\r\n" + GOOD, [200, 200]),
    "an absolute URL": (post(LENGTH, line=b"POST http://braid.test%b HTTP/1.1" % PATH), [200]),
    "an absolute URL with a query": (post(LENGTH, line=b"POST http://other:1%b?top_k=1 HTTP/1.1" % PATH), [200]),
    "an absolute URL without a path": (get(b"GET http://braid.test HTTP/1.1"), [200]),
    "an escaped path": (post(LENGTH, line=b"POST /v1/%70redict HTTP/1.1"), [200]),
    "a path above the root": (get(b"GET /../../etc/passwd HTTP/1.1"), [404]),
    "an escaped NUL": (get(b"GET /%00 HTTP/1.1"), [404]),
    "an escape that is none": (get(b"GET /%zz%f HTTP/1.1"), [404]),
    "escapes that are no UTF-8": (get(b"GET /%ff%fe HTTP/1.1"), [404]),
    "OPTIONS *": (get(b"OPTIONS * HTTP/1.1"), [404]),
    "OPTIONS": (get(b"OPTIONS /health/live HTTP/1.1"), [405]),
    "HEAD": (get(b"HEAD / HTTP/1.1") + get(), [405, 200]),
    "a body with GET": (get(b"GET /health/live HTTP/1.1", LENGTH) + JSON + get(), [200, 200]),
    "no length and no body": (head(HOST, KIND), [400]),
    "a length that takes in the next request": (post(b"Content-Length: %d" % (N + len(NEXT)), body=JSON + NEXT), [400]),
    "HTTP/1.0": (post(LENGTH, line=b"POST %b HTTP/1.0" % PATH), [200]),
    "HTTP/1.0 without a host": (head(line=b"GET /health/live HTTP/1.0"), [200]),
    "HTTP/1.0 kept alive": (head(b"Connection: keep-alive", line=b"GET /health/live HTTP/1.0"), [200]),
    "Connection: close": (sized(JSON, b"Connection: close"), [200]),
    "Connection: close, and more": (sized(JSON, b"Connection: close") + GOOD, [200]),
    "h2c": (sized(JSON, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), [200]),
    "h2c with chunks": (post(CHUNKED, b"Connection: Upgrade", b"Upgrade: h2c", body=CH) + GOOD, [200, 200]),
    "a WebSocket": (get(b"GET /health/live HTTP/1.1", *WEBSOCKET) + GOOD, [200, 200]),
    "two WebSockets": (get(b"GET / HTTP/1.1", *WEBSOCKET) * 2 + GOOD, [200, 200, 200]),
    "sixteen at once": (GOOD * 16, [200] * 16),
    "different ones at once": (GOOD + get() + post(CHUNKED, body=CH) + get(b"GET /no HTTP/1.1"), [200, 200, 200, 404]),
    "100 fields": (get(b"GET /health/live HTTP/1.1", *(b"X-%d: a" % i for i in range(99))), [200]),
    "fields of 31 KiB": (get(b"GET /health/live HTTP/1.1", b"X: " + b"a" * 31 * 1024), [200]),
    "a URL of 8 KiB": (get(b"GET /health/live?%b HTTP/1.1" % (b"a" * 8000)), [200]),
    "another expectation": (sized(JSON, b"Expect: the-unexpected"), [200]),
}  # fmt: skip

BEHIND: Mapping[str, tuple[bytes, list[int]]] = {  # a good request, and something else behind it
    "a length that is too short": (post(b"Content-Length: %d" % (N - 3)), [400, 400]),
    "rubbish": (GOOD + CANARY * 20, [200, 400]),
    "a TLS handshake": (GOOD + b"\x16\x03\x01\x02\x00\x01", [200, 400]),
    "a smuggled request": (GOOD + post(LENGTH, CHUNKED, body=CH), [200, 400]),
    "a head that is too large": (GOOD + get(b"GET / HTTP/1.1", b"X: " + b"a" * 40_000), [200, 431]),
    "a URL that is too long": (GOOD + get(b"GET /%b HTTP/1.1" % (b"a" * 9000)), [200, 414]),
    "chunks that are none": (GOOD + post(CHUNKED, body=CANARY + b"\r\n"), [200, 400]),
    "too many": (GOOD * 40, [200] * 16 + [503]),
    "a body that is too large": (GOOD + post(b"Content-Length: 99999999"), [200, 413]),
}  # fmt: skip


def hostile() -> Iterator[tuple[str, bytes, list[int]]]:
    """All that ends with a refusal."""
    for name, data in SMUGGLING.items():
        yield f"smuggling: {name}", data, [400]
    for name, (data, status) in LINES.items():
        yield f"line: {name}", data, [status]
    for name, data in CHUNKS.items():
        yield f"chunks: {name}", data, [400]
    for name, (data, statuses) in BEHIND.items():
        yield f"behind a good request: {name}", data, statuses
