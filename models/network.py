"""Encoders, fusion and heads in one: any subset of the parts to logits."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models import fusion
from models.heads import Calibrated, Classifier

Batch = Mapping[str, Tensor]  # tensor name -> (B, ...)


class Answer(NamedTuple):
    logits: Tensor  # (B, classes)
    weights: Tensor  # (B, M)
    alone: Tensor  # (B, M, classes), what each part would say by itself


class Network(nn.Module):
    """`tensors`: part -> the names of what its encoder takes, in order."""

    def __init__(
        self, encoders: Mapping[str, nn.Module], tensors: Mapping[str, list[str]], kind: str, head: Classifier
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.tensors = tensors
        width, classes = head.linear.in_features, head.linear.out_features
        self.fusion = fusion.KINDS[kind](len(encoders), width)
        self.head = head
        self.alone = nn.ModuleList(Classifier(width, classes, head.dropout.p) for _ in encoders)
        self.calibrated = Calibrated(len(encoders))
        self.frozen: list[str] = []  # parts whose encoders are not trained

    def forward(self, batch: Batch, present: Tensor) -> Answer:
        hidden = self.encode(batch, present)
        h, weights = self.fusion(hidden, present)
        alone = [head(hidden[:, i]) for i, head in enumerate(self.alone)]
        return Answer(self.head(h), weights, torch.stack(alone, 1))

    def borrow(self, other: "Network", parts: list[str]) -> None:
        """Takes over these encoders as they are; training leaves them alone."""
        for part in parts:
            self.encoders[part].load_state_dict(other.encoders[part].state_dict())
            self.encoders[part].requires_grad_(False)
        self.frozen = parts

    def train(self, mode: bool = True) -> "Network":
        super().train(mode)
        for part in self.frozen:
            self.encoders[part].eval()
        return self

    def encode(self, batch: Batch, present: Tensor) -> Tensor:
        """(B, M, width), zeros for what is absent, whatever its slot holds."""
        stacked = torch.stack([self.part(name, batch) for name in self.encoders], 1)
        return torch.where(present[..., None] > 0, stacked, 0.0)  # not a product: 0 x NaN is NaN

    def part(self, name: str, batch: Batch) -> Tensor:
        """(B, width) of one part."""
        h: Tensor = self.encoders[name](*(batch[tensor] for tensor in self.tensors[name]))
        return h

    def probabilities(self, batch: Batch, present: Tensor) -> tuple[Tensor, Tensor]:
        """What is served: calibrated (B, classes), weights (B, M)."""
        h, weights = self.fusion(self.encode(batch, present), present)
        return self.calibrated(self.head(h), present), weights
