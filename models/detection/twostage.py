"""The two-stage detector: regions that may hold something, then each region's features to its class and its box."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.boxes import giou_loss, iou, within
from models.detection.dense import Found
from models.detection.roi import roi_align
from models.detection.targets import Truth

SHIFT, STRETCH = 0.1, 0.2  # units of the box's correction; Faster R-CNN (Ren et al., 2015)
LIMIT = 1.0  # corrections stretch by no more than e
TRIED = 48  # regions of a picture that one step learns from
SAME = 0.5  # IoU from which a region is taken for the thing


class Judged(NamedTuple):
    logits: Tensor  # (B, K, classes + 1), the last: nothing
    boxes: Tensor  # (B, K, 4) in pixels


class Second(nn.Module):
    """Regions (B, K, 4) with features -> what they hold."""

    def __init__(self, width: int, classes: int, stride: int, size: int = 5, hidden: int = 96) -> None:
        super().__init__()
        self.stride, self.size = stride, size
        self.narrow = nn.Conv2d(width, 32, 1)
        self.hidden = nn.Sequential(
            nn.Linear(32 * size * size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.kind = nn.Linear(hidden, classes + 1)
        self.shift = nn.Linear(hidden, 4)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, features: Tensor, regions: Tensor) -> Judged:
        seen = roi_align(self.narrow(features).float(), regions, self.size, self.stride)
        h = self.hidden(seen.flatten(2)).float()
        return Judged(self.kind(h).float(), moved(regions, self.shift(h).float()))

    def judge(self, features: Tensor, regions: Tensor, sure: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """-> boxes (B, K, 4) within the picture, scores (B, K, classes).

        A score is the root of the first stage's, (B, K, 1), times the second's (CenterNet2, Zhou et al., 2021).
        """
        judged = self(features, regions)
        return within(judged.boxes, *size), torch.sqrt(sure * judged.logits.softmax(-1)[..., :-1])


def moved(boxes: Tensor, by: Tensor) -> Tensor:
    """The middle by shares of the sides, the sides by exp."""
    sides = boxes[..., 2:] - boxes[..., :2]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 + SHIFT * by[..., :2] * sides
    half = sides / 2 * torch.exp((STRETCH * by[..., 2:]).clamp(-LIMIT, LIMIT))
    return torch.cat([middle - half, middle + half], -1)


def regions(found: Found, truths: list[Truth]) -> Tensor:
    """(B, TRIED or fewer, 4): the true boxes, shaken, among the regions found; nothing is learned through them."""
    count = min(TRIED, found.boxes.shape[1])
    chosen = []
    for boxes, truth in zip(found.boxes.detach(), truths, strict=True):
        true = truth.boxes[torch.randperm(len(truth.boxes))[: count // 2]]
        sides = (true[:, 2:] - true[:, :2]).repeat(1, 2)
        shaken = true + (torch.rand_like(true) - 0.5) * 0.3 * sides
        chosen.append(torch.cat([shaken, boxes])[:count])
    return torch.stack(chosen)


def second_loss(judged: Judged, tried: Tensor, truths: list[Truth]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the regions' classes, and 1 - GIoU of the boxes that hold something."""
    nothing = judged.logits.shape[-1] - 1
    classes = torch.full(tried.shape[:2], nothing)
    goals = torch.zeros_like(tried)
    for i, truth in enumerate(truths):
        if len(truth.boxes):
            overlap, which = iou(tried[i], truth.boxes).max(1)
            classes[i] = torch.where(overlap >= SAME, truth.classes[which], nothing)
            goals[i] = truth.boxes[which]
    kinds = functional.cross_entropy(judged.logits.flatten(0, 1), classes.flatten())
    held = classes != nothing
    boxes = giou_loss(judged.boxes[held], goals[held]).sum() / held.sum().clamp(min=1)
    return kinds, boxes
