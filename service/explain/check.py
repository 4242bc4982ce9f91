"""Are explanations faithful? Deletion and insertion curves against random order, for the example and other samples.

Deleting what an explanation calls important should ruin the answer early, inserting it should bring the answer back
early (Petsiuk et al., RISE, 2018; Samek et al., 2017). A curve's area is its mean.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from service.bundle import CARD
from service.errors import BraidError
from service.explain import canvas, target
from service.explain.canvas import Canvas, Piece
from service.explain.occlusion import Method, order
from service.explain.places import Question, answered
from service.inputs import Audio, Image, Text
from service.inputs.text import decoded
from service.model import Model
from service.types import NOTHING, Parts

GRID, SLICES, WORDS = 7, 20, 50  # pieces: a side of a picture, of a recording, of a text at most
BEGIN, END = "<!-- explain-check -->", "<!-- /explain-check -->"


@dataclass(frozen=True)
class Areas:
    """Mean of f while pieces go or come, in the explanation's order and in random ones."""

    deletion: float
    deletion_random: float
    insertion: float
    insertion_random: float


def check(model: Model, folder: Path | None, *, orders: int, seed: int) -> dict[str, Areas]:
    """Part -> means over the samples. A part is looked at alone where the model can do with it alone."""
    found: dict[str, list[Areas]] = {}
    for parts in track(samples(model, folder), "checking", console=Console(stderr=True), transient=True):
        for part in parts:
            alone = {part: parts[part]} if model.manifest.missing.policy != "reject" else parts
            found.setdefault(part, []).append(areas(model, alone, part, orders, seed))
    return {part: Areas(*np.mean([list(vars(each).values()) for each in all_], 0)) for part, all_ in found.items()}


def samples(model: Model, folder: Path | None) -> list[Parts]:
    """The bundle's example; or one sample a folder, its files named after the parts. Raises BraidError."""
    if folder is None:
        return [model.example.parts]
    names = model.manifest.inputs
    found = [
        {file.stem: file.read_bytes() for file in sorted(sample.iterdir()) if file.stem in names}
        for sample in sorted(folder.iterdir())
        if sample.is_dir()
    ]
    if not any(found):
        raise BraidError(f"{folder}: no folder in it has files named after the parts ({', '.join(names)})")
    return [parts for parts in found if parts]


def areas(model: Model, parts: Parts, part: str, orders: int, seed: int) -> Areas:
    row = model.encode(parts, {})
    row |= model.run([row])[0]
    board = canvas_of(model, part, parts[part])
    method = Method(budget=len(board.pieces))  # all of one size, so that orders can be compared
    chosen = target.choose(model.manifest.given(parts), row, NOTHING, {})
    question = Question(model, parts, row, chosen, method)
    found = answered(question.find(part, board), model.run)
    pieces = order(found)
    rng = np.random.default_rng(seed)
    shuffles = [[pieces[i] for i in rng.permutation(len(pieces))] for _ in range(orders)]
    mine, *others = [curves(question, part, board, each) for each in (pieces, *shuffles)]
    deletion, insertion = np.mean(others, 0)
    return Areas(mine[0], float(deletion), mine[1], float(insertion))


def curves(question: Question, part: str, board: Canvas, pieces: Sequence[Piece]) -> tuple[float, float]:
    """Areas of deletion and of insertion in this order."""
    gone = [pieces[:i] for i in range(len(pieces) + 1)] + [pieces[i:] for i in range(len(pieces) + 1)]
    rows = [question.changed(part, board.without(some)) for some in gone]
    values = question.numbers(rows, question.model.run(rows))
    half = len(pieces) + 1
    return float(values[:half].mean()), float(values[half:].mean())


def canvas_of(model: Model, part: str, data: bytes) -> Canvas:
    spec = model.manifest.inputs[part]
    if isinstance(spec, Image):
        return canvas.painting(model.bare(part, data), GRID)
    if isinstance(spec, Audio):
        return canvas.recording(model.bare(part, data), spec.sample_rate, SLICES)
    assert isinstance(spec, Text)
    return canvas.words(decoded(data), WORDS)


def table(areas: Mapping[str, Areas]) -> Table:
    shown = Table("part", "deletion", "in random order", "insertion", "in random order", "faithful")
    for part, each in areas.items():
        numbers = (each.deletion, each.deletion_random, each.insertion, each.insertion_random)
        shown.add_row(part, *(f"{number:.3f}" for number in numbers), "yes" if faithful(each) else "NO")
    return shown


def faithful(each: Areas) -> bool:
    return each.deletion <= each.deletion_random and each.insertion >= each.insertion_random


def write(folder: Path, areas: Mapping[str, Areas], count: int) -> None:
    """Into the model card, in place of what an earlier check wrote there."""
    lines = [
        f"| {part} | {a.deletion:.3f} | {a.deletion_random:.3f} | {a.insertion:.3f} | {a.insertion_random:.3f} |"
        for part, a in areas.items()
    ]
    section = "\n".join(
        [
            BEGIN,
            "## Are its explanations faithful?",
            "",
            f"Mean of the explained number while pieces of a part are deleted, or inserted, most important first, over "
            f"{count} sample(s), by `braid explain-check`. Deletion should be lower, insertion higher than at random.",
            "",
            "| part | deletion | random | insertion | random |",
            "|---|---:|---:|---:|---:|",
            *lines,
            END,
        ]
    )
    card = folder / CARD
    text = card.read_text() if card.is_file() else ""
    old = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    card.write_text(old.sub(lambda _: section, text) if old.search(text) else f"{text.rstrip()}\n\n{section}\n")
