"""A small residual network with a top-down path: a picture to one map of features."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions and a short cut (He et al., 2015); (B, n, H, W) -> (B, m, H / stride, W / stride)."""

    def __init__(self, n: int, m: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m))
        same = n == m and stride == 1
        self.short = nn.Identity() if same else nn.Sequential(nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.short(x))


class Pyramid(nn.Module):
    """`widths`: channels at strides 2, 4, 8, ...; the map is of `stride`, and has seen all the coarser ones.

    The top-down sum is that of feature pyramids (Lin et al., 2017), of which only the finest map is kept.
    """

    def __init__(self, widths: list[int], depths: list[int], stride: int, width: int) -> None:
        super().__init__()
        stem = nn.Conv2d(3, widths[0], 5, 2, 2, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList(
            nn.Sequential(Block(n, m, 2), *(Block(m, m) for _ in range(depth - 1)))
            for (n, m), depth in zip(pairwise(widths), depths, strict=True)
        )
        self.skipped = stride.bit_length() - 3  # stages finer than the map
        self.lateral = nn.ModuleList(nn.Conv2d(m, width, 1) for m in widths[1 + self.skipped :])
        self.out = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, width, H / stride, W / stride); H and W are multiples of the coarsest stride."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        sides = [lateral(each) for lateral, each in zip(self.lateral, maps[self.skipped :], strict=True)]
        top: Tensor = sides.pop()
        while sides:
            top = functional.interpolate(top, scale_factor=2.0, mode="nearest") + sides.pop()
        kept: Tensor = self.out(top)
        return kept
