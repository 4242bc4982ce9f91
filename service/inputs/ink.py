"""A drawn sign to the form of MNIST: bright ink on black, centred by its mass."""

import numpy as np
import PIL.Image
from pydantic import Field

from service.inputs.geometry import RESAMPLE, Resample
from service.types import FLOAT, Array, Spec


class Ink(Spec):
    """A drawn sign as in MNIST (LeCun et al., 1998): bright ink on black, its longer side `box`, centred by mass.

    Paper is the median of the border; dark ink on bright paper is inverted; contrast is stretched to the darkest ink.
    """

    size: int = Field(28, gt=0)
    box: int = Field(20, gt=0)
    threshold: float = Field(0.2, gt=0, lt=1, description="share of the strongest ink that still counts as ink")
    contrast: int = Field(16, gt=0, lt=256, description="grey levels below which a picture is blank")
    resample: Resample = "bilinear"


def drawn(spec: Ink, pixels: Array) -> Array:
    """(H, W) uint8 grey -> (size, size) uint8."""
    canvas = np.zeros((spec.size, spec.size), np.uint8)
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    half = len(border) // 2  # of an even number
    paper = int(np.partition(border, (half - 1, half))[half - 1 : half + 1].sum(dtype=int)) // 2  # the median
    blank = np.full(pixels.shape[1], paper, np.uint8)  # against a number, minimum takes ten times as long
    if paper > 127:
        ink = np.minimum(pixels, blank)
        np.subtract(blank, ink, out=ink)
    else:
        ink = np.maximum(pixels, blank)
        np.subtract(ink, blank, out=ink)
    peak = int(ink.max())
    if peak < spec.contrast:
        return canvas
    marks = ink > int(spec.threshold * peak)  # a whole number, for bytes are compared fast with nothing else
    rows, columns = np.flatnonzero(marks.any(1)), np.flatnonzero(marks.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink = stretched(ink)
    height, width = (max(1, round(side * spec.box / max(ink.shape))) for side in ink.shape)
    if ink.shape != (height, width):  # a thin pen on a large canvas fades when it is made small
        ink = stretched(np.asarray(PIL.Image.fromarray(ink).resize((width, height), RESAMPLE[spec.resample])))
    top, left = (middle(ink.sum(axis), spec.size) for axis in (1, 0))
    canvas[top : top + height, left : left + width] = ink
    return canvas


def stretched(ink: Array) -> Array:
    """The darkest ink to 255; uint8."""
    levels = np.rint(np.arange(256, dtype=FLOAT) * FLOAT(255 / max(int(ink.max()), 1))).astype(np.uint8)
    made = ink.tobytes().translate(levels.tobytes())  # take would make eight bytes of each first
    return np.frombuffer(made, np.uint8).reshape(ink.shape)


def middle(mass: Array, size: int) -> int:
    """Where ink of this mass along an axis must start for its centre of mass to be the middle of `size`."""
    centre = float(mass @ np.arange(len(mass))) / max(float(mass.sum()), 1.0) + 0.5
    return min(max(round(size / 2 - centre), 0), size - len(mass))
