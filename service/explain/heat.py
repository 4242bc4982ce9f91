"""Values of regions to a picture that shows them: red speaks for the answer, blue against it."""

import base64
import io

import numpy as np
import PIL.Image

from service.explain.canvas import Painting, Recording
from service.explain.occlusion import Found
from service.types import FLOAT, Array

SMALLEST, LARGEST = 224, 512  # pixels of the longer side
FOR, AGAINST = np.array([220, 30, 30], FLOAT), np.array([30, 80, 220], FLOAT)
STRENGTH = 0.7  # of the colour where it is strongest
FRAME = 256  # samples of a frame of the spectrogram
DECIBELS = 80  # that it shows


def over_picture(painting: Painting, found: Found) -> str:
    """The upright original in grey under the heat of its boxes; PNG in base64."""
    width, height = painting.picture.size
    heat = np.zeros((height, width), FLOAT)
    for (left, top, right, bottom), value in found:
        heat[int(top) : int(bottom), int(left) : int(right)] = value
    return encoded(np.asarray(painting.picture.convert("L"), FLOAT), heat)


def over_spectrogram(sound: Recording, times: Found, bands: Found) -> str:
    """Time to the right, hertz upwards (linear); a cell has the heat of its time and of its band. PNG in base64."""
    levels = spectrogram(sound.samples)  # (bins, frames)
    bins, frames = levels.shape
    across, up = np.zeros(frames, FLOAT), np.zeros(bins, FLOAT)
    seconds = len(sound.samples) / sound.rate
    for (start, end), value in times:
        across[round(start / seconds * frames) : round(end / seconds * frames)] = value
    for (low, high), value in bands:
        up[round(2 * low / sound.rate * bins) : round(2 * high / sound.rate * bins)] = value
    return encoded(levels[::-1], (normal(across)[None] + normal(up)[:, None])[::-1] / 2)


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


def encoded(grey: Array, heat: Array) -> str:
    """(H, W) grey of 0 to 255 under (H, W) heat."""
    strength = STRENGTH * np.abs(normal(heat))[..., None]
    colour = np.where(heat[..., None] > 0, FOR, AGAINST)
    pixels = (grey[..., None] * (1 - strength) + colour * strength).astype(np.uint8)
    picture = PIL.Image.fromarray(pixels)
    longer = max(picture.size)
    factor = min(max(longer, SMALLEST), LARGEST) / longer
    if factor != 1:
        how = PIL.Image.Resampling.NEAREST if factor > 1 else PIL.Image.Resampling.BOX
        picture = picture.resize([max(1, round(side * factor)) for side in picture.size], how)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return base64.b64encode(out.getvalue()).decode()
