"""The steps of `python -m models` for a table: train, evaluate, export; each leaves in a folder what the next needs."""

import shutil
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress as Bars
from rich.table import Table as Shown

from models.table import bundle, card, check, fit, lines, measure, plots, recipe, rows
from models.table.check import BadRows, Fault
from models.table.columns import CLASSIFICATION, REGRESSION, Target
from models.table.fit import CHECKPOINT, Spent
from models.table.network import Network
from models.table.recipe import Recipe
from models.table.rows import Plan, Rows
from service.bundle import CARD, EXAMPLE
from service.types import Array

RECIPE, RUN, EVALUATION, CALIBRATED = "recipe.yaml", "run.json", "evaluation.json", "calibrated.pt"
REPORT = "bad-rows.txt"


class Run(BaseModel):
    """What training leaves for the steps after it."""

    vocabularies: dict[str, int]
    rows: dict[str, int]
    left_out: int
    spent: Spent | None = None


class Evaluation(BaseModel):
    scores: dict[str, dict[str, dict[str, float]]]  # task -> subset -> measure
    robustness: dict[str, dict[str, list[float]]]
    pictures: dict[str, list[str]]
    notes: list[str]


def train(
    file: Path, data: Path, folder: Path, bars: Bars, console: Console, *, resume: bool, threads: int, skip: bool
) -> Run:
    """Raises BadRows before anything is trained; all of them are in the folder's bad-rows.txt, too."""
    chosen = recipe.read(file)
    torch.set_num_threads(threads)
    fit.device(chosen.training)
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        for name in (CHECKPOINT, fit.BEST, CALIBRATED, EVALUATION, RUN):
            (folder / name).unlink(missing_ok=True)
    with bars:
        splits, run = prepared(chosen, data, folder, bars, console, skip=skip)
        shutil.copyfile(file, folder / RECIPE)
        net = fit.build(chosen, run.vocabularies, splits["train"], folder)
        task = bars.add_task("training", total=chosen.training.epochs)

        def tell(at: fit.Progress) -> None:
            said = f"loss {at.train:.3f}, valid {at.valid:.3f}, best {at.best:.3f}"
            bars.update(task, completed=at.epoch, description=said)

        spent = fit.train(net, splits, folder, tell)
    done = run.model_copy(update={"spent": spent})
    (folder / RUN).write_text(done.model_dump_json(indent=1))
    return done


def prepared(
    chosen: Recipe, data: Path, folder: Path, bars: Bars, console: Console, *, skip: bool
) -> tuple[dict[str, Rows], Run]:
    """Splits of the table, its held-out rows and its example being kept for the steps to come."""
    table = lines.read(data)
    task = bars.add_task("reading rows", total=len(table.lines))
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)
    try:
        splits, sizes, faults = rows.prepare(
            table, plan, folder, lambda done, total: bars.update(task, completed=done, total=total), skip=skip
        )
    except BadRows as error:
        report(error.faults, folder)
        raise
    if faults:
        report(faults, folder)
        left = len({fault.line for fault in faults})
        console.print(f"left out {left} bad rows, as asked; {folder / REPORT} names them", markup=False)
    for name in ("valid", "test"):
        splits[name].save(folder / f"{name}.npz")
    keep_example(table, chosen, splits["test"], folder / EXAMPLE)
    counts = {name: len(each) for name, each in splits.items()}
    return splits, Run(vocabularies=sizes, rows=counts, left_out=len({fault.line for fault in faults}))


def report(faults: list[Fault], folder: Path) -> None:
    (folder / REPORT).write_text("".join(f"{fault}\n" for fault in faults), encoding="utf-8")


def keep_example(table: lines.Table, chosen: Recipe, test: Rows, folder: Path) -> None:
    """The bytes of the test row with most parts."""
    at = int(test.lines[int(np.argmax(test.present.sum(1)))])
    line = next(each for each in table.lines if each.number == at)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, part in chosen.parts.items():
        if part.column in line.cells:
            ending = ".txt" if part.kind == "text" else Path(line.text(part.column)).suffix
            (folder / f"{name}{ending}").write_bytes(rows.content(line, part, table.path.parent))


def restored(folder: Path, weights: str) -> tuple[Recipe, Run, Network]:
    """Raises FileNotFoundError with the command that helps."""
    if not (folder / weights).is_file():
        step = "train RECIPE.yaml --data TABLE --output" if weights == fit.BEST else "evaluate"
        raise FileNotFoundError(f"{folder}: no {weights}; `python -m models {step} {folder}` makes it")
    chosen, run = recipe.read(folder / RECIPE), Run.model_validate_json((folder / RUN).read_text())
    net = Network(chosen, run.vocabularies)
    net.load_state_dict(torch.load(folder / weights, weights_only=True, map_location="cpu"))
    return chosen, run, net.eval()


def evaluate(folder: Path, console: Console) -> Evaluation:
    """Calibrates with the rows of `valid`, measures on those of `test`, draws; prints a table a task."""
    chosen, _, net = restored(folder, fit.BEST)
    valid, test = rows.load(folder / "valid.npz"), rows.load(folder / "test.npz")
    notes = measure.calibrate(net, valid)
    fit.keep(folder / CALIBRATED, net.state_dict())
    found = Evaluation(
        scores=measure.quality(net, test), robustness=measure.robustness(net, test), pictures={}, notes=notes
    )
    found = found.model_copy(update={"pictures": drawn(net, test, found, folder)})
    (folder / EVALUATION).write_text(found.model_dump_json(indent=1))
    for name, scores in found.scores.items():
        head, *body = card.table(scores)
        shown = Shown(*head, title=f"{name}: {chosen.tasks[name].kind}, rows not trained on")
        for line in body:
            shown.add_row(*line)
        console.print(shown)
    for note in notes:
        console.print(f"not calibrated: {note}", markup=False)
    return found


def drawn(net: Network, test: Rows, found: Evaluation, folder: Path) -> dict[str, list[str]]:
    """Task -> pictures, in the run's folder."""
    subset = largest(test)
    some = test.take(measure.having(test, subset))
    said = measure.answers(net, measure.ask(net, some, subset), subset)
    made: dict[str, list[str]] = {}
    for name, task in net.recipe.tasks.items():
        made[name] = draw(name, task, said[name], some.targets[name], folder)
        if curves := found.robustness[name]:
            made[name].append(f"{name}-robustness.svg")
            plots.robustness(curves, measure.FIRST[task.kind], folder / made[name][-1])
    return made


def draw(name: str, task: Target, said: list[Array], truth: Array, folder: Path) -> list[str]:
    """Names of the pictures of one task's answers."""
    files: list[str] = []

    def path(what: str) -> Path:
        files.append(f"{name}-{what}.svg")
        return folder / files[-1]

    known = ~check.unknown(truth)
    if not known.any():
        return []
    if task.kind == CLASSIFICATION:
        p, truth = said[0][known], truth[known]
        plots.confusion(truth, p.argmax(1), task.labels, path("confusion"))
        plots.reliability(p.max(1), p.argmax(1) == truth, path("reliability"))
    elif task.kind == REGRESSION:
        for i, column in enumerate(task.columns):
            rows = known[:, i]
            if rows.any():
                plots.values(truth[rows, i], said[0][rows, i], said[1][rows, i], column, path(f"values{i or ''}"))
    else:
        plots.reliability(said[0][known], truth[known] > 0, path("reliability"))
    return files


def largest(test: Rows) -> tuple[int, ...]:
    """All parts, or the most that a row of the test has."""
    best = test.present[int(np.argmax(test.present.sum(1)))]
    return tuple(int(each) for each in best)


def export(folder: Path, to: Path) -> float:
    """The bundle, its card and the card's pictures; returns the largest difference between graph and torch."""
    if not (folder / EVALUATION).is_file():
        raise FileNotFoundError(f"no evaluation yet: python -m models evaluate {folder}")
    chosen, run, net = restored(folder, CALIBRATED)
    found = Evaluation.model_validate_json((folder / EVALUATION).read_text())
    written, difference = bundle.export(net, folder, rows.load(folder / "test.npz"), to)
    for files in found.pictures.values():
        for file in files:
            shutil.copyfile(folder / file, to / file)
    parameters = sum(p.numel() for p in net.parameters())
    how = {"parts": ", ".join(f"{name}: {part.encoder.kind}" for name, part in chosen.parts.items())}
    how |= {"fusion": chosen.fusion.kind, "parameters": f"{parameters:,}", "seed": str(chosen.seed)}
    if run.spent:
        how["training"] = f"{run.spent.epochs} epochs, {run.spent.seconds:.0f} s; kept is epoch {run.spent.best}"
    if run.left_out:
        how["bad rows left out"] = str(run.left_out)
    how["graph"] = f"{written.graph.stat().st_size:,} bytes, within {difference:.1g} of torch"
    text = card.write(
        title=f"{chosen.name} {chosen.version}",
        about=chosen.about,
        limits=chosen.limits,
        parts=chosen.parts,
        tasks=chosen.tasks,
        how=how,
        scores=found.scores,
        pictures=found.pictures,
        notes=found.notes,
        counts=run.rows,
    )
    (to / CARD).write_text(text, encoding="utf-8")
    return difference
