"""Encoders, fusion, heads of a table's recipe in one: any subset of the parts to every task's answer."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from models.heads import Calibrated, subset
from models.heads.classify import UNKNOWN, ClassificationSpec, MultilabelSpec, Several, Single
from models.heads.regress import RegressionSpec, Regressor
from models.table.columns import CLASSIFICATION, REGRESSION, Column, bands, tensors
from models.table.manifest import WEIGHTS, answers
from models.table.recipe import AudioPart, ImagePart, Recipe, Task, TextPart
from models.table.unlabelled import Batch, Space, Usual
from models.table.unlabelled import build as unlabelled

Top = Single | Several | Regressor
SPACES = {"classification": "softmax", "multilabel": "sigmoid", "regression": "value"}


class Answer(NamedTuple):
    """By task: what its head says, and what each part would say by itself."""

    raw: dict[str, Tensor]  # (B, K); of a task without labels (B, M, ...)
    alone: dict[str, Tensor]  # (B, M, K)
    weights: Tensor | None  # (B, M), of a fusion


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
        self.labelled = recipe.labelled
        self.encoders = nn.ModuleList(
            encoder(part, vocabularies.get(name, 0), width) for name, part in recipe.parts.items()
        )
        count, tasks = len(recipe.parts), self.labelled.values()
        inner = [width, *recipe.dense]
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(inner)]
        self.dense = nn.Sequential(*layers)
        self.heads = nn.ModuleList(top(task, inner[-1]) for task in tasks)
        self.alone = nn.ModuleList(nn.ModuleList(top(task, width) for _ in recipe.parts) for task in tasks)
        self.fusions = nn.ModuleList(self._fusions(count, width) if tasks else [])
        self.calibrated = nn.ModuleList(
            Reach(count, task.size) if task.kind == REGRESSION else Calibrated(count, space(task.kind))
            for task in tasks
        )
        self.unlabelled = nn.ModuleList(
            unlabelled(task.head, recipe.parts, vocabularies, width)
            for name, task in recipe.tasks.items()
            if name not in self.labelled
        )

    def _fusions(self, count: int, width: int) -> list[nn.Module]:
        """One of hidden vectors, or one of predictions for each task."""
        fusion = self.recipe.fusion
        if not self.recipe.late:
            return [fusion.build(count, width)]
        return [
            fusion.model_copy(update={"space": SPACES[task.kind]}).build(count, task.size)
            for task in self.labelled.values()
        ]

    @property
    def columns(self) -> Mapping[str, Column]:
        return self.recipe.parts

    @property
    def tops(self) -> list[Top]:
        """The head of each task with labels."""
        return cast("list[Top]", list(self.heads))

    @property
    def free(self) -> dict[str, Space | Usual]:
        """What answers each task without labels."""
        names = [name for name in self.recipe.tasks if name not in self.labelled]
        return dict(zip(names, cast("list[Space | Usual]", list(self.unlabelled)), strict=True))

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
        for name, head, alone in zip(self.labelled, self.tops, self.lone, strict=True):
            for each in (head, *alone):
                each.fit(targets[name])

    def forward(self, batch: Batch, present: Tensor, there: Tensor | None = None) -> Answer:
        """`there` (B, M) where training leaves out parts that a row has: what needs no label sees them all."""
        whole = self.encode(batch, present if there is None else there)
        raw: dict[str, Tensor] = {name: each(whole, batch) for name, each in self.free.items()}
        if not self.labelled:
            return Answer(raw, {}, None)
        hidden = torch.where(present[..., None] > 0, whole, 0.0)
        alone = {
            name: torch.stack([head(hidden[:, i]) for i, head in enumerate(heads)], 1)
            for name, heads in zip(self.labelled, self.lone, strict=True)
        }
        fused, weights = self.answer(hidden, alone, present)
        return Answer(raw | fused, alone, weights)

    def answer(self, hidden: Tensor, alone: Mapping[str, Tensor], present: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        if self.recipe.late:
            fused = [fusion(alone[name], present) for name, fusion in zip(self.labelled, self.fusions, strict=True)]
            return {name: raw for name, (raw, _) in zip(self.labelled, fused, strict=True)}, fused[0][1]
        h, weights = self.fusions[0](hidden, present)
        h = self.dense(h)
        return {name: head(h) for name, head in zip(self.labelled, self.heads, strict=True)}, weights

    def encode(self, batch: Batch, present: Tensor) -> Tensor:
        """(B, M, width), zeros for what is absent, whatever its slot holds."""
        parts = [
            self.encoded(i, [batch[name] for name in names], present[:, i] > 0) for i, names in enumerate(self.names)
        ]
        return torch.where(present[..., None] > 0, torch.stack(parts, 1), 0.0)

    def encoded(self, part: int, tensors: list[Tensor], there: Tensor) -> Tensor:
        """(B, width). In training only of rows that have the part: batch norm must not see the zeros of the others."""
        encoder, count = self.encoders[part], int(there.sum()) if self.training else 0
        if not 1 < count < len(there):  # batch norm takes no single row
            whole: Tensor = encoder(*tensors)
            return whole
        some: Tensor = encoder(*(each[there] for each in tensors))
        return some.new_zeros(len(there), some.shape[1]).masked_scatter(there[:, None], some)

    def loss(self, answer: Answer, targets: Mapping[str, Tensor], present: Tensor, there: Tensor) -> Tensor:
        """Of the fused answers, with a smaller weight of what each part says alone, and of what needs no label."""
        total = torch.zeros((), device=present.device)
        for (name, task), head, alone in zip(self.labelled.items(), self.tops, self.lone, strict=True):
            loss = head.loss(answer.raw[name].float(), targets[name])
            for i, single in enumerate(alone):
                raw = answer.alone[name][:, i].float()
                loss = loss + self.recipe.training.alone / len(alone) * single.loss(
                    raw, masked(targets[name], present[:, i])
                )
            total = total + task.weight * loss
        for name, each in self.free.items():
            total = total + self.recipe.tasks[name].weight * each.loss(answer.raw[name].float(), targets[name], there)
        return total

    def served(self, batch: Batch, present: Tensor) -> list[Tensor]:
        """What `outputs` names, in that order."""
        answer, scales, out = self(batch, present), dict(zip(self.labelled, self.scales, strict=True)), []
        for name in self.recipe.tasks:
            raw = answer.raw[name]
            if name not in self.labelled:
                out.append(self.free[name].served(raw, present))
            elif self.labelled[name].kind == REGRESSION:
                out += spread(self.regressor(name), raw, scales[name](present))
            else:
                out.append(scales[name](raw, present))
        return out if answer.weights is None else [*out, answer.weights]

    def regressor(self, name: str) -> Regressor:
        found = self.tops[list(self.labelled).index(name)]
        assert isinstance(found, Regressor)
        return found

    def outputs(self) -> list[str]:
        """The graph's names of what `served` gives: each task's answer, the weights of a fusion's parts at last."""
        names = [tensor for name, task in self.recipe.tasks.items() for tensor in answers(name, task)]
        return [*names, WEIGHTS] if self.labelled else names


def top(task: Task, width: int) -> Top:
    assert isinstance(task.head, ClassificationSpec | MultilabelSpec | RegressionSpec)
    return task.head.build(width, task.size)


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
