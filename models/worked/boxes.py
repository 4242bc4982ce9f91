"""Pictures with boxes: a recipe to a trained detector, its mean average precision, its bundle."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import yaml
from pydantic import Field, ValidationError
from rich.progress import Progress
from torch import Tensor

from models.datasets import boxed, drawn
from models.detection import graph
from models.detection.detector import Detector, Network
from models.detection.fit import Plan, Spent, Tell, fit, restore
from models.detection.found import quality
from models.detection.pictures import Pictures, Vary, batch, encoded
from models.marks import markdown
from models.worked.card import Card
from models.worked.card import write as write_card
from service import bundle
from service.bundle import CARD, GRAPH, Bundle, Manifest, explain
from service.inputs import Image
from service.model import Model
from service.types import Array, Spec

BOXES, SCORES = "boxes", "scores"
PART = "image"
Context = Callable[[np.random.Generator, int], Tensor]  # how many -> vectors (B, width) that shift the detector's map


class Splits(Spec):
    train: str = "train"
    valid: str = "valid"


class Answer(Spec):
    threshold: float = 0.4
    nms: float = 0.5
    most: int = 100


class Recipe(Spec):
    example: str = Field(description="the module of models/worked")
    name: str
    version: str
    seed: int
    data: str = Field(description="a zip in the data folder: table.csv, boxes.csv, images/")
    splits: Splits = Splits()
    labels: list[str]
    image: Image
    detector: Detector
    vary: Vary = Vary()
    common: float = Field(0, ge=0, le=1, description="share of pictures below which those of a class come more often")
    training: Plan
    answer: Answer = Answer()
    card: Card


R = TypeVar("R", bound=Recipe)


class Evaluation(Spec):
    """Average precision at an overlap of 0.5, by label and the mean of them; what training cost."""

    precision: dict[str, float]
    pictures: int
    spent: Spent


def read(path: Path) -> Recipe:
    """Raises ValueError."""
    return parsed(Recipe, path)


def parsed(kind: type[R], path: Path) -> R:
    """Raises ValueError."""
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error


def pictures(recipe: Recipe, data: Path, split: str) -> Pictures:
    """Encoded as the bundle will. Raises FileNotFoundError, ValueError where the split is empty."""
    chosen = [each for each in boxed.read(data / recipe.data, recipe.labels) if each.split == split]
    if not chosen:
        raise ValueError(f"{recipe.data}: no picture of the split {split!r}")
    return encoded(chosen, recipe.image.load(data), recipe.image.tensors.pixels)


def network(recipe: Recipe) -> Network:
    torch.manual_seed(recipe.seed)
    net = Network(recipe.detector, len(recipe.labels))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    return net


def train(recipe: Recipe, data: Path, work: Path, progress: Progress, context: Context | None = None) -> None:
    """Goes on from a checkpoint in `work` where there is one."""
    known = pictures(recipe, data, recipe.splits.train)
    tell = teller(progress, recipe.name, recipe.training.steps)
    fit(net := network(recipe), losses(net, recipe, known, context), recipe.training, checkpoint(work), tell)


def losses(
    net: Network, recipe: Recipe, known: Pictures, context: Context | None
) -> Callable[[int], dict[str, Tensor]]:
    """Those of a step."""
    shares = often(known.classes, len(recipe.labels), recipe.common)

    def of(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed, step])
        chosen = rng.choice(len(known.names), recipe.training.batch, p=shares)
        pixels, truths = batch(known, chosen, recipe.vary, rng)
        said = context(rng, len(chosen)) if context else None
        return net.losses(pixels.contiguous(memory_format=torch.channels_last), truths, said)

    return of


def often(classes: Sequence[Array], count: int, common: float) -> Array:
    """(N,): how often each picture is drawn, by the rarest class in it; sums to 1.

    Repeat factors of LVIS (Gupta et al., 2019): sqrt(common / share of pictures that have the class), at least 1.
    """
    has = np.zeros((len(classes), count), bool)
    for row, there in zip(has, classes, strict=True):
        row[there] = True
    factor = np.sqrt(common / has.mean(0).clip(1 / len(classes))).clip(1)
    times = np.where(has, factor, 1).max(1)
    return np.asarray(times / times.sum())


def teller(progress: Progress, name: str, steps: int) -> Tell:
    """A progress bar that shows the losses."""
    task = progress.add_task(name, total=steps)

    def tell(step: int, parts: dict[str, float]) -> None:
        said = "  ".join(f"{part} {value:.2f}" for part, value in parts.items())
        progress.update(task, completed=step, description=f"{name}  {said}")

    return tell


def checkpoint(work: Path) -> Path:
    return work / "runs" / "final.pt"


def trained(recipe: Recipe, work: Path) -> tuple[Network, Spent]:
    """Raises FileNotFoundError with the command that helps."""
    if not checkpoint(work).exists():
        raise FileNotFoundError(f"nothing trained in {work}: `python -m models train {recipe.name}` does it")
    net = network(recipe)
    return net, restore(checkpoint(work), net)


def evaluate(recipe: Recipe, data: Path, work: Path) -> Evaluation:
    """On the pictures of the split `valid`, which training has not seen."""
    net, spent = trained(recipe, work)
    unseen = pictures(recipe, data, recipe.splits.valid)
    precision = quality(net.detect, unseen, recipe.labels, recipe.answer.nms)
    return Evaluation(precision=precision, pictures=len(unseen.names), spent=spent)


def table(found: Evaluation) -> list[list[str]]:
    """Head and rows."""
    return [
        ["mAP@0.5" if label == "mean" else label for label in found.precision],
        [f"{each:.3f}" for each in found.precision.values()],
    ]


def export(recipe: Recipe, work: Path, found: Evaluation, to: Path) -> Bundle:
    """Raises ValueError where the graph and torch disagree."""
    net, _ = trained(recipe, work)
    served = graph.Served(net)
    to.mkdir(parents=True, exist_ok=True)
    size = (320, 240)
    several = [drawn.picture("", "", size, len(recipe.labels), seed) for seed in (1, 2)]
    encode = recipe.image.load(to)
    rows = [encode(each.data) for each in several]
    name = recipe.image.tensors.pixels
    held = {name: torch.from_numpy(np.stack([row[name] for row in rows]))}
    graph.write(served, held, [BOXES, SCORES], to / GRAPH, {})
    expected = graph.answers(served, held, [BOXES, SCORES])
    written = bundle.write(to, manifest(recipe), {PART: ("png", several[0].data)}, rows[0], expected[0])
    graph.require(graph.parity(Model(written), rows, expected))
    (to / CARD).write_text(
        write_card(recipe.card, recipe.name, [markdown(table(found))], found.spent), encoding="utf-8"
    )
    return written


def output(recipe: Recipe) -> dict[str, Any]:
    """What a manifest says of the boxes."""
    tensors = {"pixels": recipe.image.tensors.pixels, "boxes": BOXES, "scores": SCORES}
    return {"kind": "detection", **tensors, "labels": recipe.labels, "unit": "input", **recipe.answer.model_dump()}


def manifest(recipe: Recipe) -> Manifest:
    return Manifest.model_validate(
        {
            "schema": 1,
            "name": recipe.name,
            "version": recipe.version,
            "inputs": {PART: recipe.image.model_dump(exclude_unset=True)},
            "outputs": {"objects": output(recipe)},
        }
    )
