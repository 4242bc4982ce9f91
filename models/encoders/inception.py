"""Pixels to one vector: Inception v1, with torchvision's names of its weights (there googlenet)."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.encoders.pretrained import Pretrained, load, read
from service.types import Spec

MIXTURES = {  # block -> channels before; 1x1; 3x3 and what reduces to it; "5x5" and what reduces to it; after the pool
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}  # table 1 of the paper
POOLED = {"3b": (3, 2), "4e": (2, 2)}  # block -> kernel and stride of the maximum after it


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)
        nn.init.trunc_normal_(self.conv.weight, std=(2 / (kernel * kernel * before)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Mixture(nn.Module):
    """Four views of one input, side by side. The published weights have 3x3 kernels where the paper has 5x5
    (pytorch/vision issue 906)."""

    def __init__(self, before: int, one: int, to_three: int, three: int, to_five: int, five: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = Conv(before, one, 1)
        self.branch2 = nn.Sequential(Conv(before, to_three, 1), Conv(to_three, three, 3))
        self.branch3 = nn.Sequential(Conv(before, to_five, 1), Conv(to_five, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(before, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, one + three + five + pooled, H, W)."""
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), 1)


class Inception(nn.Module):
    """Szegedy et al., Going Deeper with Convolutions, CVPR 2015, arXiv:1409.4842; with batch norm, without the
    auxiliary classifiers. torchvision's weights want pixels as (x / 255 - 0.5) / 0.5."""

    features = 1024

    def __init__(self, colours: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Conv(colours, 64, 7, 2), Conv(64, 64, 1), Conv(64, 192, 3)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for name, channels in MIXTURES.items():
            self.add_module(f"inception{name}", Mixture(*channels))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, colours, H, W) -> (B, 1024): the mean over all places."""
        x = self.pool(self.conv1(pixels))  # (B, 64, H / 4, W / 4)
        x = self.pool(self.conv3(self.conv2(x)))  # (B, 192, H / 8, W / 8)
        for name in MIXTURES:
            x = self.get_submodule(f"inception{name}")(x)
            if name in POOLED:
                x = nn.functional.max_pool2d(x, *POOLED[name], ceil_mode=True)
        h: Tensor = x.mean((2, 3))  # of (B, 1024, H / 32, W / 32)
        return h


class InceptionSpec(Spec):
    kind: Literal["inception"] = "inception"
    weights: str | None = Field(None, description="file of a state dict with torchvision's names of googlenet")
    frozen: bool = Field(False, description="only the layer after it is trained")

    def build(self, colours: int, width: int) -> Pretrained:
        """Raises FileNotFoundError, ValueError where the weights do not fit."""
        body = Inception(colours)
        if self.weights:
            load(body, read(Path(self.weights)), without=["fc.", "aux1.", "aux2."])
        return Pretrained(body, body.features, width, frozen=self.frozen)
