"""The steps that every recipe goes through: train, evaluate, export; what does them depends on its shape.

torch is imported where a recipe needs it only.
"""

from pathlib import Path
from typing import Any

import yaml

from models.options import bars, console, say

RECIPES = Path(__file__).parent / "recipes"


def given(name: str) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"


def held(file: Path) -> dict[str, Any]:
    """What a recipe says; nothing, where it is none. Raises ValueError where it is no YAML."""
    if not file.is_file():
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
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
    """Raises FileNotFoundError where a folder is named that training has not left."""
    if (Path(name) / "run.json").is_file():
        return True
    if Path(name).is_dir() or (len(Path(name).parts) > 1 and not given(name).is_file()):
        raise FileNotFoundError(
            f"{name}: nothing trained in it: python -m models train RECIPE --data TABLE --output {name}"
        )
    return False


def train(name: str, data: Path, work: Path, folder: Path, *, resume: bool, skip: bool, threads: int) -> None:
    """`data`: the table; or the folder of an example's data. `folder`: of the run, on a table; others are in `work`."""
    if command := of_tables(held(given(name))):
        done = command.train(given(name), data, folder, bars(), console, resume=resume, threads=threads, skip=skip)
        assert done.spent
        say(f"trained in {done.spent.seconds:.0f} s; next: python -m models evaluate {folder}")
        return
    from models import named

    named.train(name, data, work, bars, resume=resume, threads=threads)
    say(f"trained; next: python -m models evaluate {name}")


def evaluate(name: str, data: Path, work: Path) -> None:
    if run_of(name):
        command = of_tables(held(Path(name) / "recipe.yaml"))
        command.evaluate(Path(name), console)
        say(f"evaluated; next: python -m models export {name} --output bundles/{Path(name).name}")
        return
    from models import named

    named.evaluate(name, data, work, bars, console)


def export(name: str, work: Path, to: Path | None) -> None:
    if run_of(name):
        command = of_tables(held(Path(name) / "recipe.yaml"))
        to = to or Path("bundles") / Path(name).name
        difference = command.export(Path(name), to)
        say(f"wrote {to}, within {difference:.1g} of what was trained; next: braid serve {to}")
        return
    from models import named

    to = named.export(name, work, to)
    say(f"wrote {to}; next: braid verify {to}")
