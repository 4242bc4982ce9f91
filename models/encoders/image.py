"""Pixels to one vector: three convolutions, each at half the side of the one before."""

import torch
from torch import Tensor, nn


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
