"""A part to how badly it is rebuilt from its short code: an anomaly score, or an encoder's training without labels."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.encoders.image import grid
from service.types import Spec

Summary = Callable[..., Tensor]  # what the encoder takes -> (B, size), what is to be rebuilt


class Autoencoder(nn.Module):
    """error = mean((decode(encode(x)) - x')^2), x' the standardised summary of x (Hinton and Salakhutdinov, Science
    2006); large for what training has not seen (Sakurada and Yairi, 2014). Call `fit` with the training rows first.

    To train an encoder of a part without labels, train this around it and keep the encoder.
    """

    def __init__(self, encoder: nn.Module, width: int, summary: Summary, size: int, inner: int = 128) -> None:
        """`encoder` gives (B, width), which is to be narrow; `summary` gives (B, size)."""
        super().__init__()
        self.encoder, self.summary = encoder, summary
        self.decoder = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, size))
        self.mean, self.std = nn.Buffer(torch.zeros(size)), nn.Buffer(torch.ones(size))

    @torch.no_grad()
    def fit(self, *tensors: Tensor) -> None:
        """Training rows as the encoder takes them, some hundred: mean and deviation of what is rebuilt."""
        target = self.summary(*tensors)
        self.mean.copy_(target.mean(0))
        std = target.std(0, correction=0)
        self.std.copy_(torch.where(std > 1e-6, std, 1.0))  # what never changes tells by its distance

    def forward(self, *tensors: Tensor) -> Tensor:
        """What the encoder takes -> error (B,)."""
        target = (self.summary(*tensors) - self.mean) / self.std  # (B, size)
        error: Tensor = (self.decoder(self.encoder(*tensors)) - target).square().mean(1)
        return error

    def loss(self, *tensors: Tensor) -> Tensor:
        """Of rows that are not anomalous."""
        error: Tensor = self(*tensors)
        return error.mean()


class Code(nn.Module):
    """Hidden vectors to a code. They are not trained by it: nothing is easier to rebuild than a constant."""

    def __init__(self, width: int, inner: int, code: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, code))

    def forward(self, h: Tensor) -> Tensor:
        """h (B, width) -> (B, code)."""
        code: Tensor = self.layers(h.detach())
        return code


def fields(pixels: Tensor, side: int = 8) -> Tensor:
    """pixels (B, C, H, W) -> (B, C side^2): the means of a grid."""
    return torch.flatten(grid(pixels, side), 1)


def frames(features: Tensor, mask: Tensor, count: int = 8) -> Tensor:
    """features (B, bands, F), mask (B, F) -> (B, bands count): the means of `count` stretches of the valid frames, of
    which there is one at least."""
    rows = [shares_of(mask, i, count) for i in range(count)]
    return torch.flatten(features @ torch.stack(rows, 2), 1)


def shares_of(mask: Tensor, i: int, count: int) -> Tensor:
    """(B, F): what each frame gives to the mean of stretch i, as `image.shares` cuts a side."""
    place, size = mask.cumsum(1) - 1, mask.sum(1, keepdim=True)  # (B, F), (B, 1)
    start, end = (i * size / count).floor(), ((i + 1) * size / count).ceil()
    return mask * ((place >= start) & (place < end)) / (end - start).clamp(min=1)


def words(ids: Tensor, mask: Tensor, vocabulary: int) -> Tensor:
    """ids, mask (B, T) -> (B, vocabulary): 1 where a token occurs."""
    counts = mask.new_zeros(ids.shape[0], vocabulary).scatter_add(1, ids, mask)
    return (counts > 0).to(mask.dtype)


class AnomalySpec(Spec):
    kind: Literal["anomaly"] = "anomaly"
    code: int = Field(8, gt=0, description="numbers that the whole is rebuilt from")
    inner: int = Field(128, gt=0, description="width of the layers on both sides of the code")
    parts: list[str] = Field([], description="that it looks at; all unless given")
    share: float = Field(0.95, gt=0, lt=1, description="of usual rows, whose errors are no anomalies")

    def build(self, width: int) -> Autoencoder:
        """Over hidden vectors (B, width)."""
        return Autoencoder(Code(width, self.inner, self.code), self.code, Tensor.detach, width, self.inner)
