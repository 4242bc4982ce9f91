"""The steps that every recipe goes through: train, evaluate, export; what does them depends on its shape.

torch is imported where a recipe needs it only.
"""

from pathlib import Path
from typing import Any

import yaml

from models.options import bars, console

RECIPES = Path(__file__).parent / "recipes"


def given(name: str) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"


def held(file: Path) -> dict[str, Any]:
    """What a recipe says; nothing, where it is none."""
    if not file.is_file():
        return {}
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def of_tables(found: dict[str, Any]) -> Any:
    """The module that trains, evaluates and exports a recipe for tables: with torch, or, if its tasks name estimators,
    without; None for others."""
    if not isinstance(found.get("parts"), dict):
        return None
    tasks = found.get("tasks")
    if isinstance(tasks, dict) and any("estimator" in task for task in tasks.values() if isinstance(task, dict)):
        from models.classic import command as without_torch

        return without_torch
    from models.table import command

    return command


def run_of(name: str) -> bool:
    return (Path(name) / "run.json").is_file()


def train(name: str, data: Path, work: Path, folder: Path, *, resume: bool, skip: bool, threads: int) -> None:
    """`data`: the table; or the folder of an example's data. `folder`: of the run, on a table; others are in `work`."""
    if command := of_tables(held(given(name))):
        done = command.train(given(name), data, folder, bars(), console, resume=resume, threads=threads, skip=skip)
        assert done.spent
        console.print(f"trained in {done.spent.seconds:.0f} s; next: python -m models evaluate {folder}")
        return
    from models import named

    named.train(name, data, work, bars, resume=resume, threads=threads)
    console.print(f"trained; next: python -m models evaluate {name}")


def evaluate(name: str, data: Path, work: Path) -> None:
    if run_of(name):
        command = of_tables(held(Path(name) / "recipe.yaml"))
        command.evaluate(Path(name), console)
        console.print(f"evaluated; next: python -m models export {name} --output bundles/{Path(name).name}")
        return
    from models import named

    named.evaluate(name, data, work, bars, console)


def export(name: str, work: Path, to: Path | None) -> None:
    if run_of(name):
        command = of_tables(held(Path(name) / "recipe.yaml"))
        to = to or Path("bundles") / Path(name).name
        difference = command.export(Path(name), to)
        console.print(f"wrote {to}, within {difference:.1g} of what was trained; next: braid serve {to}")
        return
    from models import named

    to = named.export(name, work, to)
    console.print(f"wrote {to}; next: braid verify {to}")
