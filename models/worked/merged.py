"""A detector and a network of a table in one graph, and the bundle of it: any subset of picture, title and sound."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.augment.audio import wav
from models.datasets import drawn
from models.detection import graph
from models.detection.detector import Network as Detector
from models.table import bundle as tables
from models.table.columns import Column, ImageColumn, tensors
from models.table.manifest import PRESENT, filled, folder_for
from models.table.network import Network as Sounds
from models.table.rows import Rows
from models.table.unlabelled import Batch
from models.worked.boxes import BOXES, PART, SCORES
from service import bundle
from service.bundle import GRAPH, Bundle, Manifest
from service.inputs import Image
from service.model import Model
from service.types import FLOAT, Array, Encode, Row

RATE = 16000
Parts = dict[str, tuple[str, bytes]]  # part -> file ending, content


class Whole(nn.Module):
    """Boxes are zeros without a picture; probabilities are equal without what they are of. What is heard, the first
    answer of `sounds`, shifts the detector's map, where that takes a context."""

    def __init__(self, image: Image, detector: Detector, sounds: Sounds) -> None:
        super().__init__()
        self.image, self.sounds = image, sounds
        self.listens = detector.spec.context > 0
        self.boxes = graph.Served(detector)

    @property
    def columns(self) -> Mapping[str, Column]:
        return {PART: ImageColumn(kind="image", column=PART, input=self.image), **self.sounds.columns}

    @property
    def answers(self) -> int:
        """Of the sounds' tasks; their network gives weights of the parts, too."""
        return len(self.sounds.recipe.tasks)

    def outputs(self) -> list[str]:
        return [BOXES, SCORES, *self.sounds.outputs()[: self.answers]]

    def served(self, batch: Batch, present: Tensor) -> list[Tensor]:
        said, *others = self.sounds.served(batch, present[:, 1:])[: self.answers]
        heard = present[:, 1:].amax(1, keepdim=True) > 0  # (B, 1)
        context = torch.where(heard, said, 0.0) if self.listens else None
        found = self.boxes(batch[self.image.tensors.pixels], context)
        seen = present[:, :1, None] > 0
        return [*(torch.where(seen, each, 0.0) for each in found), torch.where(heard, said, 1 / said.shape[1]), *others]


def write(whole: Whole, manifest: Manifest, files: Path, to: Path) -> Bundle:
    """`files`: the folder with tokenizers and filter banks. Raises ValueError where graph and torch differ."""
    folder_for(to)
    for column in whole.columns.values():
        for name in column.input.files():
            shutil.copyfile(files / name, to / name)
    kinds = [output.labels for output in manifest.outputs.values() if output.kind == "detection"]
    several = [example(whole.columns, len(kinds[0]), seed) for seed in (1, 2)]
    encoders = {name: column.input.load(to) for name, column in whole.columns.items()}
    rows = [encoded(parts, encoders) for parts in several]
    names = [name for column in whole.columns.values() for name in tensors(column.input)]
    blank = {name: np.zeros_like(rows[0][name]) for name in names}
    test = Rows(rows, np.ones((2, len(whole.columns)), FLOAT), {}, np.arange(2), blank)
    tables.write_graph(whole, names, test, to / GRAPH)
    first = filled(rows[0], blank, names)
    expected = dict(zip(whole.outputs(), (each[0] for each in tables.said(whole, names, [first])), strict=True))
    written = bundle.write(to, manifest, several[0], rows[0], expected)
    tables.required(tables.parity(whole, Model(written), first, test, names))
    return written


def encoded(parts: Parts, encoders: Mapping[str, Encode]) -> Row:
    row: Row = {PRESENT: np.ones(len(parts), FLOAT)}
    for name, (_, data) in parts.items():
        row |= encoders[name](data)
    return row


def example(columns: Mapping[str, Column], kinds: int, seed: int) -> Parts:
    """By code: shapes on paper, the ticks of a clock, and the title of such a recording."""
    made = {
        "image": ("png", drawn.picture("", "", (320, 240), kinds, seed).data),
        "text": ("txt", b"old clock ticking" + b" on a wall" * (seed - 1)),
        "audio": ("wav", wav(ticks(seed), RATE)),
    }
    return {name: made[column.kind] for name, column in columns.items()}


def ticks(seed: int) -> Array:
    """(N,): two knocks a second for two seconds or more."""
    rng = np.random.default_rng(seed)
    time = np.arange(RATE // 2) / RATE
    knocks = [np.sin(2 * np.pi * pitch * time) * np.exp(-time * 150) for pitch in (1900, 1500) * (seed + 1)]
    samples = 0.5 * np.concatenate(knocks)
    return np.asarray(samples + rng.normal(0, 1e-3, len(samples)), FLOAT)
