"""What padding may not change: convolutions and pooling under a mask."""

import torch
from torch import Tensor, nn


class Conv1d(nn.Module):
    """Convolution, batch norm, ReLU over time; padding counts as zeros, as it does beyond the end."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm1d(after)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, T), mask (B, 1, T)."""
        return torch.relu(self.norm(self.conv(x * mask)))


class Conv2d(nn.Module):
    """The same over (frequency, time). A stride of 2 over time keeps every second place of the mask."""

    def __init__(self, before: int, after: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.time = stride[1]

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, F, T), mask (B, 1, 1, T) -> the same of the output."""
        x = torch.relu(self.norm(self.conv(x * mask)))
        return x, mask if self.time == 1 else mask[..., :: self.time]


def pool(x: Tensor, mask: Tensor) -> Tensor:
    """(B, C, T) >= 0 under (B, 1, T) -> (B, 2 C): [max; mean] over the valid places, zeros where there is none."""
    x = x * mask
    return torch.cat((x.amax(-1), x.sum(-1) / mask.sum(-1).clamp(min=1)), 1)
