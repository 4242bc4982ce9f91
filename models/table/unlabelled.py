"""What a network learns of rows without an answer: one space for all parts, and how each part usually is.

Each is a module: forward(hidden (B, M, width), batch) -> raw (B, M, ...); loss(raw, targets, there (B, M)); and
served(raw, present (B, M)) -> the answer. Parts that a row has not count in none of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor, nn

from models.heads.classify import UNKNOWN, subset
from models.heads.embed import Embedder, EmbeddingSpec
from models.heads.reconstruct import AnomalySpec, fields, frames, words
from models.table.columns import Column, bands

Batch = Mapping[str, Tensor]  # tensor name -> (B, ...)
MOST_WORDS = 1024  # numbers that tokens fall into; of larger vocabularies several tokens share one
STRETCHES, SIDE = 8, 8  # of a sound, of a picture
LOUD = 32  # stretches of samples


class Space(nn.Module):
    """Vectors of one space; that of a row is the mean direction of those of its parts."""

    def __init__(self, parts: int, width: int, spec: EmbeddingSpec) -> None:
        super().__init__()
        self.embedder = Embedder(parts, width, spec)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        """(B, M, dimensions)."""
        vectors: Tensor = self.embedder(hidden)
        return vectors

    def loss(self, raw: Tensor, groups: Tensor, there: Tensor) -> Tensor:
        """`groups` (B,) int64: rows of one group are not held against each other; UNKNOWN is a group of its own."""
        own = -2 - torch.arange(len(groups), device=groups.device)
        return self.embedder.loss(raw.float(), there, torch.where(groups == UNKNOWN, own, groups))

    def served(self, raw: Tensor, present: Tensor) -> Tensor:
        """(B, dimensions), of length 1."""
        return self.embedder.joined(raw, present)


class Usual(nn.Module):
    """Each part's summary x_i, standardised, is rebuilt from a short code of its hidden vector h_i:
    error_i = mean((decode(code(h_i)) - x_i)^2); score = the mean error of the parts that are present, divided by what
    `share` of usual rows stay below. It may look at some of the parts only; without one of them the score is 0.

    What is rebuilt does not depend on what is trained, so encoders learn from it, too. Call `fit` before training.
    """

    def __init__(self, summaries: Mapping[int, "Summary"], width: int, spec: AnomalySpec) -> None:
        """`summaries`: number of a part -> what of it is to be rebuilt."""
        super().__init__()
        self.summaries, self.share = dict(summaries), spec.share
        self.parts = list(summaries)
        sizes = [each.size for each in summaries.values()]
        self.layers = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(width, spec.inner), nn.ReLU(), nn.Linear(spec.inner, spec.code)),
                *(nn.Linear(spec.code, spec.inner), nn.ReLU(), nn.Linear(spec.inner, size)),
            )
            for size in sizes
        )
        self.places = [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        self.mean, self.std = nn.Buffer(torch.zeros(sum(sizes))), nn.Buffer(torch.ones(sum(sizes)))
        self.usual = nn.Buffer(torch.ones(2 ** len(sizes)))  # by the number of the subset of these parts
        self.powers = nn.Buffer(2.0 ** torch.arange(len(sizes)))

    @torch.no_grad()
    def fit(self, part: int, summaries: Tensor) -> None:
        """(N, size) of training rows that have the part."""
        place = self.places[self.parts.index(part)]
        self.mean[place] = summaries.mean(0)
        std = summaries.std(0, correction=0)
        self.std[place] = torch.where(std > 1e-6, std, 1.0)  # what never changes tells by its distance

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        """(B, M'): the error of each part that it looks at."""
        errors = []
        for part, layers, place in zip(self.parts, self.layers, self.places, strict=True):
            target = (self.summaries[part](batch) - self.mean[place]) / self.std[place]
            errors.append((layers(hidden[:, part]) - target).square().mean(1))
        return torch.stack(errors, 1)

    def loss(self, raw: Tensor, unusual: Tensor, there: Tensor) -> Tensor:
        """The mean error of what is there, of rows that are not known to be unusual (B, 1)."""
        counted = there[:, self.parts] * (unusual != 1)
        return (raw * counted).sum() / counted.sum().clamp(min=1)

    def error(self, raw: Tensor, present: Tensor) -> Tensor:
        """(B,)."""
        there = present[:, self.parts]
        return torch.where(there > 0, raw, 0.0).sum(1) / there.sum(1).clamp(min=1)

    def looks(self, present: Sequence[int]) -> bool:
        """Whether any of these parts (M,) says something."""
        return any(present[part] for part in self.parts)

    def calibrate(self, present: Sequence[int], errors: Tensor) -> None:
        """Of usual rows (N,) that were not trained on, with these parts (M,). Raises ValueError where they are too few;
        then their largest is taken."""
        number = sum(present[part] << i for i, part in enumerate(self.parts))
        rank = math.ceil(round((len(errors) + 1) * self.share, 9))
        self.usual[number] = errors.sort().values[min(rank, len(errors)) - 1].clamp(min=1e-6)
        if rank > len(errors):
            least = math.ceil(round(self.share / (1 - self.share), 9))
            raise ValueError(f"{len(errors)} usual rows cannot tell what {self.share:.0%} stay below: {least} can")

    def served(self, raw: Tensor, present: Tensor) -> Tensor:
        """(B, 1); over 1 is what few usual rows are."""
        score = self.error(raw, present) / self.usual[subset(present[:, self.parts], self.powers)]
        return score[:, None]


class Summary:
    """A part's tensors of a batch to a few numbers (B, size) that are to be rebuilt: means of a picture's fields, of
    stretches of a sound's bands or of its samples' sizes; which tokens a text has."""

    def __init__(self, column: Column, vocabulary: int) -> None:
        self.names = list(column.input.tensors.model_dump(exclude_none=True).values())
        self.of, self.size = summary(column, vocabulary)

    def __call__(self, batch: Batch) -> Tensor:
        """(B, size)."""
        return self.of(*(batch[name] for name in self.names))


def summary(column: Column, vocabulary: int) -> tuple[Callable[..., Tensor], int]:
    if column.kind == "text":
        count = max(1, min(vocabulary, MOST_WORDS))
        return partial(tokens, count=count), count
    if column.kind == "image":
        return partial(fields, side=SIDE), column.input.depths * SIDE * SIDE
    if not bands(column):
        return loudness, LOUD
    return partial(frames, count=STRETCHES), bands(column) * STRETCHES


def tokens(ids: Tensor, mask: Tensor, count: int) -> Tensor:
    """ids, mask (B, T) -> (B, count): 1 where a token of that number, modulo `count`, occurs."""
    return words(ids % count, mask, count)


def loudness(samples: Tensor, mask: Tensor) -> Tensor:
    """samples, mask (B, N) -> (B, LOUD): the mean size of stretches."""
    return frames(samples.abs()[:, None], mask, LOUD)


def build(spec: object, parts: Mapping[str, Column], vocabularies: Mapping[str, int], width: int) -> Space | Usual:
    """`spec` is the head of a task without labels."""
    if isinstance(spec, EmbeddingSpec):
        return Space(len(parts), width, spec)
    assert isinstance(spec, AnomalySpec)
    chosen = {i: (name, part) for i, (name, part) in enumerate(parts.items()) if not spec.parts or name in spec.parts}
    return Usual({i: Summary(part, vocabularies.get(name, 0)) for i, (name, part) in chosen.items()}, width, spec)
