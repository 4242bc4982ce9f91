"""Synthetic tables of text, pictures and sounds, made by code: `weather` and `machine`.

`weather` has five classes, `machine` two. Each part alone is sometimes wrong or says nothing, and some are absent, so
that several are worth more than one. They show how training goes; nothing is to be learned of weather or machines.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.random import Generator

from models.augment.audio import quiet, wav
from models.augment.image import png
from models.made.rows import Made
from service.types import FLOAT, Array

RATE, SECONDS, SIDE = 8000, 1.5, 64
WRONG = 0.08  # share of parts that show another class
MUTE = 0.1  # share of texts that say nothing of the class
ABSENT = 0.1  # share of parts that are not there; each row keeps one
TIMES = ["this morning", "around noon", "tonight", "since yesterday", "at the harbour", "up on the pass", "in town"]

SAID: dict[str, list[str]] = {
    "sun": ["not a cloud in the sky", "bright and warm", "we sat outside without a coat", "the light is blinding"],
    "rain": ["everything is soaked", "take an umbrella", "puddles on every path", "drops run down the window"],
    "storm": [
        "lightning struck twice",
        "gusts broke the branches",
        "thunder woke the children",
        "ferries stay in port",
    ],
    "snow": ["the roofs are white", "flakes as large as coins", "they cleared the road with ploughs", "skis are back"],
    "fog": ["cannot see the other bank", "headlights on at noon", "the tower has vanished", "grey and damp and still"],
}
NOTED: dict[str, list[str]] = {
    "good": ["inspection passed", "runs smoothly", "no findings", "oil changed as planned", "pressure within range"],
    "fault": ["bearing is hot", "rattles under load", "leak at the seal", "tripped twice", "needle jumps into red"],
}
EMPTY = ["nothing else to report", "see attachment", "more later", "as discussed"]  # say nothing of the class


class Kind(NamedTuple):
    said: Mapping[str, Sequence[str]]  # label -> what is written of it
    picture: Callable[[str, Generator], PIL.Image.Image]
    sound: Callable[[str, Generator], Array]


def sentence(said: Sequence[str], rng: Generator) -> str:
    parts = [str(rng.choice(said)), str(rng.choice(TIMES)), str(rng.choice(EMPTY))][: int(rng.integers(1, 4))]
    if rng.random() < MUTE:
        parts[0] = str(rng.choice(EMPTY))
    return ", ".join(rng.permutation(parts))


def sky(label: str, rng: Generator) -> PIL.Image.Image:
    """SIDE x SIDE, RGB."""
    top, ground = {
        "sun": ((90, 160, 240), (110, 150, 70)),
        "rain": ((110, 120, 140), (70, 90, 70)),
        "storm": ((50, 50, 75), (45, 55, 45)),
        "snow": ((170, 180, 195), (235, 235, 240)),
        "fog": ((180, 180, 180), (160, 160, 160)),
    }[label]
    picture = PIL.Image.new("RGB", (SIDE, SIDE), top)
    draw = PIL.ImageDraw.Draw(picture)
    draw.rectangle((0, int(rng.integers(40, 54)), SIDE, SIDE), ground)
    x, y = (int(each) for each in rng.integers(10, SIDE - 10, 2))
    if label == "sun":
        draw.ellipse((x - 7, y // 3, x + 7, y // 3 + 14), (255, 230, 80))
    if label == "storm":
        draw.line([(x, 0), (x - 6, 16), (x + 4, 20), (x - 4, 44)], (255, 255, 200), 2)
    for px, py in rng.integers(0, SIDE, (40, 2)).tolist():
        if label in ("rain", "storm"):
            draw.line((px, py, px - 2, py + 6), (170, 190, 220))
        if label == "snow":
            draw.ellipse((px, py, px + 2, py + 2), (255, 255, 255))
    return noisy(picture, rng)


def gauge(label: str, rng: Generator) -> PIL.Image.Image:
    """A dial whose last quarter is red, and a needle; SIDE x SIDE, RGB."""
    picture = PIL.Image.new("RGB", (SIDE, SIDE), (225, 225, 220))
    draw = PIL.ImageDraw.Draw(picture)
    x, y, r = (*(float(each) for each in rng.uniform(28, 36, 2)), float(rng.uniform(20, 26)))
    draw.arc((x - r, y - r, x + r, y + r), 150, 330, (40, 40, 40), 3)
    draw.arc((x - r, y - r, x + r, y + r), 330, 390, (210, 30, 30), 4)
    angle = np.deg2rad(rng.uniform(335, 385) if label == "fault" else rng.uniform(155, 320))
    draw.line((x, y, x + 0.9 * r * np.cos(angle), y + 0.9 * r * np.sin(angle)), (10, 10, 10), 2)
    return noisy(picture, rng)


def noisy(picture: PIL.Image.Image, rng: Generator) -> PIL.Image.Image:
    """Brighter or darker, with a grain."""
    pixels = np.asarray(picture, FLOAT) * rng.uniform(0.7, 1.2) + rng.normal(0, 12, (SIDE, SIDE, 3))
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def outdoors(label: str, rng: Generator) -> Array:
    """(N,) at RATE."""
    t = np.arange(int(RATE * SECONDS)) / RATE
    hiss = rng.normal(0, 1, len(t))
    rumble = np.convolve(hiss, np.ones(80) / 80, "same")
    if label == "sun":  # a bird
        pitch = 2500 + 500 * np.sin(2 * np.pi * rng.uniform(5, 9) * t)
        sound = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * (np.sin(2 * np.pi * rng.uniform(1, 2) * t) > 0)
    elif label == "fog":  # a horn
        horn = rng.uniform(110, 160)
        sound = np.sin(2 * np.pi * horn * t) + 0.5 * np.sin(4 * np.pi * horn * t)
    else:
        loud = {"rain": (0.6, 0.0), "storm": (0.4, 12.0), "snow": (0.01, 0.6)}[label]
        sound = loud[0] * hiss + loud[1] * rumble * np.exp(-3 * ((t - rng.uniform(0, 1)) % SECONDS))
    return quiet((0.2 * sound + rng.uniform(0.01, 0.05) * hiss).astype(FLOAT))


def running(label: str, rng: Generator) -> Array:
    """A hum; with a fault, it rattles. (N,) at RATE."""
    t = np.arange(int(RATE * SECONDS)) / RATE
    base = rng.uniform(80, 140)
    hum = sum(np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6)) / k for k in range(1, 6))
    clicks = np.zeros(len(t))
    if label == "fault":
        clicks[(np.arange(0, SECONDS, 1 / rng.uniform(8, 20)) * RATE).astype(int)] = 1
        clicks = np.convolve(clicks, np.exp(-np.arange(200) / 40) * np.sin(np.arange(200)), "same")
    return quiet((0.15 * hum + rng.uniform(0.3, 0.8) * clicks + 0.04 * rng.normal(0, 1, len(t))).astype(FLOAT))


KINDS = {"weather": Kind(SAID, sky, outdoors), "machine": Kind(NOTED, gauge, running)}


def rows(kind: str, count: int, seed: int) -> Iterator[Made]:
    """Classes in turn, in random order: text, label, a column of 0 and 1 for each label; PNG and WAV."""
    rng, made = np.random.default_rng(seed), KINDS[kind]
    labels = list(made.said)
    for i in rng.permutation(count).tolist():
        label = labels[i % len(labels)]
        text, image, audio = (str(rng.choice(labels)) if rng.random() < WRONG else label for _ in range(3))
        there = rng.random(3) >= ABSENT
        there[rng.integers(3)] = True
        words = {"text": sentence(made.said[text], rng) if there[0] else "", "label": label}
        pixels = png(made.picture(image, rng)) if there[1] else b""
        sound = wav(made.sound(audio, rng), RATE) if there[2] else b""
        flags = {each: str(int(each == label)) for each in labels}
        yield Made(words | flags, {"image": ("png", pixels), "audio": ("wav", sound)})


def weather(data: Path, count: int, seed: int) -> Iterator[Made]:
    return rows("weather", count, seed)


def machine(data: Path, count: int, seed: int) -> Iterator[Made]:
    return rows("machine", count, seed)
