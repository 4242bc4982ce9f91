"""Files and a mix of subsets to requests that only need to be written to a socket."""

import math
import mimetypes
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from uuid import uuid4

from service import __version__, bundle
from service.bench.target import Target
from service.errors import BraidError

HEAVIEST = 1000  # greatest weight of a subset


@dataclass(frozen=True, slots=True)
class Upload:
    data: bytes
    filename: str | None = None  # None: a plain field, as a form sends text


@dataclass(frozen=True, slots=True)
class Subset:
    """The parts that a request carries, and how often relative to other subsets."""

    parts: tuple[str, ...]
    weight: int = 1

    @property
    def name(self) -> str:
        return "+".join(self.parts)


@dataclass(frozen=True, slots=True)
class Request:
    subset: int  # index in the mix
    pieces: tuple[bytes, ...]  # HTTP head and body; the files' bytes are shared among requests


Samples = Mapping[str, Sequence[Upload]]  # part name -> its files, taken in turn


def files(path: Path) -> list[Path]:
    """The file itself, or a folder's files in the order of their names. Raises BraidError."""
    found = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if not found:
        raise BraidError(f"{path}: no file in it")
    return found


def upload(file: Path) -> Upload:
    try:
        return Upload(file.read_bytes(), file.name)
    except OSError as error:
        raise BraidError(f"{file}: {error.strerror}") from error


def words(text: str) -> list[Upload]:
    """A file or a folder of files if there is one of this name, else the words themselves."""
    path = Path(text)
    found = [upload(file).data for file in files(path)] if is_there(path) else [text.encode()]
    return [Upload(data) for data in found]


def is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a sentence can be too long for a file name
        return False


def example(folder: Path) -> dict[str, list[Upload]]:
    """The raw files of a bundle's example. Raises BundleError."""
    read = bundle.read(folder)
    kinds = {name: spec.kind for name, spec in read.manifest.inputs.items()}
    return {name: [Upload(data, None if kinds[name] == "text" else name)] for name, data in read.example()[0].items()}


def mix(text: str, parts: Collection[str]) -> list[Subset]:
    """`text+image:3,image:1`: subsets with their weights; nothing given: all parts together. Raises BraidError."""
    subsets = []
    for word in text.split(",") if text else ["+".join(parts)]:
        names, _, weight = word.strip().partition(":")
        chosen = tuple(name.strip() for name in names.split("+"))
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(parts):
            raise BraidError(f"--mix: {word!r} is not a subset of the parts given: {', '.join(parts)}")
        if weight and not (weight.isascii() and weight.isdigit() and 0 < int(weight) <= HEAVIEST):
            raise BraidError(f"--mix: {word!r}: a weight is a whole number from 1 to {HEAVIEST}")
        subsets.append(Subset(chosen, int(weight or 1)))
    return subsets


def requests(
    target: Target, samples: Samples, subsets: Sequence[Subset], headers: Sequence[tuple[str, str]] = ()
) -> Iterator[Request]:
    """Endless; subsets in proportion to their weights, each with its parts' files in turn."""
    boundary = uuid4().hex
    pieces = {name: [segment(name, upload, boundary) for upload in uploads] for name, uploads in samples.items()}
    end = f"--{boundary}--\r\n".encode()
    turns = []
    for number, subset in enumerate(subsets):
        chosen = [pieces[name] for name in subset.parts]
        bodies = [(*(each[k % len(each)] for each in chosen), end) for k in range(max(len(each) for each in chosen))]
        turns.append(cycle([Request(number, (head(target, boundary, body, headers), *body)) for body in bodies]))
    return (next(turns[number]) for number in cycle(spread([subset.weight for subset in subsets])))


def segment(name: str, upload: Upload, boundary: str) -> bytes:
    """One part of a form, RFC 7578."""
    disposition = f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted(name)}"'
    if upload.filename is not None:
        kind = mimetypes.guess_type(upload.filename)[0] or "application/octet-stream"
        disposition += f'; filename="{quoted(upload.filename)}"\r\nContent-Type: {kind}'
    return disposition.encode() + b"\r\n\r\n" + upload.data + b"\r\n"


def quoted(name: str) -> str:
    """As browsers escape names (WHATWG, multipart/form-data encoding)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def head(target: Target, boundary: str, body: Sequence[bytes], headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: braid-bench/{__version__}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Content-Length: {sum(map(len, body))}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def spread(weights: Sequence[int]) -> list[int]:
    """Indices in proportion to their weights, evenly spread: nginx's smooth weighted round-robin."""
    common = math.gcd(*weights)
    weights = [weight // common for weight in weights]
    credit = [0] * len(weights)
    order = []
    for _ in range(sum(weights)):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        chosen = max(range(len(weights)), key=credit.__getitem__)
        credit[chosen] -= sum(weights)
        order.append(chosen)
    return order
