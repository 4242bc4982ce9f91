"""A part as pieces that can be taken away: pictures by boxes, recordings by time and by band, texts by span.

What is left goes the whole way through the model's own preprocessing; all but its decoding, which has been done.
"""

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import PIL.Image

from service.inputs.picture import Picture
from service.types import FLOAT, Array

Content = bytes | Array  # a text; a picture (H, W) or (H, W, 3) uint8, samples (N,)
Piece = tuple[float, ...]  # a box: left, top, right, bottom in pixels; or from, to in seconds, hertz or characters
LARGE = 1024  # pixels of the longer side beyond which a picture is made smaller: fifty of it would take long
GRID = 4  # cells a side of a picture, to begin with
SLICES = 12  # of a recording's time, to begin with
BANDS = 12  # of its frequencies
SHORT = 0.02  # seconds that are not halved any more
WORD = re.compile(r"\w+|[^\w\s]")


class Canvas(Protocol):
    @property
    def pieces(self) -> list[Piece]: ...

    def without(self, pieces: Collection[Piece]) -> Content: ...

    def finer(self, piece: Piece) -> list[Piece]:
        """What a piece may be divided into; nothing: it may not."""


@dataclass
class Painting:
    """A picture, made smaller by `factor` if it is large; what is taken away gets its median colour."""

    picture: Picture
    pieces: list[Piece]
    size: tuple[int, int]  # of the original
    factor: int = 1
    _pixels: Array = field(init=False)
    _fill: Array = field(init=False)  # () or (3,)

    def __post_init__(self) -> None:
        self._pixels = np.asarray(self.picture)
        self._fill = np.median(self._pixels, axis=(0, 1)).astype(np.uint8)

    def without(self, pieces: Collection[Piece]) -> Array:
        rest = self._pixels.copy()
        for piece in pieces:
            left, top, right, bottom = self.inside(piece)
            rest[top:bottom, left:right] = self._fill
        return rest

    def inside(self, piece: Piece) -> tuple[int, int, int, int]:
        """Of the original's pixels those of the smaller one."""
        left, top, right, bottom = (round(edge / self.factor) for edge in piece)
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def finer(self, piece: Piece) -> list[Piece]:
        left, top, right, bottom = map(int, piece)
        if min(right - left, bottom - top) < 2 * self.factor:
            return []
        x, y = (left + right) // 2, (top + bottom) // 2
        return [(left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)]


def painting(pixels: Array, grid: int = GRID) -> Painting:
    """The upright original, (H, W) or (H, W, 3), in a grid."""
    picture = PIL.Image.fromarray(pixels)
    size = picture.size
    factor = math.ceil(max(size) / LARGE)
    columns, rows = (neighbours(np.linspace(0, side, min(grid, side) + 1).astype(int)) for side in size)
    pieces: list[Piece] = [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
    return Painting(picture.reduce(factor) if factor > 1 else picture, pieces, size, factor)


@dataclass
class Recording:
    """Mono samples at the model's rate; what is taken away is silence."""

    samples: Array  # (N,)
    rate: int
    pieces: list[Piece]  # seconds

    def without(self, pieces: Collection[Piece]) -> Array:
        rest = self.samples.copy()
        for start, end in pieces:
            rest[round(start * self.rate) : round(end * self.rate)] = 0
        return rest

    def finer(self, piece: Piece) -> list[Piece]:
        start, end = piece
        middle = (start + end) / 2
        return [(start, middle), (middle, end)] if end - start > SHORT else []


@dataclass
class Spectrum:
    """The same recording by frequency; what is taken away is missing from its spectrum."""

    spectrum: Array  # (N / 2 + 1,) complex
    samples: int
    rate: int
    pieces: list[Piece]  # hertz

    def without(self, pieces: Collection[Piece]) -> Array:
        spectrum, step = self.spectrum.copy(), self.rate / self.samples
        for low, high in pieces:
            spectrum[round(low / step) : round(high / step) + (2 * high >= self.rate)] = 0
        return np.fft.irfft(spectrum, self.samples).astype(FLOAT)

    def finer(self, piece: Piece) -> list[Piece]:
        return []


def recording(samples: Array, rate: int, slices: int = SLICES) -> Recording:
    """In equal slices of time."""
    return Recording(samples, rate, neighbours(np.linspace(0, len(samples) / rate, slices + 1)))


def spectrum(sound: Recording) -> Spectrum:
    """In bands that are equally wide in mel (O'Shaughnessy, 1987)."""
    mels = np.linspace(0, 2595 * np.log10(1 + sound.rate / 2 / 700), BANDS + 1)
    edges = 700 * (10 ** (mels / 2595) - 1)
    return Spectrum(np.fft.rfft(sound.samples), len(sound.samples), sound.rate, neighbours(edges))


@dataclass
class Writing:
    """A text; what is taken away is gone. A piece is a span of characters: a unit, or several that may be divided."""

    text: str
    units: list[Piece]
    most: int

    @property
    def pieces(self) -> list[Piece]:
        """At most `most`."""
        return together(self.units, self.most)

    def without(self, pieces: Collection[Piece]) -> bytes:
        gone = {i for start, end in pieces for i in range(int(start), int(end))}
        return "".join(character for i, character in enumerate(self.text) if i not in gone).encode()

    def finer(self, piece: Piece) -> list[Piece]:
        inside = [unit for unit in self.units if piece[0] <= unit[0] and unit[1] <= piece[1]]
        return together(inside, 2) if len(inside) > 1 else []


def words(text: str, most: int) -> Writing:
    return Writing(text, [match.span() for match in WORD.finditer(text)], most)


def tokens(text: str, spans: Callable[[str], Iterable[tuple[int, int]]], most: int) -> Writing:
    """`spans` are the tokenizer's; special tokens stand nowhere."""
    return Writing(text, sorted({(start, end) for start, end in spans(text) if start < end}), most)


def together(units: list[Piece], most: int) -> list[Piece]:
    """At most so many spans, each of about as many neighbours."""
    size = max(1, math.ceil(len(units) / most))
    groups = [units[i : i + size] for i in range(0, len(units), size)]
    return [(group[0][0], max(end for _, end in group)) for group in groups]


def neighbours(cuts: Array) -> list[Piece]:
    """[0, 1, 2] -> [(0, 1), (1, 2)]."""
    return list(itertools.pairwise(cuts.tolist()))
