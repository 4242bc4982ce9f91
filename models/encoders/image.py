"""Pixels to one vector: a few convolutions, each at half the side of the one before."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from service.types import Spec


class Image(nn.Module):
    """LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998; with batch norm and ReLU."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        a, b, c = channels
        self.convs = nn.Sequential(
            *(nn.Conv2d(1, a, 5, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU()),  # (B, a, 14, 14)
            *(nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)),  # (B, b, 7, 7)
            *(nn.Conv2d(b, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(), nn.MaxPool2d(2)),  # (B, c, 3, 3)
        )
        self.project = nn.Linear(9 * c, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 1, 28, 28) -> (B, width)."""
        h: Tensor = self.project(torch.flatten(self.convs(pixels), 1))
        return h


class ImageCnn(nn.Module):
    """The same of any side and depth: convolution, batch norm, ReLU, maximum; then the means of a grid of fields."""

    def __init__(self, colours: int, channels: list[int], fields: int, width: int) -> None:
        super().__init__()
        layers = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, 1, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
            )
            for before, after in pairwise([colours, *channels])
        ]
        self.convs = nn.Sequential(*layers)
        self.fields = fields
        self.project = nn.Linear(fields * fields * channels[-1], width)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, colours, H, W) -> (B, width)."""
        h: Tensor = self.project(torch.flatten(grid(self.convs(pixels), self.fields), 1))
        return h


def grid(x: Tensor, fields: int) -> Tensor:
    """(B, C, H, W) -> (B, C, fields, fields): adaptive average pooling, in operations that export at any side."""
    rows, columns = shares(x[0, 0, :, 0], fields), shares(x[0, 0, 0], fields)
    return rows @ x @ columns.T


def shares(line: Tensor, fields: int) -> Tensor:
    """(N,) -> (fields, N): what each place gives to each field's mean. Field i is floor(i N / fields) up to
    ceil((i + 1) N / fields), as torch has it."""
    ones = torch.ones_like(line)
    place, size = ones.cumsum(0) - 1, ones.sum()
    i = torch.arange(fields, device=line.device)[:, None].to(line.dtype)
    start, end = (i * size / fields).floor(), ((i + 1) * size / fields).ceil()  # (fields, 1)
    return ((place >= start) & (place < end)).to(line.dtype) / (end - start)


class ImageCnnSpec(Spec):
    kind: Literal["cnn"] = "cnn"
    channels: list[Annotated[int, Field(gt=0)]] = Field([16, 32, 64], min_length=1, description="of each convolution")
    fields: int = Field(3, gt=0, description="side of the grid of means at the end")

    def build(self, colours: int, width: int) -> ImageCnn:
        return ImageCnn(colours, self.channels, self.fields, width)
