"""Tables that the tests train on: a word, a colour and a tone that say the same, some of them absent."""

import csv
import io
from pathlib import Path

import numpy as np
import PIL.Image
import soundfile

from service.types import Array

WORDS = {"calm": ("quiet", "still"), "busy": ("crowd", "traffic"), "alarm": ("siren", "danger")}


def picture(kind: int, rng: np.random.Generator) -> bytes:
    pixels = rng.integers(0, 60, (16, 16, 3)).astype(np.uint8)
    pixels[4:12, 4:12, kind] = 220
    return png(pixels)


def png(pixels: Array) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def sound(kind: int, rng: np.random.Generator) -> bytes:
    time = np.arange(2400) / 8000
    return wave(0.4 * np.sin(2 * np.pi * 300 * 3**kind * time) + 0.02 * rng.normal(size=2400))


def wave(samples: Array) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV")
    return file.getvalue()


def rows(folder: Path, count: int, seed: int = 0) -> list[dict[str, str]]:
    """Writes the files; about one part in five is absent."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        label = list(WORDS)[i % 3]
        row = {
            "note": f"the place is {rng.choice(WORDS[label])}",
            "photo": f"{i}.png",
            "sound": f"{i}.wav",
            "label": label,
        }
        (folder / row["photo"]).write_bytes(picture(i % 3, rng))
        (folder / row["sound"]).write_bytes(sound(i % 3, rng))
        absent = rng.random(3) < 0.2
        for name, gone in zip(("note", "photo", "sound"), absent, strict=True):
            row[name] = "" if gone and not absent.all() else row[name]
        tone, many = f"{i % 3 + rng.normal(0, 0.1):.3f}", "|".join(list(WORDS)[: i % 3])
        made.append({**row, "level": tone, "signs": many})
    return made


def write(path: Path, made: list[dict[str, str]], columns: list[str] | None = None) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns or list(made[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(made)
    return path
