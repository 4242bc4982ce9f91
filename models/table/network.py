"""Encoders, fusion, heads of a table's recipe in one: any subset of the parts to every task's answer."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from models.heads import Calibrated, subset
from models.heads.classify import UNKNOWN, Several, Single
from models.heads.regress import Regressor
from models.table.columns import CLASSIFICATION, REGRESSION, bands, tensors
from models.table.manifest import WEIGHTS
from models.table.recipe import AudioPart, ImagePart, Recipe, TextPart

Batch = Mapping[str, Tensor]  # tensor name -> (B, ...)
Top = Single | Several | Regressor
SPACES = {"classification": "softmax", "multilabel": "sigmoid", "regression": "value"}


class Answer(NamedTuple):
    """By task: what its head says, and what each part would say by itself."""

    raw: dict[str, Tensor]  # (B, K)
    alone: dict[str, Tensor]  # (B, M, K)
    weights: Tensor  # (B, M)


class Reach(nn.Module):
    """Half an interval in standard deviations, one for each subset of parts and each value."""

    def __init__(self, parts: int, values: int) -> None:
        super().__init__()
        self.reach = nn.Buffer(torch.full((2**parts, values), 1.645))  # of 90 % of a normal distribution
        self.powers = nn.Buffer(2.0 ** torch.arange(parts))

    def forward(self, present: Tensor) -> Tensor:
        """(B, M) -> (B, values)."""
        reach: Tensor = self.reach[subset(present, self.powers)]
        return reach


class Network(nn.Module):
    def __init__(self, recipe: Recipe, vocabularies: Mapping[str, int]) -> None:
        """Raises ValueError, FileNotFoundError where a part's encoder cannot be built."""
        super().__init__()
        self.recipe, width = recipe, recipe.width
        self.names = [tensors(part.input) for part in recipe.parts.values()]
        self.tasks = list(recipe.tasks)
        self.encoders = nn.ModuleList(
            encoder(part, vocabularies.get(name, 0), width) for name, part in recipe.parts.items()
        )
        count, sizes = len(recipe.parts), [task.size for task in recipe.tasks.values()]
        inner = [width, *recipe.dense]
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(inner)]
        self.dense = nn.Sequential(*layers)
        specs = [task.head for task in recipe.tasks.values()]
        self.heads = nn.ModuleList(spec.build(inner[-1], size) for spec, size in zip(specs, sizes, strict=True))
        self.alone = nn.ModuleList(
            nn.ModuleList(spec.build(width, size) for _ in recipe.parts)
            for spec, size in zip(specs, sizes, strict=True)
        )
        self.fusions = nn.ModuleList(self._fusions(count, width))
        self.calibrated = nn.ModuleList(
            Reach(count, task.size) if task.kind == REGRESSION else Calibrated(count, space(task.kind))
            for task in recipe.tasks.values()
        )

    def _fusions(self, count: int, width: int) -> list[nn.Module]:
        """One of hidden vectors, or one of predictions for each task."""
        fusion = self.recipe.fusion
        if not self.recipe.late:
            return [fusion.build(count, width)]
        made: list[nn.Module] = []
        for task, head in zip(self.recipe.tasks.values(), self.tops, strict=True):
            rows = head.linear.out_features
            made.append(fusion.model_copy(update={"space": SPACES[task.kind]}).build(count, rows))
        return made

    @property
    def tops(self) -> list[Top]:
        """The head of each task."""
        return cast("list[Top]", list(self.heads))

    @property
    def lone(self) -> list[list[Top]]:
        """For each task the heads that see one part."""
        return [cast("list[Top]", list(cast("nn.ModuleList", each))) for each in self.alone]

    @property
    def scales(self) -> list[Calibrated | Reach]:
        """What makes each task's answer mean what it says."""
        return cast("list[Calibrated | Reach]", list(self.calibrated))

    def fit(self, targets: Mapping[str, Tensor]) -> None:
        """Training targets: scales of values, weights of rare classes."""
        for name, head, alone in zip(self.tasks, self.tops, self.lone, strict=True):
            for each in (head, *alone):
                each.fit(targets[name])

    def forward(self, batch: Batch, present: Tensor) -> Answer:
        hidden = self.encode(batch, present)
        alone = {
            name: torch.stack([head(hidden[:, i]) for i, head in enumerate(heads)], 1)
            for name, heads in zip(self.tasks, self.lone, strict=True)
        }
        raw, weights = self.answer(hidden, alone, present)
        return Answer(raw, alone, weights)

    def answer(self, hidden: Tensor, alone: Mapping[str, Tensor], present: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        if self.recipe.late:
            fused = [fusion(alone[name], present) for name, fusion in zip(self.tasks, self.fusions, strict=True)]
            return {name: raw for name, (raw, _) in zip(self.tasks, fused, strict=True)}, fused[0][1]
        h, weights = self.fusions[0](hidden, present)
        h = self.dense(h)
        return {name: head(h) for name, head in zip(self.tasks, self.heads, strict=True)}, weights

    def encode(self, batch: Batch, present: Tensor) -> Tensor:
        """(B, M, width), zeros for what is absent, whatever its slot holds."""
        parts = [
            encode(*(batch[name] for name in names)) for encode, names in zip(self.encoders, self.names, strict=True)
        ]
        return torch.where(present[..., None] > 0, torch.stack(parts, 1), 0.0)

    def loss(self, answer: Answer, targets: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """Of the fused answers, and with a smaller weight of what each part says alone."""
        total = torch.zeros((), device=present.device)
        for (name, task), head, alone in zip(self.recipe.tasks.items(), self.tops, self.lone, strict=True):
            loss = head.loss(answer.raw[name].float(), targets[name])
            for i, single in enumerate(alone):
                raw = answer.alone[name][:, i].float()
                loss = loss + self.recipe.training.alone / len(alone) * single.loss(
                    raw, masked(targets[name], present[:, i])
                )
            total = total + task.weight * loss
        return total

    def served(self, batch: Batch, present: Tensor) -> list[Tensor]:
        """Each task's probabilities, or its values and their intervals; the weights of the parts at last."""
        answer = self(batch, present)
        out = []
        for name, head, calibrated in zip(self.recipe.tasks, self.tops, self.scales, strict=True):
            if isinstance(head, Regressor):
                out += spread(head, answer.raw[name], calibrated(present))
            else:
                out.append(calibrated(answer.raw[name], present))
        return [*out, answer.weights]

    def outputs(self) -> list[str]:
        """The graph's names of what `served` gives."""
        names = []
        for name, task in self.recipe.tasks.items():
            names += [f"{name}_value", f"{name}_interval"] if task.kind == REGRESSION else [f"{name}_probabilities"]
        return [*names, WEIGHTS]


def space(kind: str) -> Literal["softmax", "sigmoid"]:
    return "softmax" if kind == CLASSIFICATION else "sigmoid"


def spread(head: Regressor, raw: Tensor, reach: Tensor) -> list[Tensor]:
    """(B, values) and (B, values, 2), in their units."""
    mean, s = head.split(raw)
    half = s * reach
    interval = torch.stack((mean - half, mean + half), -1) * head.std[:, None] + head.mean[:, None]
    return [mean * head.std + head.mean, interval]


def masked(targets: Tensor, present: Tensor) -> Tensor:
    """Not known where the part is absent."""
    if targets.dtype == torch.int64:
        return torch.where(present > 0, targets, UNKNOWN)
    return torch.where(present[:, None] > 0, targets, torch.nan)


def encoder(part: TextPart | ImagePart | AudioPart, vocabulary: int, width: int) -> nn.Module:
    if isinstance(part, TextPart):
        return part.encoder.build(vocabulary, width)
    if isinstance(part, ImagePart):
        return part.encoder.build(part.input.depths, width)
    return part.encoder.build(bands(part), width)
