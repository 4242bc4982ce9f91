"""Hidden vectors of parts to vectors of one space, in which what belongs together is near."""

import math
from itertools import combinations
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from service.types import Spec

SHARPEST = math.log(100)  # CLIP's bound of the scale


class Embedder(nn.Module):
    """v = W_i h / |W_i h|, W_i of part i; near is a large v v' (Radford et al., 2021, arXiv:2103.00020)."""

    def __init__(self, parts: int, width: int, spec: "EmbeddingSpec") -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(width, spec.dimensions, bias=False) for _ in range(parts))
        self.scale = nn.Parameter(torch.tensor(-math.log(spec.temperature)))  # ln of 1 / temperature

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden (B, M, width) -> (B, M, dimensions), each of length 1."""
        projected = [project(hidden[:, i]) for i, project in enumerate(self.projections)]
        return functional.normalize(torch.stack(projected, 1), dim=2)

    def loss(self, vectors: Tensor, present: Tensor, groups: Tensor | None = None) -> Tensor:
        """The mean of `contrast` over all pairs of parts that two rows or more have; 0 where there is none.
        vectors (B, M, dimensions), present (B, M)."""
        scale, found = self.scale.clamp(max=SHARPEST).exp(), []
        for i, j in combinations(range(vectors.shape[1]), 2):
            both = (present[:, i] > 0) & (present[:, j] > 0)
            if both.sum() > 1:
                same = None if groups is None else groups[both]
                found.append(contrast(vectors[both, i], vectors[both, j], scale, same))
        return torch.stack(found).mean() if found else 0 * vectors.sum()

    def joined(self, vectors: Tensor, present: Tensor) -> Tensor:
        """(B, dimensions): one vector for all that is there, the mean direction; zeros where nothing is."""
        there = torch.where(present[..., None] > 0, vectors, 0.0)
        return functional.normalize(there.sum(1), dim=1)


def contrast(a: Tensor, b: Tensor, scale: Tensor, groups: Tensor | None = None) -> Tensor:
    """InfoNCE (van den Oord et al., 2018, arXiv:1807.03748) both ways: row i of a (N, d) is to find row i of b among
    all of them. Rows of one group (N,) are not held against each other: neither is a wrong answer."""
    scores = scale * a @ b.T  # (N, N)
    if groups is not None:
        others = (groups[:, None] == groups) & ~torch.eye(len(a), dtype=torch.bool, device=a.device)
        scores = scores.masked_fill(others, -torch.inf)
    right = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2


class EmbeddingSpec(Spec):
    kind: Literal["embedding"] = "embedding"
    dimensions: int = Field(64, gt=0, description="of the space")
    temperature: float = Field(0.07, gt=0, description="at the start of training; it is learned")

    def build(self, parts: int, width: int) -> Embedder:
        return Embedder(parts, width, self)
