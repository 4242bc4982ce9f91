"""Several recipes on one table to one table of theirs: size, cost, speed, and quality from each subset of the parts."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models import marks
from models.fusion import Fusion
from models.table import command, recipe, scores, start
from models.table.evaluation import Evaluation
from models.table.recipe import Recipe
from service.bundle import read
from service.model import Model

BEGIN, END = "<!-- compare -->", "<!-- end -->"
FILE = "compare.json"
TIMED = 30  # runs of the graph


class Contender(BaseModel):
    name: str
    parameters: int
    seconds: float  # of training
    size: int  # of the graph, bytes
    cost: float  # CPU seconds of one answer, one at a time
    quality: dict[str, float]  # subset of parts -> the first task's first score
    error: float | None  # of calibration, of all parts
    worst: float | None  # the mean with all parts of which one is degraded as much as it can be


def kinds() -> dict[str, type]:
    """Kind of fusion -> its Spec."""
    union = get_args(Fusion)[0]
    return {spec.model_fields["kind"].default: spec for spec in get_args(union)}


def variants(files: Sequence[Path], fusions: str) -> dict[str, Recipe]:
    """Title -> recipe. Raises ValueError, FileNotFoundError."""
    known = kinds()
    chosen = list(known) if fusions == "all" else [kind.strip() for kind in fusions.split(",") if kind.strip()]
    if wrong := [kind for kind in chosen if kind not in known]:
        raise ValueError(f"no fusion {wrong[0]!r}; there are {', '.join(known)}")
    found: dict[str, Recipe] = {}
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no recipe {file}")
        read = recipe.read(file)
        if not chosen:
            found[read.name] = read
        for kind in chosen:
            changed = read.model_dump(mode="json", exclude_unset=True) | {"fusion": {"kind": kind}}
            title = f"{read.name} {kind}" if len(files) > 1 else kind
            found[title] = Recipe.model_validate(changed | {"name": f"{read.name}-{kind}"})
    return found


def compare(
    recipes: dict[str, Recipe],
    data: Path,
    folder: Path,
    bars: Callable[[], Progress],
    console: Console,
    *,
    threads: int,
) -> list[Contender]:
    """One after the other; what was found in `folder` before is not done again, if its recipe is the same."""
    found = []
    for title, chosen in recipes.items():
        home = folder / chosen.name
        kept = home / FILE
        if not kept.is_file() or recipe.read(home / start.RECIPE) != chosen:
            console.print(f"{title}:", markup=False)
            run = command.learn(chosen, data, home, bars(), console, resume=False, threads=threads, skip=False)
            assert run.spent
            evaluation = command.evaluate(home, console)
            command.export(home, home / "bundle")
            kept.write_text(contender(title, chosen, home, run.spent.seconds, evaluation).model_dump_json(indent=1))
        found.append(Contender.model_validate_json(kept.read_text()))
    return found


def contender(title: str, chosen: Recipe, home: Path, seconds: float, found: Evaluation) -> Contender:
    task = next(iter(chosen.tasks))
    first = scores.FIRST[chosen.tasks[task].kind]
    whole = "+".join(chosen.parts)
    worst = [line[-1] for label, line in found.robustness[task].items() if label.startswith("all")]
    _, _, net = command.restored(home, command.CALIBRATED)
    bundle = read(home / "bundle")
    measured = {subset: each for subset, each in found.scores[task].items() if subset != scores.NOTHING}
    return Contender(
        name=title,
        parameters=sum(p.numel() for p in net.parameters()),
        seconds=seconds,
        size=bundle.graph.stat().st_size,
        cost=timed(Model(bundle)),
        quality={subset: each[first] for subset, each in measured.items() if first in each},
        error=found.scores[task].get(whole, {}).get("ECE"),
        worst=float(np.mean(worst)) if worst else None,
    )


def timed(model: Model) -> float:
    """CPU seconds of one answer to the example, the least of some runs: what else the machine does adds to them."""
    _, row, _ = model.bundle.example()
    took = []
    for _ in range(TIMED):
        start = time.process_time()
        model.run([row])
        took.append(time.process_time() - start)
    return min(took)


def lines(found: Sequence[Contender]) -> list[list[str]]:
    """Head and rows."""
    subsets = list(dict.fromkeys(subset for each in found for subset in each.quality))
    head = ["recipe", "parameters", "training, s", "graph, kB", "answer, ms", *subsets, "ECE", "one degraded"]
    rows = [
        [
            each.name,
            f"{each.parameters:,}",
            f"{each.seconds:.0f}",
            f"{each.size / 1000:.0f}",
            f"{each.cost * 1000:.2f}",
            *(f"{each.quality[subset]:.3f}" if subset in each.quality else "" for subset in subsets),
            "" if each.error is None else f"{each.error:.3f}",
            "" if each.worst is None else f"{each.worst:.3f}",
        ]
        for each in found
    ]
    return [head, *rows]


def show(found: Sequence[Contender], console: Console) -> None:
    head, *rows = lines(found)
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def write(found: Sequence[Contender], path: Path) -> None:
    """Between the two marks of a Markdown file. Raises ValueError where they are not there."""
    marks.write(marks.markdown(lines(found)), path, BEGIN, END)
