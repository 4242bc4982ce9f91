"""Synthetic pictures with boxes: discs and squares on paper, drawn by code, for tests and for bundles' examples."""

import io

import numpy as np
import PIL.Image
import PIL.ImageDraw

from models.datasets.boxed import Boxed
from service.types import FLOAT

PAPER = (236, 226, 214)
INK = [(196, 92, 96), (92, 60, 150), (70, 140, 90), (210, 170, 60), (60, 110, 190), (150, 90, 50), (90, 90, 90)]


def picture(name: str, split: str, size: tuple[int, int], kinds: int, seed: int) -> Boxed:
    """(width, height); a kind has its colour, every other one is square; none covers another's middle."""
    rng = np.random.default_rng(seed)
    width, height = size
    image = PIL.Image.new("RGB", size, PAPER)
    draw = PIL.ImageDraw.Draw(image)
    boxes: list[list[float]] = []
    classes: list[int] = []
    for _ in range(int(rng.integers(2, 6))):
        side = min(size) * rng.uniform(0.15, 0.3)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        if any(abs(left - a) < side and abs(top - b) < side for a, b, _, _ in boxes):
            continue
        kind = int(rng.integers(kinds))
        box = (left, top, left + side, top + side)
        (draw.rectangle if kind % 2 else draw.ellipse)(box, INK[kind % len(INK)])
        boxes.append(list(box))
        classes.append(kind)
    data = io.BytesIO()
    image.save(data, "PNG")
    shares = np.array(boxes, FLOAT).reshape(-1, 4) / np.array([width, height] * 2, FLOAT)
    return Boxed(name, data.getvalue(), split, shares, np.array(classes, np.int64))
