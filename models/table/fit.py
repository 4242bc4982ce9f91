"""Rows of a table to a trained network: batches that lose parts, a checkpoint an epoch, early stopping."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from models.encoders.bag import Bag
from models.encoders.word2vec import Vectors
from models.table.check import unknown
from models.table.columns import tensors
from models.table.degrade import degrade
from models.table.network import Network
from models.table.recipe import Recipe, TextPart, Training
from models.table.rows import Rows, fewer
from models.table.start import Spent
from models.table.unlabelled import Summary, Usual
from models.tokens import known
from service.types import Array, Row

LARGE = 256  # rows of a batch that is not trained on
CPU = torch.device("cpu")
CHECKPOINT, BEST = "checkpoint.pt", "best.pt"


class Progress(NamedTuple):
    epoch: int  # that is done
    step: int  # of all epochs
    train: float  # loss
    valid: float
    best: float


def device(training: Training) -> torch.device:
    """Raises ValueError where CUDA is asked for and is not there."""
    there = torch.cuda.is_available()
    if training.device == "cuda" and not there:
        raise ValueError("training.device: cuda, but torch finds no such device")
    chosen = torch.device("cuda" if there and training.device != "cpu" else "cpu")
    if training.precision == "float16" and chosen.type == "cpu":
        raise ValueError("training.precision: float16 needs CUDA; bfloat16 does not")
    return chosen


def build(recipe: Recipe, vocabularies: Mapping[str, int], train: Rows | None, folder: Path) -> Network:
    """With vocabularies, word vectors and scales of the rows that are trained on, if they are given."""
    torch.manual_seed(recipe.seed)
    net = Network(recipe, vocabularies)
    if train is None:
        return net
    for part, encoder in zip(recipe.parts.values(), net.encoders, strict=True):
        if isinstance(part, TextPart):
            if isinstance(encoder, Vectors) and encoder.spec.file:
                encoder.load(Path(encoder.spec.file), known(folder / part.input.tokenizer))
            elif isinstance(encoder, Bag | Vectors):
                ids = part.input.tensors.ids
                encoder.fit([row[ids] for row in train.rows if ids in row])
    net.fit({task: torch.from_numpy(values) for task, values in train.targets.items()})
    for usual in (each for each in net.free.values() if isinstance(each, Usual)):
        for i, summary in usual.summaries.items():
            usual.fit(i, summaries(summary, train, i))
    return net


def summaries(summary: Summary, train: Rows, part: int) -> Tensor:
    """(N, size) of rows that have the part."""
    chosen = np.flatnonzero(train.present[:, part])
    pieces = [chosen[at : at + LARGE] for at in range(0, len(chosen), LARGE)]
    return torch.cat([summary(tensor(train.take(piece).batch(), CPU)) for piece in pieces])


def taught(net: Network, rows: Rows) -> Rows:
    """Without those that no task learns from."""
    if net.free:
        return rows
    known = [~unknown(values).reshape(len(rows), -1) for values in rows.targets.values()]
    return rows.take(np.flatnonzero(np.concatenate(known, 1).any(1)))


def tensor(arrays: Mapping[str, Array], where: torch.device) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values).to(where) for name, values in arrays.items()}


def varied(recipe: Recipe, rows: Rows, rng: np.random.Generator) -> tuple[Row, Array]:
    """A batch with some of its parts degraded, and (B, M) what of it is kept."""
    batch, share = rows.batch(), recipe.training.degraded
    for i, part in enumerate(recipe.parts.values()):
        names = tensors(part.input)
        worse = (rng.random(len(rows)) < share) & (rows.present[:, i] > 0)
        level = np.where(worse, rng.random(len(rows)), 0)
        batch |= dict(zip(names, degrade(part.kind, [batch[name] for name in names], level, rng), strict=True))
    return batch, fewer(rows.present, recipe.training.complete, rng)


def batches(count: int, size: int, rng: np.random.Generator) -> list[Array]:
    """All rows once, in any order; none alone, for batch norm."""
    order = rng.permutation(count)
    parts = math.ceil(count / size)
    return [part for part in np.array_split(order, parts) if len(part) > 1]


def train(net: Network, rows: Mapping[str, Rows], folder: Path, tell: Callable[[Progress], None]) -> Spent:
    """In place; `net` holds the best weights at the end. Goes on from a checkpoint in `folder` where there is one."""
    recipe, training = net.recipe, net.recipe.training
    where = device(training)
    net.to(where)
    steps = count(training, rows["train"])
    if not steps:
        raise ValueError("one row is too few to train on")
    optimizer = AdamW([p for p in net.parameters() if p.requires_grad], training.rate, weight_decay=training.decay)
    schedule = OneCycleLR(optimizer, training.rate, steps, pct_start=0.15)
    fresh = {"epoch": 0, "best": math.inf, "at": 0, "seconds": 0.0, "loss": math.nan, "valid": math.nan}
    state = fresh | resume(folder, net, optimizer, schedule)

    def step(done: int) -> None:
        at = int(state["epoch"])
        each = steps // training.epochs
        tell(Progress(at, at * each + done, state["loss"], state["valid"], state["best"]))

    while state["epoch"] < training.epochs and state["epoch"] - state["at"] < training.patience:
        start = time.perf_counter()
        state["loss"] = epoch(net, rows["train"], int(state["epoch"]), optimizer, schedule, where, step)
        valid = state["valid"] = validate(net, rows["valid"], where)
        state["epoch"] += 1
        state["seconds"] += time.perf_counter() - start
        if valid < state["best"]:
            state["best"], state["at"] = valid, state["epoch"]
            keep(folder / BEST, net.state_dict())
        states = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        keep(folder / CHECKPOINT, {"state": state, **states})
        step(0)
    if not (folder / BEST).exists():
        raise ValueError(f"training of {recipe.name} did not learn anything: no loss was finite; try a smaller rate")
    net.load_state_dict(torch.load(folder / BEST, weights_only=True, map_location=where))
    net.to("cpu").eval()
    return Spent(int(state["epoch"]), int(state["at"]), float(state["seconds"]), float(state["best"]))


def count(training: Training, rows: Rows) -> int:
    """Steps of all epochs."""
    return training.epochs * len(batches(len(rows), training.batch, np.random.default_rng(0)))


def epoch(
    net: Network,
    rows: Rows,
    number: int,
    optimizer: AdamW,
    schedule: OneCycleLR,
    where: torch.device,
    step: Callable[[int], None],
) -> float:
    """The mean loss."""
    training = net.recipe.training
    torch.manual_seed(net.recipe.seed + number)  # dropout is the same in a resumed run
    rng = np.random.default_rng([net.recipe.seed, number])
    scaler = torch.amp.GradScaler(where.type, enabled=training.precision == "float16")
    net.train()
    losses = []
    for chosen in batches(len(rows), training.batch, rng):
        some = rows.take(chosen)
        batch, kept = varied(net.recipe, some, rng)
        present, there = (torch.from_numpy(each).to(where) for each in (kept, some.present))
        with autocast(training, where):
            answer = net(tensor(batch, where), present, there)
        loss = net.loss(answer, tensor(some.targets, where), present, there)
        optimizer.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch
        scaler.unscale_(optimizer)
        clip_grad_norm_(net.parameters(), training.clip)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        losses.append(loss.item())
        step(len(losses))
    return float(np.mean(losses))


def autocast(training: Training, where: torch.device) -> contextlib.AbstractContextManager[None]:
    if training.precision == "float32":
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if training.precision == "bfloat16" else torch.float16
    return torch.autocast(where.type, dtype)


@torch.no_grad()
def validate(net: Network, rows: Rows, where: torch.device) -> float:
    """The loss of unseen rows as they are, nothing left out."""
    net.eval()
    total = 0.0
    for at in range(0, len(rows), LARGE):
        some = rows.take(np.arange(at, min(at + LARGE, len(rows))))
        present = torch.from_numpy(some.present).to(where)
        answer = net(tensor(some.batch(), where), present)
        total += net.loss(answer, tensor(some.targets, where), present, present).item() * len(some)
    return total / len(rows)


def keep(path: Path, states: object) -> None:
    partial = path.with_suffix(".partial")
    torch.save(states, partial)
    partial.replace(path)


def resume(folder: Path, net: Network, optimizer: AdamW, schedule: OneCycleLR) -> dict[str, float]:
    if not (folder / CHECKPOINT).exists():
        return {}
    states = torch.load(folder / CHECKPOINT, weights_only=True)
    net.load_state_dict(states["net"])
    optimizer.load_state_dict(states["optimizer"])
    schedule.load_state_dict(states["schedule"])
    return dict(states["state"])
