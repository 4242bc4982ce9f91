"""Hidden vectors to their weighted sum: h = sum a_i h_i, a being fixed, by age, or by what the parts say."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from service.types import Spec

NEVER = -3e4  # finite, also in float16: with no part at all the weights are uniform, not NaN


def weigh(scores: Tensor, present: Tensor) -> Tensor:
    """scores, present (B, M) -> (B, M): a softmax over the present parts, 0 for the absent ones."""
    return torch.where(present > 0, scores, NEVER).softmax(1)


def blank(hidden: Tensor, present: Tensor) -> Tensor:
    """(B, M, width) with zeros for what is absent, whatever its slot holds: not a product, as 0 x NaN is NaN."""
    return torch.where(present[..., None] > 0, hidden, 0.0)


class Learned(nn.Module):
    """a = softmax(s), one learned number s_i for each part: a linear combination that is the same for all inputs."""

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(parts))

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        a = weigh(self.score.expand_as(present), present)  # (B, M), sums to 1 over the present parts
        return (a[..., None] * blank(hidden, present)).sum(1), a


class Decay(nn.Module):
    """a_i ~ exp(s_i - r t_i): learned weights that fade with a part's age t_i at a learned rate r = softplus(rho) > 0.

    Exponential smoothing (Brown, Statistical Forecasting for Inventory Control, 1959). `ages` are fixed by the
    recipe, or given with each call as (B, M).
    """

    def __init__(self, parts: int, width: int, ages: list[float] | None = None, rate: float = 0.5) -> None:
        """Without `ages` the parts are in the order of time: the last has age 0, the one before 1; or ValueError."""
        super().__init__()
        if ages is not None and len(ages) != parts:
            raise ValueError(f"{len(ages)} ages for {parts} parts")
        self.ages = nn.Buffer(torch.tensor(ages or list(range(parts - 1, -1, -1)), dtype=torch.float32))
        self.rho = nn.Parameter(torch.tensor(rate).expm1().log())
        self.score = nn.Parameter(torch.zeros(parts))

    def forward(self, hidden: Tensor, present: Tensor, ages: Tensor | None = None) -> tuple[Tensor, Tensor]:
        t = self.ages if ages is None else torch.where(present > 0, ages, 0.0)
        a = weigh((self.score - functional.softplus(self.rho) * t).expand_as(present), present)
        return (a[..., None] * blank(hidden, present)).sum(1), a


class Attention(nn.Module):
    """a = softmax(W_a h), h = sum a_i h_i over the parts that are there (Bahdanau et al., 2015, arXiv:1409.0473)."""

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        hidden = blank(hidden, present)
        a = weigh(self.score(hidden)[..., 0], present)  # (B, M), sums to 1 over the present parts
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
        hidden = blank(hidden, present)
        scores = self.score(torch.cat((hidden.flatten(1), present), 1)).view_as(hidden)  # (B, M, width)
        a = torch.where(present[..., None] > 0, scores, NEVER).softmax(1)  # (B, M, width)
        return (a * hidden).sum(1), a.mean(2)


class LearnedSpec(Spec):
    kind: Literal["weights"] = "weights"

    def build(self, parts: int, width: int) -> Learned:
        return Learned(parts, width)


class DecaySpec(Spec):
    kind: Literal["decay"] = "decay"
    ages: list[float] | None = Field(None, description="of the parts, in any unit; without it their order: last newest")
    rate: float = Field(0.5, gt=0, description="of the decay at the start of training, per unit of age")

    def build(self, parts: int, width: int) -> Decay:
        return Decay(parts, width, self.ages, self.rate)


class AttentionSpec(Spec):
    kind: Literal["attention"] = "attention"

    def build(self, parts: int, width: int) -> Attention:
        return Attention(parts, width)


class GatedSpec(Spec):
    kind: Literal["gated"] = "gated"

    def build(self, parts: int, width: int) -> Gated:
        return Gated(parts, width)
