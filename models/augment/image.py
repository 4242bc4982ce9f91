"""A 28 x 28 digit, white ink on black, to PNG bytes of what people really send: scans, photos, mouse drawings."""

import io

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from numpy.random import Generator

from service.types import FLOAT, Array

BILINEAR = PIL.Image.Resampling.BILINEAR
Point = tuple[float, float]


def png(pixels: Array | PIL.Image.Image) -> bytes:
    """(H, W) uint8 to PNG bytes."""
    picture = PIL.Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def vary(pixels: Array, rng: Generator) -> Array:
    """The digit rotated, sheared, scaled, and sometimes thicker, thinner, softer or noisy; (28, 28) uint8."""
    turn, shear = rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.25)
    wide, high = rng.uniform(0.8, 1.2, 2)
    cos, sin = np.cos(turn), np.sin(turn)
    a, b, d, e = wide * cos, wide * (shear * cos - sin), high * sin, high * (shear * sin + cos)
    c, f = 13.5 - 13.5 * (a + b), 13.5 - 13.5 * (d + e)  # the middle stays where it is
    picture = PIL.Image.fromarray(pixels).transform((28, 28), PIL.Image.Transform.AFFINE, (a, b, c, d, e, f), BILINEAR)
    if rng.random() < 0.15:
        picture = picture.filter(PIL.ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.2:
        noisy = np.asarray(picture) + rng.normal(0, rng.uniform(5, 35), (28, 28))
        return noisy.clip(0, 255).astype(np.uint8)
    return np.asarray(picture)


def inverted(pixels: Array) -> Array:
    """Black ink on white paper."""
    return 255 - pixels


class Components:
    """Pictures reduced to their first principal components, as AV-MNIST degrades them (MultiBench, k = 4)."""

    def __init__(self, pictures: Array) -> None:
        flat = pictures.reshape(len(pictures), -1).astype(FLOAT)
        self.mean = flat.mean(0)
        centred = flat - self.mean
        self.axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]  # (784, 784), strongest first

    def reduce(self, pixels: Array, count: int) -> Array:
        """(28, 28) uint8 of `count` components."""
        axes = self.axes[:, :count]
        flat = self.mean + axes @ (axes.T @ (pixels.reshape(-1) - self.mean))
        return np.asarray(flat.clip(0, 255).round().reshape(28, 28), np.uint8)


def thin(ink: Array) -> Array:
    """One-pixel skeletons of (N, H, W) bool drawings (Zhang and Suen, CACM 27, 1984), all at once."""
    ink = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    while True:
        before = ink
        for step in (0, 1):
            ring = [np.roll(ink, shift, (1, 2)) for shift in RING]  # p2 ... p9, clockwise from north
            count = np.sum(ring, 0)
            turns = sum(~ring[i] & ring[(i + 1) % 8] for i in range(8))
            north, east, south, west = ring[0], ring[2], ring[4], ring[6]
            keep = (east & south & (north | west)) if step == 0 else (north & west & (east | south))
            ink = ink & ~((count >= 2) & (count <= 6) & (turns == 1) & ~keep)
        if (before == ink).all():
            return ink[:, 1:-1, 1:-1]


RING = [(1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)]


def mouse(skeleton: Array, rng: Generator) -> PIL.Image.Image:
    """The digit as drawn on a canvas of a browser: one pen of any width, anywhere, in any size, either polarity."""
    side = int(rng.integers(120, 500))
    canvas = PIL.Image.new("L", (side, int(side * rng.uniform(0.7, 1.3))))
    size = rng.uniform(0.25, 0.9) * min(canvas.size)
    width = max(1.0, size * rng.uniform(0.01, 0.16))
    ys, xs = np.nonzero(skeleton)
    scale = size / max(int(np.ptp(ys)), int(np.ptp(xs)), 1)
    left, top = (
        rng.uniform(0, max(1.0, edge - scale * np.ptp(at))) for edge, at in zip(canvas.size, (xs, ys), strict=True)
    )
    x, y = (xs - xs.min()) * scale + left, (ys - ys.min()) * scale + top
    x, y = (axis + rng.normal(0, 0.2 * scale, len(axis)) for axis in (x, y))
    lines(PIL.ImageDraw.Draw(canvas), list(zip(x, y, strict=True)), near(xs, ys), width)
    if rng.random() < 0.3:
        canvas = canvas.filter(PIL.ImageFilter.GaussianBlur(rng.uniform(0.5, 2)))
    ink, paper = (255, 0) if rng.random() < 0.3 else (int(rng.integers(0, 90)), int(rng.integers(200, 256)))
    return canvas.point([round(paper + (ink - paper) * level / 255) for level in range(256)])


def near(xs: Array, ys: Array) -> Array:
    """(P, 2): pairs of points of a skeleton that touch; diagonal ones only where no corner joins them."""
    dx, dy = np.abs(xs[:, None] - xs), np.abs(ys[:, None] - ys)
    straight, diagonal = dx + dy == 1, (dx == 1) & (dy == 1)
    joined = (straight.astype(np.int32) @ straight.astype(np.int32)) > 0
    return np.argwhere(np.triu(straight | (diagonal & ~joined)))


def lines(draw: PIL.ImageDraw.ImageDraw, points: list[Point], pairs: Array, width: float) -> None:
    radius = width / 2
    for i, j in pairs.tolist():
        draw.line((*points[i], *points[j]), 255, max(1, round(width)))
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
