"""What each part predicts by itself to one prediction: late fusion.

These kinds take predictions in the place of hidden vectors: `build(parts, width)` with the number of classes (or of
values) as width, and forward(raw answers of the parts' own heads (B, M, K), present (B, M)) -> raw answer (B, K),
weights (B, M). The answer is in the space of the heads' own, so that losses and calibration treat it as they treat any
head's: logits of a softmax, logits of sigmoids, or values. A spec's `predictions` tells a network what to give.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.fusion.weighted import blank, weigh
from service.types import Spec

Space = Literal["softmax", "sigmoid", "value"]
SMALL = 1e-6  # of a probability: logits of the mean stay finite


class Average(nn.Module):
    """p = mean of p_i over the present parts: the sum rule (Kittler et al., On Combining Classifiers, TPAMI 1998)."""

    def __init__(self, parts: int, width: int, space: Space = "softmax") -> None:
        super().__init__()
        self.space = space

    def forward(self, raw: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        raw = blank(raw, present)
        a = weigh(torch.zeros_like(present), present)  # (B, M), 1 / their number
        if self.space == "value":
            return (a[..., None] * raw).sum(1), a
        p = raw.softmax(2) if self.space == "softmax" else raw.sigmoid()  # (B, M, K)
        p = (a[..., None] * p).sum(1).clamp(SMALL, 1 - SMALL)
        return (p.log() if self.space == "softmax" else p.log() - (1 - p).log()), a


class Product(nn.Module):
    """p ~ prod p_i^c_i: logits add up as evidence does, each part with a learned confidence c_i = softplus(gamma_i).

    Hinton, Training Products of Experts by Minimizing Contrastive Divergence, Neural Computation 2002. Values have no
    logits: there it is the mean weighted by c, a product of Gaussians of precision c. The weights are the shares of c.
    """

    def __init__(self, parts: int, width: int, space: Space = "softmax") -> None:
        super().__init__()
        self.space = space
        self.gamma = nn.Parameter(torch.full((parts,), 0.5413))  # softplus of it is 1

    def forward(self, raw: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        raw = blank(raw, present)
        c = functional.softplus(self.gamma) * present  # (B, M)
        a = c / c.sum(1, keepdim=True).clamp(min=SMALL)
        return ((a if self.space == "value" else c)[..., None] * raw).sum(1), a


class AverageSpec(Spec):
    kind: Literal["average"] = "average"
    space: Space = Field("softmax", description="what the heads' raw answers are: logits of one, or values")
    predictions: ClassVar[bool] = True

    def build(self, parts: int, width: int) -> Average:
        return Average(parts, width, self.space)


class ProductSpec(Spec):
    kind: Literal["product"] = "product"
    space: Space = Field("softmax", description="what the heads' raw answers are: logits of one, or values")
    predictions: ClassVar[bool] = True

    def build(self, parts: int, width: int) -> Product:
        return Product(parts, width, self.space)
