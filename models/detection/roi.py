"""RoI align (He et al., Mask R-CNN, 2017) by GridSample: any number of boxes, the same in ONNX Runtime."""

import torch
from torch import Tensor
from torch.nn import functional


def roi_align(features: Tensor, boxes: Tensor, size: int, stride: int, samples: int = 2) -> Tensor:
    """(B, C, H, W) and boxes (B, K, 4) in pixels -> (B, K, C, size, size).

    Each bin is the mean of `samples` x `samples` points, read bilinearly; as ONNX's RoiAlign with half_pixel, but boxes
    belong to their picture by their place, and points beyond the map take its border.
    """
    n = size * samples
    count, (height, width) = boxes.shape[1], features.shape[2:]
    steps = (torch.arange(n, device=boxes.device, dtype=boxes.dtype) + 0.5) / n
    x = boxes[..., 0:1] + (boxes[..., 2:3] - boxes[..., 0:1]) * steps  # (B, K, n) pixels
    y = boxes[..., 1:2] + (boxes[..., 3:4] - boxes[..., 1:2]) * steps
    grid_x = (2 / (width * stride) * x - 1)[:, :, None, :].expand(-1, -1, n, -1)
    grid_y = (2 / (height * stride) * y - 1)[:, :, :, None].expand(-1, -1, -1, n)
    grid = torch.stack([grid_x, grid_y], -1).flatten(1, 2)  # (B, K n, n, 2)
    read = functional.grid_sample(features, grid, "bilinear", "border", align_corners=False)  # (B, C, K n, n)
    means = functional.avg_pool2d(read, samples)  # (B, C, K size, size)
    batch, channels = features.shape[:2]
    return means.reshape(batch, channels, count, size, size).transpose(1, 2)
