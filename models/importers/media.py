"""What the example of an imported bundle is made of: a sentence, a picture and a sound that nobody has rights in."""

import io
import wave

import numpy as np
import PIL.Image

from service.inputs import Input

TEXT = "Two grey cats sleep on a red sofa while rain taps on the window."
SECONDS = 2.3


def example(spec: Input) -> tuple[str, bytes]:
    """File ending and content of a part's example."""
    if spec.kind == "text":
        return "txt", TEXT.encode()
    if spec.kind == "image":
        return "png", picture()
    if spec.kind == "audio":
        return "wav", sound(spec.sample_rate, min(SECONDS, 0.45 * (spec.max_seconds or 60)))  # room for two
    raise ValueError(f"no example of {spec.kind}")


def picture(width: int = 318, height: int = 243, *, seed: int = 5) -> bytes:
    """Gradients that a turned channel order would show, and grain that a wrong filter would."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    colours = np.stack([255 * x, 255 * y, 127 + 127 * np.sin((4 + seed) * x * y)], -1)
    grain = random.integers(-40, 40, colours.shape)
    out = io.BytesIO()
    PIL.Image.fromarray((colours + grain).clip(0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def sound(rate: int = 48_000, seconds: float = SECONDS, *, seed: int = 5) -> bytes:
    """A rising tone, its overtone and a little noise, mono, 16 bit."""
    time = np.arange(int(rate * seconds)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (220 + 80 * seed * time) * time) + 0.1 * np.sin(2 * np.pi * 1760 * time)
    levels = 32767 * (tone + np.random.default_rng(seed).normal(0, 0.01, len(time)))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(levels.astype("<i2").tobytes())
    return out.getvalue()
