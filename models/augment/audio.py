"""A spoken digit (8 kHz samples) to WAV bytes of what people really send: other voices, rooms, microphones, noise."""

import io
import wave
from collections.abc import Sequence

import numpy as np
import soxr
from numpy.random import Generator

from service.types import FLOAT, Array

RATE = 8000  # of the recordings


def wav(samples: Array, rate: int = RATE) -> bytes:
    """(N,) floats in -1..1 to a 16-bit mono WAV file; what is louder is clipped."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).clip(-32768, 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def vary(samples: Array, noises: Sequence[Array], rng: Generator) -> bytes:
    """One recording as another voice, in another room, at another microphone."""
    samples = voice(samples, rng)
    if rng.random() < 0.2:
        samples = room(samples, rng)
    if rng.random() < 0.35:
        samples = silence(samples, rng.uniform(0, 1.2), rng.uniform(0, 1.2))
    if rng.random() < 0.6:
        samples = noisy(samples, noises, rng.uniform(-3, 25), rng)
    return wav(*microphone(samples, rng))


def voice(samples: Array, rng: Generator) -> Array:
    """Faster and higher or slower and lower, with another colour."""
    speed = float(np.exp(rng.uniform(np.log(0.78), np.log(1.28))))
    return colour(soxr.resample(samples, RATE * speed, RATE, quality="MQ"), rng)


def colour(samples: Array, rng: Generator) -> Array:
    """A smooth random frequency response within 10 dB, as of microphones and rooms."""
    spectrum = np.fft.rfft(samples)
    knots = rng.uniform(-10, 10, 6) * rng.random()
    gain = np.interp(np.linspace(0, 5, len(spectrum)), np.arange(6), knots)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (gain / 20), len(samples)), FLOAT)


def room(samples: Array, rng: Generator) -> Array:
    """A decaying echo: the sound convolved with noise that falls by 60 dB in 0.1 to 0.5 s."""
    fade = rng.uniform(0.1, 0.5)
    time = np.arange(int(fade * RATE)) / RATE
    echo = rng.normal(0, 1, len(time)) * 10 ** (-3 * time / fade)
    echo *= rng.uniform(0.1, 0.7) / np.sqrt(np.square(echo).sum())
    echo[0] = 1
    size = len(samples) + RATE // 5
    heard = np.fft.irfft(np.fft.rfft(samples, size + len(echo)) * np.fft.rfft(echo, size + len(echo)))
    return np.asarray(heard[:size], FLOAT)


def silence(samples: Array, before: float, after: float) -> Array:
    """So many seconds of nothing around the sound."""
    return np.pad(samples, (int(before * RATE), int(after * RATE)))


def noisy(samples: Array, noises: Sequence[Array], decibel: float, rng: Generator) -> Array:
    """With a piece of one of `noises` or white noise, `decibel` under the speech (mean power where there is sound)."""
    noise = rng.normal(0, 1, len(samples))
    if noises and rng.random() < 0.8:
        whole = noises[int(rng.integers(len(noises)))]
        start = int(rng.integers(max(1, len(whole) - len(samples))))
        piece = np.resize(whole[start:], len(samples))
        noise = piece if power(piece) > 0 else noise
    gain = np.sqrt(power(samples) / power(noise) / 10 ** (decibel / 10))
    return np.asarray(samples + gain * noise, FLOAT)


def power(samples: Array) -> float:
    """Mean square where there is sound at all."""
    heard = samples[samples != 0].astype(np.float64)
    return float(np.square(heard).mean()) if len(heard) else 0.0


def microphone(samples: Array, rng: Generator) -> tuple[Array, int]:
    """Loud or faint, sometimes clipped, at the sample rate of a telephone, a browser or a studio."""
    peak = float(np.exp(rng.uniform(np.log(0.02), np.log(1.0)))) * (3 if rng.random() < 0.05 else 1)
    samples = samples * FLOAT(peak / max(float(np.abs(samples).max()), 1e-9))
    rate = int(rng.choice([8000, 16000, 44100, 48000], p=[0.7, 0.1, 0.1, 0.1]))
    return (samples if rate == RATE else soxr.resample(samples, RATE, rate, quality="HQ")), rate


def quiet(samples: Array) -> Array:
    """Scaled down where it would be clipped."""
    return samples / FLOAT(max(1.0, float(np.abs(samples).max())))


def browser(samples: Array, rng: Generator) -> bytes:
    """A second of near-silence around the word at 44.1 or 48 kHz, loud or faint."""
    samples = silence(samples, *rng.uniform(0.5, 1.2, 2))
    samples = samples * FLOAT(rng.choice([0.02, 0.1, 0.5, 1.0]) / np.abs(samples).max())
    rate = int(rng.choice([44100, 48000]))
    hiss = rng.normal(0, 10 ** (rng.uniform(-75, -50) / 20) * np.abs(samples).max(), len(samples))
    return wav(soxr.resample((samples + hiss).astype(FLOAT), RATE, rate, quality="HQ"), rate)
