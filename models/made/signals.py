"""Synthetic pictures and sounds, as bytes of files."""

import io

import numpy as np
import PIL.Image
import soundfile
from numpy.random import Generator

from service.types import Array


def png(pixels: Array) -> bytes:
    """(H, W, 3), clipped to 0..255."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def flac(samples: Array, rate: int) -> bytes:
    """(N,), clipped to -1..1."""
    file = io.BytesIO()
    soundfile.write(file, samples.clip(-1, 1).astype(np.float32), rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def surface(side: int, colour: Array, rng: Generator) -> Array:
    """(side, side, 3): of one colour (3,), with soft light and grain."""
    y, x = np.mgrid[0:side, 0:side] / side
    light = 1 + 0.25 * (rng.uniform(-1, 1) * (x - 0.5) + rng.uniform(-1, 1) * (y - 0.5))
    return np.asarray(colour * light[..., None] + rng.normal(0, 6, (side, side, 3)))


def spot(side: int, rng: Generator, low: float, high: float) -> Array:
    """(side, side, 1): 1 inside of a soft disc of a radius between `low` and `high` of the side, somewhere."""
    y, x = np.mgrid[0:side, 0:side] / side
    radius, (cx, cy) = rng.uniform(low, high), rng.uniform(0.3, 0.7, 2)
    return np.asarray(1 / (1 + np.exp((np.hypot(x - cx, y - cy) - radius) * 40)))[..., None]
