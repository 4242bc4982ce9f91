"""Hidden vectors side by side, or multiplied: what one part means may depend on what another one says."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.fusion.weighted import blank
from service.types import Spec


def shares(sizes: Tensor, present: Tensor) -> Tensor:
    """sizes >= 0, present (B, M) -> (B, M) that sums to 1 over the present parts; uniform where all sizes are 0."""
    sizes = (sizes + 1e-6) * present
    return sizes / sizes.sum(1, keepdim=True).clamp(min=1e-6)


class Concatenation(nn.Module):
    """h = relu(W [h_1; ...; h_M; present]), zeros for what is absent (Ngiam et al., Multimodal Deep Learning, ICML
    2011). The weights are each part's share of what enters the sum: |W_i h_i|_1, not trained."""

    def __init__(self, parts: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.join = nn.Linear(parts * (width + 1), width)
        self.dropout = nn.Dropout(dropout)
        self.parts, self.width = parts, width

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        hidden = blank(hidden, present)
        h = torch.relu(self.join(torch.cat((self.dropout(hidden).flatten(1), present), 1)))  # (B, width)
        w = self.join.weight.detach()[:, : self.parts * self.width].view(self.width, self.parts, self.width)
        sizes = (hidden.detach().transpose(0, 1) @ w.permute(1, 2, 0)).abs().sum(2)  # (M, B)
        return h, shares(sizes.transpose(0, 1), present)


class LowRank(nn.Module):
    """h = V sum_r prod_i (W_i^r [h_i; 1]): the tensor fusion of all parts in `rank` factors, so that its size grows
    with their number, not in its power (Liu et al., Efficient Low-rank Multimodal Fusion, ACL 2018, arXiv:1806.00064).

    An absent part is a factor of 1. The weights are the shares of |W_i [h_i; 1] - 1|, a part's distance from being
    absent.
    """

    def __init__(self, parts: int, width: int, rank: int = 4) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.randn(parts, width, rank * width) * (0.5 / width**0.5))
        self.bias = nn.Parameter(torch.ones(parts, 1, rank * width))  # the product begins as that of ones
        self.ranks = nn.Parameter(torch.full((rank, 1), 1 / rank))
        self.project = nn.Linear(width, width)
        self.rank, self.width = rank, width

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        hidden = blank(hidden, present)
        z = (hidden.transpose(0, 1) @ self.factors + self.bias).transpose(0, 1)  # (B, M, rank * width)
        z = torch.where(present[..., None] > 0, z, 1.0)
        product = z[:, 0]
        for i in range(1, z.shape[1]):  # ONNX's ReduceProd has no fast kernel, and torch's no gradient at 0
            product = product * z[:, i]
        h = (product.reshape(-1, self.rank, self.width) * self.ranks).sum(1)  # (B, width)
        return self.project(h), shares((z.detach() - 1).abs().mean(2), present)


class ConcatenationSpec(Spec):
    kind: Literal["concat"] = "concat"
    dropout: float = Field(0.0, ge=0, lt=1, description="of the parts' vectors")

    def build(self, parts: int, width: int) -> Concatenation:
        return Concatenation(parts, width, self.dropout)


class LowRankSpec(Spec):
    kind: Literal["low_rank"] = "low_rank"
    rank: int = Field(4, gt=0, description="number of factors of the tensor")

    def build(self, parts: int, width: int) -> LowRank:
        return LowRank(parts, width, self.rank)
