"""The boxes of a picture to what a map of features is to say: heat at their middles, and which cells own which box."""

from typing import NamedTuple

import torch
from torch import Tensor

SPREAD = 0.09  # standard deviation of the heat by the side of the box; TTFNet (Liu et al., 2020) has 0.54 / 6
LEAST = 0.5  # cells; else the heat of small things would fall between them
TELLING = 0.2  # the same for how much a cell counts that tells the box: more cells learn it than are hot
FEW = 0.7  # cells
OWNED = 0.05  # from which a cell tells the box


class Truth(NamedTuple):
    """What is in one picture."""

    boxes: Tensor  # (n, 4) in pixels of the input
    classes: Tensor  # (n,) int64


class Targets(NamedTuple):
    heat: Tensor  # (B, classes, H, W), 1 at the cell of a box's middle
    boxes: Tensor  # (B, H, W, 4) in pixels
    weight: Tensor  # (B, H, W), sums to 1 over the cells of a box that none smaller covers
    total: int  # boxes


def cells(height: int, width: int, stride: int) -> Tensor:
    """(H, W, 2) x and y of the cells' middles, in pixels."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack([x, y], -1) + 0.5) * stride


def targets(truths: list[Truth], classes: int, height: int, width: int, stride: int) -> Targets:
    """For a batch; the smaller of two boxes owns the cells that both claim (CenterNet's heat, Zhou et al., 2019)."""
    heat = torch.zeros(len(truths), classes, height, width)
    boxes = torch.zeros(len(truths), height, width, 4)
    weight = torch.zeros(len(truths), height, width)
    for i, truth in enumerate(truths):
        if len(truth.boxes):
            paint(heat[i], boxes[i], weight[i], truth, stride)
    return Targets(heat, boxes, weight, sum(len(truth.boxes) for truth in truths))


def paint(heat: Tensor, boxes: Tensor, weight: Tensor, truth: Truth, stride: int) -> None:
    """One picture, in place: heat (classes, H, W), boxes (H, W, 4), weight (H, W)."""
    height, width = weight.shape
    sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
    middle = ((truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2 / stride).floor()  # (n, 2), a cell
    middle = torch.minimum(middle.clamp(min=0), torch.tensor([width - 1, height - 1]))
    hot = bumps(middle, (sides / stride * SPREAD).clamp(min=LEAST), height, width)
    for label in set(truth.classes.tolist()):
        heat[label] = hot[truth.classes == label].amax(0)
    telling = bumps(middle, (sides / stride * TELLING).clamp(min=FEW), height, width)
    at = cells(height, width, stride)[None]  # (1, H, W, 2)
    left, right = truth.boxes[:, None, None, :2], truth.boxes[:, None, None, 2:]
    within = ((at > left) & (at < right)).all(-1) | (hot == 1)  # no other cell can say how far the sides are
    telling = telling * within
    order = sides.prod(1).argsort()  # small ones first: argmax takes the first of equals
    claimed = (telling[order] > OWNED).float()
    owner, owned = order[claimed.argmax(0)], claimed.amax(0)
    mine = telling.gather(0, owner[None])[0] * owned
    total = torch.zeros(len(sides)).index_add_(0, owner.flatten(), mine.flatten())
    boxes.copy_(truth.boxes[owner])
    weight.copy_(mine / total.clamp(min=1e-6)[owner])


def bumps(middle: Tensor, spread: Tensor, height: int, width: int) -> Tensor:
    """(n, H, W): 1 at the cell (n, 2) of each, and Gaussian around it, of a standard deviation (n, 2) in cells."""
    x = torch.exp(-((torch.arange(width) - middle[:, :1]) ** 2) / (2 * spread[:, :1] ** 2))
    y = torch.exp(-((torch.arange(height) - middle[:, 1:]) ** 2) / (2 * spread[:, 1:] ** 2))
    return y[:, :, None] * x[:, None]
