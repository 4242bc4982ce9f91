"""The worked examples whose recipes have a shape of their own: train, evaluate and export what such a recipe names."""

import shutil
from pathlib import Path
from types import ModuleType

import torch
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.recipe import RECIPES
from models.worked import boxes, monitor

EXAMPLES: dict[str, ModuleType] = {"boxes": boxes, "monitor": monitor}  # the recipe's `example` -> what does its steps
FOUND = "evaluation.json"


def file(name: str) -> Path:
    return Path(name) if name.endswith(".yaml") else RECIPES / f"{name}.yaml"


def of(name: str) -> ModuleType | None:
    """None: a recipe of the common shape, or no recipe at all."""
    if not file(name).is_file():
        return None
    held = yaml.safe_load(file(name).read_text(encoding="utf-8"))
    return EXAMPLES.get(str(held.get("example"))) if isinstance(held, dict) else None


def train(
    own: ModuleType, name: str, data: Path, work: Path, progress: Progress, *, resume: bool, threads: int
) -> None:
    recipe = own.read(file(name))
    folder = work / recipe.name
    torch.set_num_threads(threads)
    if not resume:
        shutil.rmtree(folder / "runs", ignore_errors=True)
    with progress:
        own.train(recipe, data, folder, progress)


def evaluate(own: ModuleType, name: str, data: Path, work: Path, console: Console) -> None:
    """Prints the card's table and keeps what `export` needs."""
    recipe = own.read(file(name))
    found = own.evaluate(recipe, data, work / recipe.name)
    (work / recipe.name / FOUND).write_text(found.model_dump_json(indent=1))
    head, *rows = own.table(found)
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def export(own: ModuleType, name: str, work: Path, to: Path | None) -> Path:
    """Raises FileNotFoundError where nothing was evaluated, ValueError where graph and torch disagree."""
    recipe = own.read(file(name))
    kept = work / recipe.name / FOUND
    if not kept.is_file():
        raise FileNotFoundError(f"no evaluation yet: python -m models evaluate {name}")
    to = to or RECIPES.parent / "bundles" / recipe.name
    own.export(recipe, work / recipe.name, own.Evaluation.model_validate_json(kept.read_text()), to)
    return to
