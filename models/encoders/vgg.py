"""Pixels to one vector: 3x3 convolutions in a row, with torchvision's names of their weights."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.encoders.image import grid
from models.encoders.pretrained import Pretrained, load, read
from service.types import Spec

STAGES = {11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4]}
CHANNELS = [64, 128, 256, 512, 512]


class Vgg(nn.Module):
    """Simonyan and Zisserman, 2015, arXiv:1409.1556. `norm`: with batch norm after each convolution. `dense`: with the
    paper's two layers of 4096 over a grid of 7x7, nine tenths of its weights; else the mean of all places."""

    def __init__(self, colours: int, layers: int, *, norm: bool = True, dense: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(*convolutions(colours, layers, norm=norm))
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()), *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout())
        ) if dense else None  # fmt: skip
        self.width = 4096 if dense else 512

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, colours, H, W), both sides 32 or more -> (B, width)."""
        x: Tensor = self.features(pixels)  # (B, 512, H / 32, W / 32)
        if self.classifier is None:
            return x.mean((2, 3))
        h: Tensor = self.classifier(torch.flatten(grid(x, 7), 1))
        return h


def convolutions(colours: int, layers: int, *, norm: bool) -> list[nn.Module]:
    made: list[nn.Module] = []
    before = colours
    for count, channels in zip(STAGES[layers], CHANNELS, strict=True):
        for _ in range(count):
            conv = nn.Conv2d(before, channels, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            made += [conv, nn.BatchNorm2d(channels), nn.ReLU()] if norm else [conv, nn.ReLU()]
            before = channels
        made.append(nn.MaxPool2d(2))
    return made


class VggSpec(Spec):
    kind: Literal["vgg"] = "vgg"
    layers: Literal[11, 13, 16, 19] = 11
    norm: bool = Field(True, description="batch norm; torchvision's vgg11_bn, not vgg11")
    dense: bool = Field(False, description="with the two layers of 4096, for pictures of 224x224 and weights of a file")
    weights: str | None = Field(None, description="file of a state dict with torchvision's names")
    frozen: bool = Field(False, description="only the layer after it is trained")

    def build(self, colours: int, width: int) -> Pretrained:
        """Raises FileNotFoundError, ValueError where the weights do not fit."""
        body = Vgg(colours, self.layers, norm=self.norm, dense=self.dense)
        if self.weights:
            load(body, read(Path(self.weights)), without=["classifier.6." if self.dense else "classifier."])
        return Pretrained(body, body.width, width, frozen=self.frozen)
