"""What padding may not change: convolutions and pooling under a mask."""

import torch
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution, batch norm, ReLU over (rows, time); padding in time counts as zeros, as it does beyond the end.

    Also where there is one row only: onnxruntime's blocked kernels, twice as fast, know two dimensions.
    """

    def __init__(
        self, before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), *, rows: int = 0
    ) -> None:
        """`rows`: padding beyond the first and last row; in time the length is kept, or divided by the stride."""
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding=(rows, kernel[1] // 2), bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.time = stride[1]

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, R, T), mask (B, 1, 1, T) -> the same of the output; a stride in time keeps every such place."""
        x = torch.relu(self.norm(self.conv(x * mask)))
        return x, mask if self.time == 1 else mask[..., :: self.time]


def pool(x: Tensor, mask: Tensor) -> Tensor:
    """(B, C, 1, T) >= 0 under (B, 1, 1, T) -> (B, 2 C): [max; mean] over the valid places, or zeros."""
    x = (x * mask)[:, :, 0]
    return torch.cat((x.amax(-1), x.sum(-1) / mask[:, :, 0].sum(-1).clamp(min=1)), 1)
