"""The steps of `python -m models` for a table without torch: train, evaluate, export, each in the run's folder."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import ModelProto
from rich.console import Console
from rich.progress import Progress as Bars

from models.classic import features, heads, join
from models.classic.heads import Fitted, quantile
from models.classic.recipe import Recipe, read
from models.table import card, found, rows
from models.table.columns import REGRESSION, Plan
from models.table.degrade import degraded
from models.table.evaluation import Evaluation
from models.table.manifest import PRESENT, filled, folder_for, manifest, output, read_example, usual
from models.table.robust import curves
from models.table.rows import Rows, fewer
from models.table.scores import Scores, Subset, having, number, scores, subsets, title
from models.table.start import EVALUATION, RECIPE, RUN, Run, Spent, prepared
from service import bundle
from service.bundle import CARD, GRAPH
from service.model import Model, differences
from service.types import FLOAT, Array

TOLERANCE = 1e-5
EXPECTED = "expected.npz"  # what scikit-learn says of the first test rows, which the graph must say, too
ASKED = 64


def train(
    file: Path, data: Path, folder: Path, bars: Bars, console: Console, *, resume: bool, threads: int, skip: bool
) -> Run:
    """Raises BadRows before anything is trained. There is nothing to resume; threads are for forests."""
    recipe = read(file)
    folder.mkdir(parents=True, exist_ok=True)
    with bars:
        plan = Plan(recipe.parts, recipe.tasks, recipe.split, recipe.seed)
        splits, run = prepared(plan, data, folder, bars, console, skip=skip)
        graph = features.fit(recipe, splits["train"])
        return fit(recipe, graph, splits, run, folder, bars, threads=threads)


def fit(
    recipe: Recipe, graph: ModelProto, splits: Mapping[str, Rows], run: Run, folder: Path, bars: Bars, *, threads: int
) -> Run:
    """Estimators over what `graph` makes of the rows: (N, D) features; writes the graph of both, and the run."""
    task = bars.add_task("fitting", total=len(recipe.tasks) + 1)
    start, session = time.perf_counter(), features.session(graph)
    x, order = shown(recipe, splits["train"], session)
    bars.advance(task)
    fitted = {}
    for name, each in recipe.tasks.items():
        fitted[name] = heads.fit(each, x, splits["train"].targets[name][order], recipe.seed, threads)
        bars.advance(task)
    scales, notes = calibrate(recipe, fitted, session, splits["valid"])
    onnx.save(join.merged(graph, x.shape[1], fitted, scales), folder / GRAPH)
    keep_expected(fitted, scales, session, splits["test"], folder / EXPECTED)
    spent = Spent(1, 1, time.perf_counter() - start, 0.0)
    (folder / RECIPE).write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True), sort_keys=False))
    done = run.model_copy(update={"spent": spent, "notes": notes, "features": x.shape[1]})
    (folder / RUN).write_text(done.model_dump_json(indent=1))
    return done


def shown(recipe: Recipe, train: Rows, session: features.Session) -> tuple[Array, Array]:
    """Features of each row with all its parts, then with fewer; which row it is."""
    rng = np.random.default_rng(recipe.seed)
    present = [train.present] + [fewer(train.present, 0.0, rng) for _ in range(recipe.takes - 1)]
    x = [features.run(session, train, each) for each in present]
    return np.concatenate(x), np.tile(np.arange(len(train)), recipe.takes)


def calibrate(
    recipe: Recipe, fitted: dict[str, Fitted], session: features.Session, valid: Rows
) -> tuple[dict[str, Array], list[str]]:
    """Task -> what `join.merged` takes, by the number of the subset of parts; and what too few rows could not tell."""
    scales: dict[str, Array] = {}
    notes = []
    parts = list(recipe.parts)
    for name, task in recipe.tasks.items():
        found = np.zeros((2 ** len(parts), task.size if task.kind == REGRESSION else 1), FLOAT)
        for subset in subsets(len(parts)):
            some = valid.take(having(valid, subset))
            scale: list[float | None] = [None] * found.shape[1]
            if len(some):
                said = fitted[name].answer(
                    features.run(session, some, np.tile(np.array(subset, FLOAT), (len(some), 1)))
                )
                truth = some.targets[name]
                if task.kind == REGRESSION:
                    errors = np.abs(said - truth)
                    scale = [quantile(column[~np.isnan(column)], task.coverage) for column in errors.T]
                    found[number(subset)] = np.nan_to_num(np.nanmax(errors, 0))  # unless there are enough
                else:
                    scale = [heads.temperature(task.kind, said, truth)]
            if any(each is None for each in scale):
                notes.append(f"{name} from {title(subset, parts)}: too few rows")
            else:
                found[number(subset)] = np.array(scale, FLOAT)
        usual = found.max(0) if task.kind == REGRESSION else np.ones(1, FLOAT)
        scales[name] = np.where(found > 0, found, usual)
    return scales, notes


def keep_expected(
    fitted: dict[str, Fitted], scales: dict[str, Array], session: features.Session, test: Rows, path: Path
) -> None:
    some = test.take(np.arange(min(ASKED, len(test))))
    present = fewer(some.present, 0.5, np.random.default_rng(0))
    x, subset = features.run(session, some, present), (present @ 2.0 ** np.arange(present.shape[1])).astype(int)
    answers = {name: head.answer(x) for name, head in fitted.items()}
    for name, head in fitted.items():
        if head.task.kind != REGRESSION:
            answers[name] = heads.softened(head.task.kind, answers[name], scales[name][subset])
    np.savez(path, allow_pickle=False, **{PRESENT: present}, **answers)


def answers(
    session: features.Session, recipe: Recipe, some: Rows, subset: Subset, levels: Mapping[int, float]
) -> dict[str, list[Array]]:
    """Task -> [probabilities], or [values, intervals], as the graph says them. `levels`: part -> degradation."""
    names = [each.name for each in session.get_outputs()]
    batch = degraded(recipe.parts, some, levels, np.random.default_rng(0))
    batch |= {PRESENT: np.tile(np.array(subset, FLOAT), (len(some), 1))}
    said = dict(zip(names, session.run(None, batch), strict=True))
    return {
        name: [said[f"{name}_value"], said[f"{name}_interval"]]
        if task.kind == REGRESSION
        else [said[f"{name}_probabilities"]]
        for name, task in recipe.tasks.items()
    }


def evaluate(folder: Path, console: Console) -> Evaluation:
    """On the rows of `test`; prints a table a task, draws."""
    recipe, run = read(folder / RECIPE), Run.model_validate_json((folder / RUN).read_text())
    test, parts = rows.load(folder / "test.npz"), list(recipe.parts)
    session = features.session(onnx.load(folder / GRAPH))

    def asked(some: Rows, subset: Subset, levels: Mapping[int, float]) -> dict[str, list[Array]]:
        return answers(session, recipe, some, subset, levels)

    quality: dict[str, dict[str, Scores]] = {name: {} for name in recipe.tasks}
    for subset in subsets(len(parts)):
        some = test.take(having(test, subset))
        said = asked(some, subset, {}) if len(some) else {}
        for name, task in recipe.tasks.items():
            if said and (scored := scores(task.kind, said[name], some.targets[name])):
                quality[name][title(subset, parts)] = scored
    found.add_guesses(quality, recipe.tasks, rows.load(folder / "valid.npz"), test)
    worse = curves(recipe.parts, recipe.tasks, test, asked)
    subset = found.largest(test)
    some = test.take(having(test, subset))
    said = asked(some, subset, {})
    pictures = {
        name: found.draw(name, task, said[name], some.targets[name], worse[name], folder)
        for name, task in recipe.tasks.items()
    }
    result = Evaluation(scores=quality, robustness=worse, pictures=pictures, notes=run.notes)
    (folder / EVALUATION).write_text(result.model_dump_json(indent=1))
    found.show(result, recipe.tasks, console)
    return result


def export(folder: Path, to: Path) -> float:
    """The bundle and its card; returns the largest difference between graph and scikit-learn. Raises ValueError."""
    if not (folder / EVALUATION).is_file():
        raise FileNotFoundError(f"no evaluation yet: python -m models evaluate {folder}")
    recipe, run = read(folder / RECIPE), Run.model_validate_json((folder / RUN).read_text())
    result, test = Evaluation.model_validate_json((folder / EVALUATION).read_text()), rows.load(folder / "test.npz")
    folder_for(to)
    for file in [GRAPH, *(file for part in recipe.parts.values() for file in part.input.files())]:
        shutil.copyfile(folder / file, to / file)
    example, row = read_example(folder, recipe.parts, to)
    row = filled(row, test.blank, list(test.blank))
    session = features.session(onnx.load(folder / GRAPH))
    names = [each.name for each in session.get_outputs()]
    values = session.run(None, {name: each[None] for name, each in row.items()})
    outputs = {name: each[0] for name, each in zip(names, values, strict=True)}
    described = {name: output(name, task, task.coverage, task.unit) for name, task in recipe.tasks.items()}
    prior = usual(recipe.tasks, test.targets)
    written = bundle.write(
        to, manifest(recipe.name, recipe.version, recipe.parts, described, (), prior), example, row, outputs
    )
    difference = parity(folder, recipe, Model(written), test)
    if not difference <= TOLERANCE:
        raise ValueError(f"the graph differs from scikit-learn by {difference:.2g}, allowed is {TOLERANCE:g}")
    for files in result.pictures.values():
        for name in files:
            shutil.copyfile(folder / name, to / name)
    (to / CARD).write_text(
        described_card(recipe, run, result, written.graph.stat().st_size, difference), encoding="utf-8"
    )
    return difference


def parity(folder: Path, recipe: Recipe, model: Model, test: Rows) -> float:
    """Relative to max(1, |x|): test rows with some of their parts, alone and all together."""
    expected = bundle.arrays(folder / EXPECTED)
    present = expected.pop(PRESENT)
    asked = [
        filled(row | {PRESENT: there}, test.blank, list(test.blank))
        for row, there in zip(test.rows[: len(present)], present, strict=True)
    ]
    worst = 0.0
    for got in ([model.run([row])[0] for row in asked], model.run(asked)):
        for i, answer in enumerate(got):
            for name, task in recipe.tasks.items():
                tensor = f"{name}_value" if task.kind == REGRESSION else f"{name}_probabilities"
                worst = max(worst, *differences({tensor: answer[tensor]}, {tensor: expected[name][i]}).values())
    return worst


def described_card(recipe: Recipe, run: Run, result: Evaluation, size: int, difference: float) -> str:
    how = {"parts": recipe.frozen or ", ".join(f"{name}: {said(part)}" for name, part in recipe.parts.items())}
    how["heads"] = ", ".join(f"{name}: {task.estimator.kind}" for name, task in recipe.tasks.items())
    how |= {"features": str(run.features), "seed": str(recipe.seed)}
    if run.spent:
        how["training"] = f"{run.spent.seconds:.0f} s" + ("" if recipe.frozen else ", without torch")
    if run.left_out:
        how["bad rows left out"] = str(run.left_out)
    how["graph"] = f"{size:,} bytes, within {difference:.1g} of scikit-learn"
    return card.write(
        title=f"{recipe.name} {recipe.version}",
        about=recipe.about,
        limits=recipe.limits,
        parts=recipe.parts,
        tasks=recipe.tasks,
        how=how,
        found=result,
        counts=run.rows,
    )


def said(part: object) -> str:
    return {"TextPart": "TF-IDF", "ImagePart": "statistics of a grid"}.get(type(part).__name__, "statistics of bands")
