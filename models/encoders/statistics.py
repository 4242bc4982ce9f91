"""Feature frames to one vector by way of what describes them: for recordings too few to train convolutions on."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.encoders.bag import longer
from service.types import Spec

Count = Annotated[int, Field(gt=0)]
MEASURES = 7  # of each band on each scale
LOWEST = -3e4  # no band is lower; finite also in float16
FARTHEST = 5.0  # deviations from the mean: what hardly varied in training may vary later


def describe(features: Tensor, mask: Tensor, scales: list[int]) -> Tensor:
    """features (B, bands, F), mask (B, F) -> (B, MEASURES bands scales): mean, deviation, trend, least, most, mean
    and largest step of each band, of frames and of means of as many frames as a scale says (after Tzanetakis and Cook,
    Musical Genre Classification of Audio Signals, 2002). Steps between frames tell a knock, between means a wave.
    """
    return torch.cat([measures(*averaged(features, mask, scale)) for scale in scales], 1)


def averaged(x: Tensor, mask: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Means of `scale` frames, of those that are valid, and which of the means have any."""
    if scale == 1:
        return x, mask
    x = torch.cat((x * mask[:, None], mask[:, None]), 1)
    x = torch.cat((x, x.new_zeros(x.shape[0], x.shape[1], scale - 1)), 2)  # the last ones may be of fewer frames
    sums = functional.avg_pool1d(x, scale)
    part = sums[:, -1:]
    return sums[:, :-1] / part.clamp(min=1e-6), (part[:, 0] > 0).to(mask.dtype)


def measures(x: Tensor, mask: Tensor) -> Tensor:
    """(B, bands, F) under (B, F) -> (B, MEASURES bands)."""
    valid = mask[:, None]
    count = valid.sum(2).clamp(min=1)  # (B, 1)
    mean = (x * valid).sum(2) / count
    apart = (x - mean[:, :, None]) * valid
    deviation = (apart.square().sum(2) / count).sqrt()
    place = ((mask.cumsum(1) - 0.5) / count - 0.5)[:, None]  # of a frame, from -1/2 to 1/2
    trend = (place * apart).sum(2) / count
    most = torch.where(valid > 0, x, LOWEST).amax(2)
    least = torch.where(valid > 0, x, -LOWEST).amin(2)
    both = (mask * longer(mask, 1)[:, 1:])[:, None]  # the last frame has no next one
    steps = (torch.cat((x[:, :, 1:], x[:, :, :1]), 2) - x).abs() * both
    step = steps.sum(2) / both.sum(2).clamp(min=1)
    return torch.cat((mean, deviation, trend, least, most, step, steps.amax(2)), 1)


class Statistics(nn.Module):
    """h = W relu(... z), z the measures, standardised by what training sees."""

    def __init__(self, bands: int, width: int, spec: "StatisticsSpec") -> None:
        """Raises ValueError where there are no bands."""
        super().__init__()
        if bands < 1:
            raise ValueError("statistics are of frames, wave takes samples")
        self.scales = spec.scales
        size = MEASURES * bands * len(spec.scales)
        self.standard = nn.BatchNorm1d(size, affine=False)
        layers = [
            nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(spec.dropout))
            for before, after in pairwise([size, *spec.hidden])
        ]
        self.layers = nn.Sequential(nn.Dropout(spec.dropout / 2), *layers)
        self.project = nn.Linear([size, *spec.hidden][-1], width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, bands, F), mask (B, F) -> (B, width)."""
        z = self.standard(describe(features, mask, self.scales)).clamp(-FARTHEST, FARTHEST)
        h: Tensor = self.project(self.layers(z))
        return h


class StatisticsSpec(Spec):
    kind: Literal["statistics"] = "statistics"
    scales: list[Count] = Field([1, 5, 25], min_length=1, description="frames of the means that are described")
    hidden: list[Count] = Field([96], description="width of each layer")
    dropout: float = Field(0.4, ge=0, lt=1)

    def build(self, bands: int, width: int) -> Statistics:
        return Statistics(bands, width, self)
