"""Pixels to one vector: residual networks, with torchvision's names of their weights."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.encoders.pretrained import Pretrained, load, read
from service.types import Spec

SIZES = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}  # blocks of each stage


class Block(nn.Module):
    """relu(x + f(x)). f is two 3x3 convolutions, or, where `deep`, 1x1, 3x3, 1x1 with four times the channels at the
    end and the stride in the middle one."""

    def __init__(self, before: int, channels: int, stride: int, *, deep: bool) -> None:
        super().__init__()
        after = 4 * channels if deep else channels
        self.conv1, self.bn1 = conv(before, channels, 1 if deep else 3, 1 if deep else stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3, stride if deep else 1), nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, after, 1) if deep else None
        self.bn3 = nn.BatchNorm2d(after) if deep else None
        same = before == after and stride == 1
        self.downsample = None if same else nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.conv3 is not None and self.bn3 is not None:
            y = self.bn3(self.conv3(torch.relu(y)))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385. A `small` one begins with a
    3x3 convolution and no pooling, as the paper's for pictures of 32x32."""

    def __init__(self, colours: int, layers: int, *, small: bool = False) -> None:
        super().__init__()
        self.conv1 = conv(colours, 64, 3) if small else conv(colours, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        deep, first, second, third, fourth = layers >= 50, *SIZES[layers]
        growth = 4 if deep else 1
        self.layer1 = stage(64, 64, first, 1, deep=deep)
        self.layer2 = stage(64 * growth, 128, second, 2, deep=deep)
        self.layer3 = stage(128 * growth, 256, third, 2, deep=deep)
        self.layer4 = stage(256 * growth, 512, fourth, 2, deep=deep)
        self.features = 512 * growth

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, colours, H, W) -> (B, features): the mean over all places."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(pixels))))  # (B, 64, H / 4, W / 4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, features, H / 32, W / 32)
        h: Tensor = x.mean((2, 3))
        return h


def conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def stage(before: int, channels: int, blocks: int, stride: int, *, deep: bool) -> nn.Sequential:
    after = 4 * channels if deep else channels
    rest = (Block(after, channels, 1, deep=deep) for _ in range(blocks - 1))
    return nn.Sequential(Block(before, channels, stride, deep=deep), *rest)


class ResNetSpec(Spec):
    kind: Literal["resnet"] = "resnet"
    layers: Literal[18, 34, 50] = 18
    small: bool = Field(False, description="for thumbnails: the first layers keep the side")
    weights: str | None = Field(None, description="file of a state dict with torchvision's names")
    frozen: bool = Field(False, description="only the layer after it is trained")

    def build(self, colours: int, width: int) -> Pretrained:
        """Raises FileNotFoundError, ValueError where the weights do not fit."""
        body = ResNet(colours, self.layers, small=self.small)
        if self.weights:
            load(body, read(Path(self.weights)), without=["fc."])
        return Pretrained(body, body.features, width, frozen=self.frozen)
