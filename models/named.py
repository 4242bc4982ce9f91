"""The steps of `python -m models` for recipes with data of their own: digits, and those of models/worked."""

from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models import card, example, recipe, runs, worked
from models import export as exporter
from models.datasets import digits
from models.recipe import Recipe
from models.runs import Evaluation
from service.bundle import CARD

Bars = Callable[[], Progress]


def train(name: str, data: Path, work: Path, bars: Bars, *, resume: bool, threads: int) -> None:
    """The network to be served, then one without each group of speakers."""
    if own := worked.of(name):
        worked.train(own, name, data, work, bars(), resume=resume, threads=threads)
        return
    chosen = recipe.read(name)
    torch.set_num_threads(threads)
    if not resume:
        runs.forget(work / chosen.name)
    with bars() as progress:
        runs.execute(chosen, digits.read(data / chosen.name), work / chosen.name, progress)


def evaluate(name: str, data: Path, work: Path, bars: Bars, console: Console) -> None:
    """Prints the model card's table and keeps it for `export`."""
    if own := worked.of(name):
        worked.evaluate(own, name, data, work, console)
        return
    chosen = recipe.read(name)
    folder = work / chosen.name
    with bars() as progress:
        found = runs.measure(chosen, digits.read(data / chosen.name), folder, progress)
    (folder / "evaluation.json").write_text(found.model_dump_json(indent=1))
    show(chosen, found, console)


def export(name: str, work: Path, to: Path | None) -> Path:
    """Raises FileNotFoundError where nothing was evaluated, ValueError where graph and torch disagree."""
    if own := worked.of(name):
        return worked.export(own, name, work, to)
    chosen = recipe.read(name)
    to = to or Path("models/bundles") / chosen.name
    folder = work / chosen.name
    if not (folder / "evaluation.json").is_file():
        raise FileNotFoundError(f"no evaluation yet: python -m models evaluate {name}")
    found = Evaluation.model_validate_json((folder / "evaluation.json").read_text())
    net = runs.network(chosen, folder, runs.runs(chosen)[0])
    net.calibrated.temperature.copy_(torch.tensor(found.temperature))
    exporter.export(chosen, net, example.parts(), folder, to)
    (to / CARD).write_text(card.write(chosen, found), encoding="utf-8")
    return to


def show(chosen: Recipe, found: Evaluation, console: Console) -> None:
    head, _, *lines = [line.strip("| ").split(" | ") for line in card.table(chosen, found).splitlines()]
    table = Table(*head, title="accuracy / expected calibration error, %; all unseen")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print(f"recordings alone, by speaker: {card.listed(found.speakers)}")
    console.print(f"network to be served, pictures alone: {card.listed(found.served)}")
