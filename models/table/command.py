"""The steps of `python -m models` for a table: train, evaluate, export; each leaves in a folder what the next needs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.progress import Progress as Bars

from models.table import bundle, card, fit, measure, recipe, rows, scores
from models.table.columns import Plan
from models.table.evaluation import Evaluation
from models.table.fit import CHECKPOINT
from models.table.found import add_guesses, draw, largest, show
from models.table.network import Network
from models.table.pretrain import pretrain
from models.table.recipe import Recipe
from models.table.rows import Rows
from models.table.start import EVALUATION, RECIPE, RUN, Run, prepared
from service.bundle import CARD

CALIBRATED = "calibrated.pt"


def train(
    file: Path, data: Path, folder: Path, bars: Bars, console: Console, *, resume: bool, threads: int, skip: bool
) -> Run:
    """Raises BadRows before anything is trained; all of them are in the folder's bad-rows.txt, too."""
    chosen = recipe.read(file)
    return learn(chosen, data, folder, bars, console, resume=resume, threads=threads, skip=skip)


def learn(
    chosen: Recipe, data: Path, folder: Path, bars: Bars, console: Console, *, resume: bool, threads: int, skip: bool
) -> Run:
    """And what repeats it, each in a folder inside of the run's. `resume` does nothing again that is done."""
    torch.set_num_threads(threads)
    fit.device(chosen.training)
    require_files(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        forget(folder)
    elif (folder / RECIPE).is_file() and recipe.read(folder / RECIPE) != chosen:
        raise ValueError(f"{folder} was begun with another recipe: train without --resume, or into another --output")
    with bars:
        done = once(chosen, data, folder, bars, console, skip=skip)
        for k in range(1, chosen.repeats + 1):
            once(chosen.again(k), data, repeated(folder, k), bars, console, skip=skip)
    return done


def require_files(chosen: Recipe) -> None:
    """What the recipe names, before rows are read. Raises FileNotFoundError."""
    for name, part in chosen.parts.items():
        named = {key: getattr(part.encoder, key, None) for key in ("folder", "file", "weights")}
        for key, path in (*named.items(), ("path", getattr(getattr(part, "tokens", None), "path", None))):
            if path and not Path(path).exists():
                hint = "; `python -m models.minilm --weights FOLDER` fetches a small BERT" if key == "folder" else ""
                raise FileNotFoundError(f"part {name}: {key}: nothing at {path}, seen from {Path.cwd()}{hint}")


def once(chosen: Recipe, data: Path, folder: Path, bars: Bars, console: Console, *, skip: bool) -> Run:
    unlabelled = chosen.training.pretrain > 0
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed, unlabelled)
    splits, run = prepared(plan, data, folder, bars, console, skip=skip)
    (folder / RECIPE).write_text(yaml.safe_dump(chosen.model_dump(mode="json", exclude_unset=True), sort_keys=False))
    net = fit.build(chosen, run.vocabularies, splits["train"], folder)
    if unlabelled and not (folder / CHECKPOINT).exists():
        rebuilt(net, splits["train"], run.vocabularies, bars)
    splits["train"] = fit.taught(net, splits["train"])
    console.print(described(net, splits), markup=False, highlight=False)
    task = bars.add_task("training", total=fit.count(chosen.training, splits["train"]))

    def tell(at: fit.Progress) -> None:
        said = f"epoch {at.epoch}: loss {at.train:.3f}, valid {at.valid:.3f}, best {at.best:.3f}"
        bars.update(task, completed=at.step, description=said if at.epoch else "epoch 0")

    spent = fit.train(net, splits, folder, tell)
    bars.update(task, total=spent.epochs, completed=spent.epochs)  # it may have stopped before the last one
    done = run.model_copy(update={"spent": spent})
    (folder / RUN).write_text(done.model_dump_json(indent=1))
    return done


def described(net: Network, splits: Mapping[str, Rows]) -> str:
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    counts = ", ".join(f"{len(each)} {name}" for name, each in splits.items())
    return f"{trained:,} numbers to learn; rows: {counts}; at most {net.recipe.training.epochs} epochs"


def rebuilt(net: Network, rows: Rows, vocabularies: dict[str, int], bars: Bars) -> None:
    task = bars.add_task("pretraining", total=net.recipe.training.pretrain * len(net.recipe.parts))

    def tell(part: str, loss: float) -> None:
        bars.update(task, advance=1, description=f"pretraining {part}: loss {loss:.3f}")

    pretrain(net, rows, vocabularies, tell)


def repeated(folder: Path, k: int) -> Path:
    return folder / f"again-{k}"


def forget(folder: Path) -> None:
    """The next training begins anew."""
    for name in (CHECKPOINT, fit.BEST, CALIBRATED, EVALUATION, RUN):
        (folder / name).unlink(missing_ok=True)
    for old in folder.glob("again-*"):
        shutil.rmtree(old)


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
    chosen, net, test, notes = judged(folder)
    again = []
    for k in range(1, chosen.repeats + 1):
        _, other, unseen, _ = judged(repeated(folder, k))
        again.append(measure.quality(other, unseen))
    quality, robustness = measure.quality(net, test), measure.robustness(net, test)
    add_guesses(quality, chosen.tasks, rows.load(folder / "valid.npz"), test)
    found = Evaluation(scores=quality, robustness=robustness, pictures={}, notes=notes, again=again)
    found = found.model_copy(update={"pictures": drawn(net, test, found, folder)})
    (folder / EVALUATION).write_text(found.model_dump_json(indent=1))
    show(found, chosen.tasks, console)
    return found


def judged(folder: Path) -> tuple[Recipe, Network, Rows, list[str]]:
    """A trained network, calibrated, which is kept; the rows to measure it on; what could not be calibrated."""
    chosen, _, net = restored(folder, fit.BEST)
    notes = measure.calibrate(net, rows.load(folder / "valid.npz"))
    fit.keep(folder / CALIBRATED, net.state_dict())
    return chosen, net, rows.load(folder / "test.npz"), notes


def drawn(net: Network, test: Rows, found: Evaluation, folder: Path) -> dict[str, list[str]]:
    """Task -> pictures, in the run's folder."""
    subset = largest(test)
    some = test.take(scores.having(test, subset))
    said = measure.answers(net, measure.ask(net, some, subset), subset)
    return {
        name: draw(name, task, said.get(name), some.targets[name], found.robustness[name], folder)
        for name, task in net.recipe.tasks.items()
    }


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
    how |= {"fusion": chosen.fusion.kind} if chosen.labelled else {}
    how |= {"parameters": f"{parameters:,}", "seed": str(chosen.seed)}
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
        found=found,
        counts=run.rows,
    )
    (to / CARD).write_text(text, encoding="utf-8")
    return difference
