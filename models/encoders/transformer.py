"""Token ids to one vector: a small transformer encoder, then the mean over the valid places."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.encoders.attention import Block
from service.types import Spec


class Transformer(nn.Module):
    """Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762; normalised first; positions are sines."""

    def __init__(self, vocabulary: int, width: int, spec: "TransformerSpec") -> None:
        """Raises ValueError where the heads do not divide the hidden width."""
        super().__init__()
        self.embed = nn.Embedding(vocabulary, spec.hidden)
        self.positions = nn.Buffer(sines(spec.max_tokens, spec.hidden))
        self.dropout = nn.Dropout(spec.dropout)
        self.blocks = nn.ModuleList(
            Block(spec.hidden, spec.heads, 4 * spec.hidden, spec.dropout) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.hidden)
        self.project = nn.Linear(spec.hidden, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, width); T up to `max_tokens`."""
        x = self.dropout(self.embed(ids) + self.positions[: ids.shape[1]])  # (B, T, hidden)
        for block in self.blocks:
            x = block(x, mask)
        h: Tensor = self.project(mean(self.norm(x), mask))
        return h


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, T, C), mask (B, T) -> (B, C) over the valid places, or zeros."""
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def sines(places: int, width: int) -> Tensor:
    """(places, width): sin(t / 10000^(2i/width)) in even, cos in odd columns."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(places)[:, None] * rates  # (places, width / 2)
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)[:, :width]


class TransformerSpec(Spec):
    kind: Literal["transformer"] = "transformer"
    hidden: int = Field(64, gt=0, description="width of the layers")
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0, description="of each attention; they divide the hidden width")
    max_tokens: int = Field(512, gt=0, description="the longest text, as the part's input cuts it")
    dropout: float = Field(0.1, ge=0, lt=1)

    def build(self, vocabulary: int, width: int) -> Transformer:
        return Transformer(vocabulary, width, self)
