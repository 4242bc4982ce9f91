"""Boxes as tensors (..., 4) of left, top, right, bottom: areas, overlaps, and the loss that makes boxes overlap."""

import torch
from torch import Tensor

SMALL = 1e-6


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)"""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """(..., n, 4) and (..., m, 4) -> (..., n, m), intersection over union."""
    a, b = a.unsqueeze(-2), b.unsqueeze(-3)
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = sides.clamp(min=0).prod(-1)
    return shared / (area(a) + area(b) - shared).clamp(min=SMALL)


def giou_loss(a: Tensor, b: Tensor) -> Tensor:
    """(..., 4) and (..., 4), pairs -> (...), 1 - GIoU (Rezatofighi et al., 2019); 0 where they are equal, below 2."""
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = sides.clamp(min=0).prod(-1)
    union = (area(a) + area(b) - shared).clamp(min=SMALL)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    around = hull.clamp(min=0).prod(-1).clamp(min=SMALL)
    return 1 - shared / union + (around - union) / around


def within(boxes: Tensor, height: int, width: int) -> Tensor:
    """Cut to the picture."""
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)
