"""Trained networks to the card's table: accuracy and calibration error of the 7 subsets in each condition."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from models.network import Network
from models.pools import Pool, collate
from service.types import Array

BATCH = 500
TRIPLES = 5_000


Subset = tuple[int, ...]  # 1 where the part is there


class Scores(NamedTuple):
    accuracy: float  # 0..1
    ece: float  # 0..1


class Said(NamedTuple):
    """What a network said of random same-class combinations: subset -> (N, classes) logits, and the truth (N,)."""

    logits: dict[Subset, Tensor]
    labels: Tensor

    @classmethod
    def joined(cls, several: Sequence["Said"]) -> "Said":
        logits = {subset: torch.cat([said.logits[subset] for said in several]) for subset in several[0].logits}
        return cls(logits, torch.cat([said.labels for said in several]))


def subsets(parts: int) -> list[Subset]:
    """All but the empty one, single parts first: (1, 0, 0), ..., (1, 1, 1)."""
    return sorted(
        (each for each in product((0, 1), repeat=parts) if any(each)), key=lambda each: (sum(each), [-x for x in each])
    )


@torch.no_grad()
def ask(net: Network, pools: Mapping[str, Pool], rng: Generator) -> Said:
    """Each part is encoded once; the combinations are of what came out."""
    labels = rng.choice(pools["audio"].labels, TRIPLES)
    hidden = torch.stack([encoded(net, part, pool)[draw(pool, labels, rng)] for part, pool in pools.items()], 1)
    logits = {}
    for subset in subsets(len(pools)):
        present = torch.tensor(subset, dtype=torch.float32).expand(TRIPLES, -1)
        h, _ = net.fusion(hidden * present[..., None], present)
        logits[subset] = net.head(h)
    return Said(logits, torch.from_numpy(labels))


def encoded(net: Network, part: str, pool: Pool) -> Tensor:
    """(N, width); sorted by length first, so that batches hold little padding."""
    order = np.argsort([next(iter(row.values())).shape[-1] for row in pool.rows], kind="stable")
    parts = [
        net.part(part, collate([pool.rows[i] for i in order[at : at + BATCH]])) for at in range(0, len(order), BATCH)
    ]
    return torch.cat(parts)[np.argsort(order)]


def draw(pool: Pool, labels: Array, rng: Generator) -> Array:
    """For each label a random sample of that class."""
    chosen = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        wanted = labels == label
        chosen[wanted] = rng.choice(np.flatnonzero(pool.labels == label), int(wanted.sum()))
    return chosen


def score(logits: Tensor, labels: Tensor, temperature: float, bins: int = 15) -> Scores:
    """Expected calibration error over equally wide bins (Naeini et al., AAAI 2015)."""
    confidence, answer = (logits / temperature).softmax(1).max(1)
    right = (answer == labels).float()
    place = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins).index_add(0, place, confidence - right)
    return Scores(right.mean().item(), gap.abs().sum().item() / len(labels))


def temperature(several: Sequence[Said], subset: Subset) -> float:
    """The T that makes the truth most likely (Guo et al., 2017), over what several networks said."""
    said = Said.joined(several)
    grid = torch.logspace(-0.6, 0.6, 61)
    losses = [functional.cross_entropy(said.logits[subset] / t, said.labels) for t in grid]
    return grid[int(torch.stack(losses).argmin())].item()


def others(said: Sequence[Said], subset: Subset) -> list[float]:
    """For each run the temperature of the other runs, so that no speaker calibrates itself."""
    return [temperature([*said[:i], *said[i + 1 :]] or said, subset) for i in range(len(said))]


def mean(said: Sequence[Said], subset: Subset, temperatures: Sequence[float]) -> Scores:
    """Over the runs."""
    each = [score(one.logits[subset], one.labels, t) for one, t in zip(said, temperatures, strict=True)]
    return Scores(*(float(np.mean(values)) for values in zip(*each, strict=True)))
