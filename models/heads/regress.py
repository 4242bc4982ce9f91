"""Hidden vectors to numbers in their own units, each with the interval in which it is expected."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from service.types import Spec

WIDEST = 10.0  # of ln variance, either way: beyond it exp says nothing more


class Regressor(nn.Module):
    """The network sees standardised numbers, y' = (y - mean) / std; what is served is in the unit again.

    `variance`: ln of the variance is learned with the mean (Nix and Weigend, 1994; Kendall and Gal, 2017,
    arXiv:1703.04977). Call `fit` with the training targets before training, `calibrate` with targets not trained on.
    """

    def __init__(self, width: int, values: int, spec: "RegressionSpec") -> None:
        super().__init__()
        self.spec, self.values = spec, values
        self.dropout = nn.Dropout(spec.dropout)
        self.linear = nn.Linear(width, 2 * values if spec.variance else values)
        self.mean, self.std = nn.Buffer(torch.zeros(values)), nn.Buffer(torch.ones(values))
        self.reach = nn.Buffer(torch.ones(values))  # half an interval, in standard deviations

    def fit(self, targets: Tensor) -> None:
        """targets (N, values) in their units, NaN where one is not known. A constant one keeps the deviation 1."""
        for i, column in enumerate(targets.T):
            known = column[~column.isnan()]
            if len(known):
                std = known.std(correction=0)
                self.mean[i], self.std[i] = known.mean(), std if std > 0 else 1.0

    def forward(self, h: Tensor) -> Tensor:
        """h (..., width) -> (..., values), standardised, or (..., 2 values): means, then ln of variances."""
        raw: Tensor = self.linear(self.dropout(h))
        return raw

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """(B, values) means and standard deviations, both standardised; deviations of 1 where they are not learned."""
        mean = raw[..., : self.values]
        if not self.spec.variance:
            return mean, torch.ones_like(mean)
        return mean, (raw[..., self.values :].clamp(-WIDEST, WIDEST) / 2).exp()

    def loss(self, raw: Tensor, targets: Tensor) -> Tensor:
        """(y' - m)^2 / (2 s^2) + ln s with a variance; else Huber's loss (1964) with its corner at one deviation.
        targets (B, values) in their units, NaN not counted; 0 where none is known."""
        known = ~targets.isnan()
        y = torch.where(known, (targets - self.mean) / self.std, 0.0)
        mean, s = self.split(raw)
        if self.spec.variance:
            each = ((y - mean) / s).square() / 2 + s.log()
        else:
            each = functional.huber_loss(mean, y, reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    def calibrate(self, raw: Tensor, targets: Tensor) -> None:
        """Half intervals that hold `coverage` of unseen targets: the ceil((n + 1) coverage)-th smallest |y' - m| / s of
        n that were not trained on (Lei et al., 2018, arXiv:1604.04173). Raises ValueError where n is too small."""
        mean, s = self.split(raw)
        for i in range(self.values):
            known = ~targets[:, i].isnan()
            y = (targets[known, i] - self.mean[i]) / self.std[i]
            errors = ((y - mean[known, i]).abs() / s[known, i]).sort().values
            rank = math.ceil(round((len(errors) + 1) * self.spec.coverage, 9))  # 10 x 0.9 is no more than 9
            if rank > len(errors):
                least = math.ceil(round(self.spec.coverage / (1 - self.spec.coverage), 9))
                raise ValueError(
                    f"{len(errors)} targets cannot tell intervals of {self.spec.coverage:.0%}: {least} can"
                )
            self.reach[i] = errors[rank - 1]

    def served(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """value (B, values) and interval (B, values, 2), lowest and highest, both in their units."""
        mean, s = self.split(raw)
        half = s * self.reach
        interval = torch.stack((mean - half, mean + half), -1) * self.std[:, None] + self.mean[:, None]
        return mean * self.std + self.mean, interval


class RegressionSpec(Spec):
    kind: Literal["regression"] = "regression"
    unit: str | None = Field(None, description="of the values, as answers name it")
    variance: bool = Field(True, description="learns how sure it is of each answer")
    coverage: float = Field(0.9, gt=0, lt=1, description="share of true values within the interval")
    dropout: float = Field(0.1, ge=0, lt=1)

    def build(self, width: int, values: int) -> Regressor:
        return Regressor(width, values, self)
