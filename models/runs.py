"""A recipe to its runs: some without a group of speakers, to calibrate and estimate, and the one that is served."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from rich.progress import Progress

from models import evaluate, prepare, train
from models.datasets.digits import Digits
from models.evaluate import Said, Scores, Subset
from models.network import Network
from models.pools import Pool
from models.recipe import Recipe

FINAL = "final"
FITTED = ["clean", "drawn, recorded"]  # the conditions that temperatures are fitted to
IMAGE, AUDIO = (0, 1, 0), (0, 0, 1)


class Evaluation(BaseModel):
    """What `evaluate` found; `export` puts the temperatures into the graph and the tables into the card."""

    temperature: list[float]  # by the number of the subset, part i being bit i
    unseen: dict[str, list[Scores]]  # condition -> each subset; speakers, templates, noises and pictures all unseen
    speakers: dict[str, float]  # left out -> accuracy of its clean recordings alone
    served: dict[str, float]  # condition -> accuracy of unseen pictures alone, by the network that is served


class Run(NamedTuple):
    """`left_out` speakers are not trained on. Held templates are not in any run.

    A run without speakers borrows the encoders of texts and pictures from the final one: they never heard a speaker.
    """

    name: str
    left_out: list[str]
    steps: int

    def pools(self, pools: dict[str, Pool]) -> dict[str, Pool]:
        return {**pools, "text": pools["text"].without(["held"]), "audio": pools["audio"].without(self.left_out)}


def runs(recipe: Recipe) -> list[Run]:
    folds = [Run(f"without-{'-'.join(group)}", group, recipe.training.fold_steps) for group in recipe.folds]
    return [Run(FINAL, [], recipe.training.steps), *folds]


def execute(recipe: Recipe, data: Digits, work: Path, progress: Progress) -> None:
    """Trains all runs; those that are done, or half done, are not begun again."""
    vocabulary = prepare.constants(recipe, work)
    pools = prepare.training_pools(recipe, data, work, progress)
    final, *_ = runs(recipe)
    for run in runs(recipe):
        torch.manual_seed(recipe.seed)
        net, sampler = train.network(recipe, vocabulary), train.Sampler(recipe, run.pools(pools))
        if run != final:
            net.borrow(network(recipe, work, final), ["text", "image"])
        task = progress.add_task(run.name, total=run.steps)
        tell = teller(progress, task, run.name)
        train.train(net, sampler, recipe.training, run.steps, checkpoint(work, run), tell)


def teller(progress: Progress, task: int, name: str) -> Callable[[int, float], None]:
    def tell(step: int, loss: float) -> None:
        progress.update(task, completed=step, description=f"{name}  loss {loss:.3f}")  # type: ignore[arg-type]  # TaskID

    return tell


def checkpoint(work: Path, run: Run) -> Path:
    return work / "runs" / f"{run.name}.pt"


def network(recipe: Recipe, work: Path, run: Run) -> Network:
    if not checkpoint(work, run).exists():
        raise FileNotFoundError(f"no trained run {run.name} in {work}: `python -m models train {recipe.name}` makes it")
    return train.restore(checkpoint(work, run), train.network(recipe, prepare.constants(recipe, work)))


def measure(recipe: Recipe, data: Digits, work: Path, progress: Progress) -> Evaluation:
    """The runs without some speakers on exactly those, on held templates, kept noises and pictures of the test half."""
    pools = prepare.evaluation_pools(recipe, data, work, progress)
    final, *folds = runs(recipe)
    said: dict[str, list[Said]] = {condition: [] for condition in pools}
    for run in folds:
        net, rng = network(recipe, work, run), np.random.default_rng(recipe.seed)
        for condition, parts in pools.items():
            unseen = {**parts, "audio": parts["audio"].only(run.left_out)}
            said[condition].append(evaluate.ask(net, unseen, rng))
    net = network(recipe, work, final)
    subsets = evaluate.subsets(len(recipe.inputs))
    fitted = [Said.joined([said[condition][i] for condition in FITTED]) for i in range(len(folds))]
    crossed = {subset: evaluate.others(fitted, subset) for subset in subsets}
    return Evaluation(
        temperature=[1.0, *(evaluate.temperature(fitted, subset) for subset in sorted(subsets, key=number))],
        unseen={
            condition: [evaluate.mean(answers, subset, crossed[subset]) for subset in subsets]
            for condition, answers in said.items()
        },
        speakers={", ".join(run.left_out): accuracy(said["clean"][i], AUDIO) for i, run in enumerate(folds)},
        served={
            condition: accuracy(evaluate.ask(net, {**parts}, np.random.default_rng(recipe.seed)), IMAGE)
            for condition, parts in pools.items()
        },
    )


def number(subset: Subset) -> int:
    """Of the subset, part i being bit i; as heads.subset."""
    return sum(there << i for i, there in enumerate(subset))


def accuracy(said: Said, subset: Subset) -> float:
    return evaluate.score(said.logits[subset], said.labels, 1.0).accuracy


def forget(work: Path) -> None:
    """The next training begins anew; samples are kept."""
    for file in (work / "runs").glob("*.pt"):
        file.unlink()
