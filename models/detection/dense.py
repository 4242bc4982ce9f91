"""The one-stage detector: a map of features to heat, where things are, and to the box that each cell would draw."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.boxes import giou_loss, within
from models.detection.targets import Targets, cells

BASE = 16.0  # pixels of the distance to a side where the head says 0
REACH = 4.0  # exp(-4) x 16 to exp(4) x 16 pixels: 0.3 to 874
RARE = -4.6  # bias: heat begins at 1 %
FLAT = 1e-4
LEAST = 0.02  # heat below which a peak is nothing: on blank paper a thousand cells are equally cold


class Dense(NamedTuple):
    logits: Tensor  # (B, classes, H, W)
    boxes: Tensor  # (B, H, W, 4) in pixels


def mirror(dense: Dense, width: int) -> Dense:
    """What was found in the mirror image, in the picture, which is `width` pixels wide, whole cells."""
    boxes = dense.boxes.flip(2)
    left, top, right, bottom = boxes.unbind(-1)
    return Dense(dense.logits.flip(3), torch.stack([width - right, top, width - left, bottom], -1))


def mean(a: Dense, b: Dense) -> Dense:
    return Dense((a.logits + b.logits) / 2, (a.boxes + b.boxes) / 2)


class Head(nn.Module):
    """Heat and boxes from one map; `context` is the width of what else is known, by which its channels are shifted.

    FiLM (Perez et al., 2018): x (1 + gamma(c)) + beta(c), which begins as x; c is a text's or a sound's vector. Both
    are linear: zeros, which say nothing, change nothing.
    """

    def __init__(self, width: int, classes: int, stride: int, context: int = 0) -> None:
        super().__init__()
        self.stride = stride
        self.film = nn.Linear(context, 2 * width, bias=False) if context else None
        self.heat = tower(width, classes)
        self.sides = tower(width, 4)
        nn.init.constant_(bias(self.heat), RARE)
        if self.film:
            nn.init.zeros_(self.film.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Dense:
        """x (B, width, H, W), context (B, width of it)."""
        if self.film is not None and context is not None:
            gamma, beta = self.film(context)[..., None, None].chunk(2, 1)
            x = x * (1 + gamma) + beta
        height, width = x.shape[2:]
        away = (
            torch.exp(self.sides(x).float().clamp(-REACH, REACH)).permute(0, 2, 3, 1) * BASE
        )  # left, top, right, bottom
        at = cells(height, width, self.stride).to(x.device)
        boxes = torch.cat([at - away[..., :2], at + away[..., 2:]], -1)
        return Dense(self.heat(x).float(), boxes)


def tower(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, out, 1),
    )


def bias(layers: nn.Sequential) -> Tensor:
    """Of the last layer."""
    conv = layers[-1]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.bias


class Found(NamedTuple):
    """The hottest peaks of each picture, hottest first."""

    boxes: Tensor  # (B, K, 4) in pixels, within the picture
    scores: Tensor  # (B, K)
    classes: Tensor  # (B, K) int64


def peaks(dense: Dense, most: int, stride: int, least: float = LEAST) -> Found:
    """A cell counts if none of its 8 neighbours is hotter (CenterNet, Zhou et al., 2019), which needs no other NMS.

    Places that no peak fills are zeros in boxes, scores and classes: which of the cold cells TopK would take there, the
    last bit of a sum decides.
    """
    logits = dense.logits
    height, width = logits.shape[2:]
    heat = torch.sigmoid(logits)
    peak = (functional.max_pool2d(logits, 3, 1, 1) == logits).to(heat.dtype)
    scores, at = torch.topk((heat * peak).flatten(1), most, dim=1)
    warm = (scores > least).to(scores.dtype)
    cell = at % (height * width)
    boxes = dense.boxes.flatten(1, 2).gather(1, cell[..., None].expand(-1, -1, 4))
    boxes = within(boxes, height * stride, width * stride) * warm[..., None]
    return Found(boxes, scores * warm, at // (height * width) * warm.long())


def dense_loss(dense: Dense, targets: Targets) -> tuple[Tensor, Tensor]:
    """Heat and boxes, each by the number of boxes; the heat's is CenterNet's focal loss."""
    count = max(targets.total, 1)
    p = torch.sigmoid(dense.logits).clamp(FLAT, 1 - FLAT)
    there = (targets.heat == 1).float()
    missed = there * (1 - p) ** 2 * torch.log(p)
    imagined = (1 - targets.heat) ** 4 * p**2 * torch.log(1 - p)
    heat = -(missed + imagined).sum() / count
    told = targets.weight > 0
    boxes = (giou_loss(dense.boxes[told], targets.boxes[told]) * targets.weight[told]).sum() / count
    return heat, boxes
