"""Pictures with boxes, and sounds with their titles, in one graph: what is seen, what is heard, whether it is unusual.

Both halves are trained by themselves: nothing says which sound belongs to which picture.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator, default_rng
from pydantic import model_validator
from rich.progress import Progress
from torch import Tensor

from models import made
from models.detection.fit import Spent
from models.detection.found import quality
from models.marks import markdown
from models.options import console
from models.table import bundle as tables
from models.table import card as cards
from models.table import command, measure, rows
from models.table.columns import CLASSIFICATION
from models.table.evaluation import Evaluation as Heard
from models.table.manifest import PRESENT
from models.table.recipe import Recipe as Sounds
from models.worked import boxes, merged
from models.worked.boxes import PART
from models.worked.card import write as write_card
from service.bundle import CARD, Bundle, Manifest
from service.types import FLOAT, Array

DETECTION, SPENT = "detection", "spent.json"
SILENT = 0.5  # share of the training pictures beside which nothing is heard
SHARP = 0.1  # of the Dirichlet distribution of what is heard beside the others: mostly one class


class Recipe(boxes.Recipe):
    """That of pictures with boxes; `sounds` is one for the table of `models/made/monitor.py`."""

    sounds: Sounds

    @model_validator(mode="after")
    def possible(self) -> "Recipe":
        first = next(iter(self.sounds.tasks.values()))
        if first.kind != CLASSIFICATION or PART in self.sounds.parts:
            raise ValueError("sounds: their first task is a classification, and no part of them is an image")
        if self.detector.context not in (0, first.size):
            raise ValueError(f"detector: context: 0, or {first.size}, a number for each class that is heard")
        return self


class Evaluation(boxes.Evaluation):
    """Pictures alone, and their mean beside sounds that have nothing to do with them; titles and sounds."""

    beside: float
    heard: Heard


def read(path: Path) -> Recipe:
    """Raises ValueError."""
    return boxes.parsed(Recipe, path)


def folder(work: Path) -> Path:
    """Of the run that learns the sounds."""
    return work / "runs" / "sounds"


def train(recipe: Recipe, data: Path, work: Path, progress: Progress) -> None:
    """Sounds, then pictures; what is done is not done again."""
    learn(recipe.sounds, data, work, progress)
    progress.start()  # which the sounds' training has stopped
    boxes.train(recipe, data, work, progress, anything(recipe.detector.context) if recipe.detector.context else None)


def learn(sounds: Sounds, data: Path, work: Path, progress: Progress) -> None:
    """The sounds; and keeps what it cost."""
    began, table = (sum(os.times()[:4]), time.perf_counter()), work / "runs" / "table" / "table.csv"
    if not table.is_file():
        made.make("monitor", data, table.parent)
    threads, before = torch.get_num_threads(), spent(work)
    command.learn(sounds, table, folder(work), progress, console, resume=True, threads=threads, skip=False)
    cost = before.more(sum(os.times()[:4]) - began[0], time.perf_counter() - began[1])
    (folder(work) / SPENT).write_text(cost.model_dump_json())


def spent(work: Path) -> Spent:
    """By the sounds."""
    file = folder(work) / SPENT
    return Spent.model_validate_json(file.read_text()) if file.is_file() else Spent()


def anything(classes: int) -> boxes.Context:
    """What may be heard beside a picture: as likely as not nothing, else anything, as no sound belongs to a picture."""

    def heard(rng: Generator, count: int) -> Tensor:
        drawn = rng.dirichlet(np.full(classes, SHARP), count)
        return torch.from_numpy((drawn * (rng.random((count, 1)) >= SILENT)).astype(FLOAT))

    return heard


def evaluate(recipe: Recipe, data: Path, work: Path) -> Evaluation:
    """Pictures and sounds apart; and whether a sound beside a picture does it harm."""
    found = boxes.evaluate(recipe, data, work)
    heard = command.evaluate(folder(work), console)
    beside = found.precision["mean"]
    if recipe.detector.context:
        said, rng = classes_heard(work), default_rng(recipe.seed)
        net, _ = boxes.trained(recipe, work)

        def detect(pixels: Tensor) -> tuple[Tensor, Tensor]:
            return net.detect(pixels, torch.from_numpy(said[rng.integers(0, len(said), len(pixels))]))

        unseen = boxes.pictures(recipe, data, recipe.splits.valid)
        beside = quality(detect, unseen, recipe.labels, recipe.answer.nms)["mean"]
    cost = spent(work).more(found.spent.processor, found.spent.wall)
    return Evaluation(precision=found.precision, pictures=found.pictures, spent=cost, beside=beside, heard=heard)


def classes_heard(work: Path) -> Array:
    """(N, classes): of the sounds that were not trained on, with their titles."""
    chosen, _, net = command.restored(folder(work), command.CALIBRATED)
    unseen, every = rows.load(folder(work) / "test.npz"), (1,) * len(chosen.parts)
    said: Array = measure.answers(net, measure.ask(net, unseen, every), every)[next(iter(chosen.tasks))][0]
    return said


def table(found: Evaluation) -> list[list[str]]:
    head, line = boxes.table(found)
    beside = ["beside any sound", f"{found.beside:.3f}"]
    order = [head.index("mAP@0.5"), *(i for i, each in enumerate(head) if each != "mAP@0.5")]
    first = [["boxes", *(head[i] for i in order)], ["pictures alone", *(line[i] for i in order)]]
    return [*first, [*beside, *[""] * (len(line) - 1)]]


def export(recipe: Recipe, work: Path, found: Evaluation, to: Path) -> Bundle:
    """Raises ValueError where the graph and torch disagree."""
    detector, _ = boxes.trained(recipe, work)
    _, _, sounds = command.restored(folder(work), command.CALIBRATED)
    written = merged.write(merged.Whole(recipe.image, detector, sounds), manifest(recipe), folder(work), to)
    quality = [markdown(table(found))]
    for name in recipe.sounds.tasks:
        quality += [f"### {name}", markdown(cards.table(found.heard.scores[name]))]
        if found.heard.again:
            quality.append(f"Mean ± deviation of {len(found.heard.again) + 1} trainings, each tested on another fold:")
            quality.append(markdown(cards.spread(found.heard.spread(name))))
    quality.append(cards.glossary(found.heard.scores))
    (to / CARD).write_text(write_card(recipe.card, recipe.name, quality, found.spent), encoding="utf-8")
    return written


def manifest(recipe: Recipe) -> Manifest:
    """Boxes for the picture; an event where there is a title or a sound; the rest where what it looks at is there."""
    sounds = recipe.sounds
    first, *others = sounds.tasks
    size = sounds.tasks[first].size
    parts = {name: part.input.model_dump(exclude_unset=True) for name, part in sounds.parts.items()}
    answers, looked = tables.outputs(sounds), {name: tables.looked_at(sounds, name) for name in others}
    return Manifest.model_validate(
        {
            "schema": 1,
            "name": recipe.name,
            "version": recipe.version,
            "inputs": {PART: recipe.image.model_dump(exclude_unset=True), **parts},
            "missing": {"policy": "mask", "tensor": PRESENT},
            "outputs": {DETECTION: boxes.output(recipe), **answers},
            "needs": {DETECTION: [PART], first: list(sounds.parts), **looked},
            "prior": {
                answers[first]["tensor"]: [1 / size] * size,
                **{answers[name]["tensor"]: [0.0] for name in others},
            },
        }
    )
