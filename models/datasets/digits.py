"""The folder of the digits task to arrays: handwritten digits, spoken digits, noises. Texts are in words.yaml."""

import csv
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from service.types import Array

TRAIN, TEST = "mnist_train.npz", "mnist_test_even5000.npz"
SPEECH, NOISE = "fsdd_dev_4speakers.zip", "esc10_8k_folds1-4.zip"


class Pictures(NamedTuple):
    images: Array  # (N, 28, 28) uint8, white ink on black
    labels: Array  # (N,)


class Recording(NamedTuple):
    samples: Array  # (n,) float32, 8 kHz
    digit: int
    speaker: str
    take: int  # of the same speaker and digit


class Noise(NamedTuple):
    samples: Array  # (n,) float32, 8 kHz
    fold: int


class Digits(NamedTuple):
    train: Pictures
    test: Pictures
    recordings: list[Recording]
    noises: list[Noise]


def read(folder: Path) -> Digits:
    """Raises FileNotFoundError with the way to get what is missing."""
    for name in (TRAIN, TEST, SPEECH, NOISE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no {name} in {folder}: get it with `python -m models data digits --to {folder}`")
    return Digits(pictures(folder / TRAIN), pictures(folder / TEST), speech(folder / SPEECH), noise(folder / NOISE))


def pictures(path: Path) -> Pictures:
    with np.load(path) as arrays:
        return Pictures(arrays["images"], arrays["labels"].astype(np.int64))


def speech(path: Path) -> list[Recording]:
    with zipfile.ZipFile(path) as archive:
        table = csv.DictReader(io.TextIOWrapper(archive.open("index.csv"), "utf-8"))
        return [
            Recording(samples(archive.read(row["file"])), int(row["digit"]), row["speaker"], int(row["index"]))
            for row in table
        ]


def noise(path: Path) -> list[Noise]:
    """A clip's name begins with its fold."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".ogg", ".flac")))
        return [Noise(samples(archive.read(name)), int(Path(name).name.split("-")[0])) for name in names]


def samples(data: bytes) -> Array:
    return np.asarray(soundfile.read(io.BytesIO(data), dtype="float32")[0])
