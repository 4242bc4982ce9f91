"""Hidden vectors that look at each other before they are summed: a transformer over the parts, and a graph of them."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.encoders.attention import Block, attend
from models.fusion.weighted import NEVER, blank, weigh
from service.types import Spec


class CrossAttention(nn.Module):
    """Transformer layers among the parts, then a learned query that attends to them; its attention, the mean over the
    heads, is the weights.

    Vaswani et al., 2017, arXiv:1706.03762; a learned query that reads out any number of inputs is the pooling of Lee
    et al., Set Transformer, ICML 2019, arXiv:1810.00825. What a part is, is a learned vector added to it.
    """

    def __init__(self, parts: int, width: int, layers: int = 1, heads: int = 4) -> None:
        super().__init__()
        self.part = nn.Parameter(torch.randn(parts, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.heads = heads

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        x = blank(hidden, present) + self.part  # (B, M, width)
        for block in self.blocks:
            x = block(x, present)
        x = self.norm(x)
        read, a = attend(self.query.expand(x.shape[0], -1, -1), self.key(x), self.value(x), present, self.heads)
        return self.out(read[:, 0]), a[:, :, 0].mean(1)


class Graph(nn.Module):
    """Rounds of message passing over the complete graph of the present parts, then attention reads out its nodes.

    h_i <- h_i + relu(U h_i + sum_j e_ij V h_j), e_ij = softmax_j(leaky(p h_i + q h_j)): Velickovic et al., Graph
    Attention Networks, ICLR 2018, arXiv:1710.10903. Absent parts neither send nor receive.
    """

    def __init__(self, parts: int, width: int, rounds: int = 2) -> None:
        super().__init__()
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(rounds))
        self.sent = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(rounds))
        self.edge = nn.ModuleList(nn.Linear(width, 2) for _ in range(rounds))
        self.score = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        h = blank(hidden, present)  # (B, M, width)
        for own, sent, edge in zip(self.own, self.sent, self.edge, strict=True):
            p, q = edge(h).unbind(2)  # (B, M) each
            scores = nn.functional.leaky_relu(p[:, :, None] + q[:, None], 0.2)
            e = torch.where(present[:, None] > 0, scores, NEVER).softmax(2)  # (B, M to, M from)
            h = h + torch.relu(own(h) + e @ sent(h))
        a = weigh(self.score(h)[..., 0], present)
        return (a[..., None] * h).sum(1), a


class CrossAttentionSpec(Spec):
    kind: Literal["cross_attention"] = "cross_attention"
    layers: int = Field(1, ge=0, description="of attention among the parts, before they are read")
    heads: int = Field(4, gt=0, description="of each attention; they divide the width")

    def build(self, parts: int, width: int) -> CrossAttention:
        """Raises ValueError where the heads do not divide the width."""
        return CrossAttention(parts, width, self.layers, self.heads)


class GraphSpec(Spec):
    kind: Literal["graph"] = "graph"
    rounds: int = Field(2, gt=0, description="of messages")

    def build(self, parts: int, width: int) -> Graph:
        return Graph(parts, width, self.rounds)
