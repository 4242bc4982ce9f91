"""Where in a part the answer lies: rows with pieces taken away -> a value for each piece."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.explain.canvas import Canvas, Content, Piece
from service.types import Array, Row

KEEP = 0.5  # chance of a piece to stay in a random mask
REFINED = 4  # pieces that are looked at more closely at a time

Found = list[tuple[Piece, float]]  # where, and how much the answer's number falls when it is taken away
Search = Generator[list[Row], Array, Found]  # yields rows, is sent f of each


@dataclass(frozen=True)
class Method:
    name: Literal["occlusion", "random"] = "occlusion"
    budget: int = 50  # rows of the graph that one part may cost
    sounds: int = 32  # that a recording may cost: its rows are the dearest
    seed: int = 0  # of the random masks


def search(method: Method, canvas: Canvas, row: Callable[[Content], Row], whole: float) -> Search:
    """The pieces of the canvas with f(whole) - f(without); finer where it matters, as far as the budget goes."""
    if method.name == "random":
        return (yield from randomly(method, canvas, row))
    open_ = canvas.pieces[: method.budget]
    found: dict[Piece, float] = {}
    spent = 0
    while open_:
        spent += len(open_)
        answers = yield [row(canvas.without([piece])) for piece in open_]
        found |= dict(zip(open_, (whole - answers).tolist(), strict=True))
        open_ = []
        for piece in sorted(found, key=lambda piece: -abs(found[piece]))[:REFINED]:
            finer = canvas.finer(piece)
            if finer and spent + len(open_) + len(finer) <= method.budget:
                del found[piece]
                open_ += finer
    return list(found.items())


def randomly(method: Method, canvas: Canvas, row: Callable[[Content], Row]) -> Search:
    """E[f | piece kept] - E[f | piece gone] over random masks (Petsiuk et al., RISE, 2018)."""
    kept = np.random.default_rng(method.seed).random((method.budget, len(canvas.pieces))) < KEEP  # (rows, pieces)
    masked = [[piece for piece, stays in zip(canvas.pieces, mask, strict=True) if not stays] for mask in kept]
    answers = yield [row(canvas.without(pieces)) for pieces in masked]
    there, gone = (np.maximum(mask.sum(0), 1) for mask in (kept, ~kept))
    values = answers @ kept / there - answers @ ~kept / gone
    return list(zip(canvas.pieces, values.tolist(), strict=True))


def order(found: Found) -> Sequence[Piece]:
    """What speaks most for the answer first."""
    return [piece for piece, value in sorted(found, key=lambda entry: -entry[1])]
