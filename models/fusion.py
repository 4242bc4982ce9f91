"""Several hidden vectors, some of them absent, to one; and how much each part had to say in it.

Each kind is a module: hidden (B, M, width), present (B, M) -> h (B, width), weights (B, M). Absent parts have weight 0.
"""

import torch
from torch import Tensor, nn

NEVER = -1e9  # finite: with no part at all the weights are uniform, not NaN


class Attention(nn.Module):
    """a = softmax(W_a h), h = sum a_i h_i over the parts that are there."""

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.score(hidden)[..., 0]  # (B, M)
        a = torch.where(present > 0, scores, NEVER).softmax(1)  # (B, M), sums to 1 over the present parts
        return (a[..., None] * hidden).sum(1), a


class Gated(nn.Module):
    """a = softmax_i(W [h_1; ...; h_M; present]) for each dimension, h = sum a_i * h_i; the weights are the mean of a.

    An attention that sees all parts before it trusts one: the gated multimodal unit (Arevalo et al., 2017,
    arXiv:1702.01992), with a softmax over any number of parts in the place of its sigmoid.
    """

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(parts * (width + 1), parts * width)

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.score(torch.cat((hidden.flatten(1), present), 1)).view_as(hidden)  # (B, M, width)
        a = torch.where(present[..., None] > 0, scores, NEVER).softmax(1)  # (B, M, width)
        return (a * hidden).sum(1), a.mean(2)


KINDS: dict[str, type[Attention] | type[Gated]] = {"attention": Attention, "gated": Gated}
