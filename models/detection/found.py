"""A trained detector asked about pictures: what it finds after NMS, and how good that is."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from models.detection.metric import Boxes, mean_average_precision
from models.detection.pictures import Pictures
from service.outputs.boxes import suppressed

AT_ONCE = 16
LEAST = 0.01  # scores below do not move the metric
Detect = Callable[[Tensor], tuple[Tensor, Tensor]]  # (B, 3, H, W) -> (B, K, 4) pixels, (B, K, classes)


def found(detect: Detect, pictures: Pictures, nms: float) -> Iterator[Boxes]:
    """Per picture; a region has its best class, as the service answers."""
    for start in range(0, len(pictures.names), AT_ONCE):
        with torch.no_grad():
            boxes, scores = detect(torch.from_numpy(pictures.pixels[start : start + AT_ONCE]))
        for where, each in zip(boxes.double().numpy(), scores.numpy(), strict=True):
            order = np.argsort(-each.max(1), kind="stable")
            where, best, classes = where[order], each.max(1)[order], each.argmax(1)[order]
            kept = [i for i in suppressed(where, classes, nms, len(where)) if best[i] >= LEAST]
            yield Boxes(where[kept], classes[kept], best[kept])


def quality(detect: Detect, pictures: Pictures, labels: list[str], nms: float) -> dict[str, float]:
    """AP at IoU 0.5 by label, and their mean."""
    there = [
        Boxes(boxes, kinds, np.ones(len(kinds))) for boxes, kinds in zip(pictures.boxes, pictures.classes, strict=True)
    ]
    return mean_average_precision(list(found(detect, pictures, nms)), there, labels)
