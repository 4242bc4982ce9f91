"""Values of regions to a picture that shows them: red speaks for the answer, blue against it."""

import base64
import io

import numpy as np
import PIL.Image

from service.explain.canvas import Painting, Recording
from service.explain.occlusion import Found
from service.types import FLOAT, Array

SMALLEST, LARGEST = 224, 512  # pixels of the longer side
FOR, AGAINST = (220, 30, 30), (30, 80, 220)
STRENGTH = 0.7  # of the colour where it is strongest
FRAME = 256  # samples of a frame of the spectrogram
DECIBELS = 80  # that it shows


def over_picture(painting: Painting, found: Found) -> str:
    """The upright original in grey under the heat of its boxes; PNG in base64."""
    grey = sized(painting.picture.convert("L"))
    heat = np.zeros((grey.height, grey.width), FLOAT)
    scale = [grey.width / painting.size[0], grey.height / painting.size[1]] * 2
    for box, value in found:
        left, top, right, bottom = (round(edge * each) for edge, each in zip(box, scale, strict=True))
        heat[top:bottom, left:right] = value
    return encoded(grey, heat)


def over_spectrogram(sound: Recording, times: Found, bands: Found) -> str:
    """Time to the right, hertz upwards (linear); a cell has the heat of its time and of its band. PNG in base64."""
    levels = spectrogram(sound.samples)[::-1]  # (bins, frames), low below
    grey = sized(PIL.Image.fromarray(levels.astype(np.uint8)))
    frames, bins = grey.size
    across, up = np.zeros(frames, FLOAT), np.zeros(bins, FLOAT)
    seconds = len(sound.samples) / sound.rate
    for (start, end), value in times:
        across[round(start / seconds * frames) : round(end / seconds * frames)] = value
    for (low, high), value in bands:
        up[round(2 * low / sound.rate * bins) : round(2 * high / sound.rate * bins)] = value
    return encoded(grey, (normal(across)[None] + normal(up)[::-1, None]) / 2)


def spectrogram(samples: Array) -> Array:
    """(bins, frames) 0 to 255: decibels under the loudest."""
    samples = np.pad(samples, (0, max(0, FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[:: FRAME // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2
    levels = 10 * np.log10(np.maximum(power, 1e-12))
    return np.asarray(255 * np.clip((levels - levels.max()) / DECIBELS + 1, 0, 1), FLOAT).T


def normal(heat: Array) -> Array:
    """To -1 .. 1, zero staying zero."""
    return np.asarray(heat / max(float(np.abs(heat).max(initial=0)), 1e-12))


def sized(picture: PIL.Image.Image) -> PIL.Image.Image:
    longer = max(picture.size)
    factor = min(max(longer, SMALLEST), LARGEST) / longer
    if factor == 1:
        return picture
    how = PIL.Image.Resampling.NEAREST if factor > 1 else PIL.Image.Resampling.BOX
    return picture.resize([max(1, round(side * factor)) for side in picture.size], how)


def encoded(grey: PIL.Image.Image, heat: Array) -> str:
    """A picture under (H, W) heat of its size."""
    picture, strength = grey.convert("RGB"), 255 * STRENGTH * normal(heat)
    for colour, mask in ((FOR, strength), (AGAINST, -strength)):
        picture.paste(colour, mask=PIL.Image.fromarray(np.maximum(mask, 0).astype(np.uint8)))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return base64.b64encode(out.getvalue()).decode()
