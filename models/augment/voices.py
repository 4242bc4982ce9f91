"""A digit to samples of somebody who says it in English: espeak-ng with many voices, speeds, pitches and accents."""

import io
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml
from numpy.random import Generator
from pydantic import Field

from models.augment.audio import RATE
from models.augment.text import pick
from service.types import FLOAT, Array, Spec

VOICES = Path(__file__).parents[1] / "datasets" / "voices.yaml"


class Voices(Spec):
    accents: list[str]
    variants: list[str]
    words: list[str] = Field(min_length=10, max_length=10)
    spelled: dict[str, list[str]]

    def say(self, digit: int, rng: Generator) -> Array:
        """(n,) float32 at 8 kHz."""
        if rng.random() < 0.4:
            language = pick(list(self.spelled), rng)
            word = self.spelled[language][digit]
        else:
            language, word = pick(self.accents, rng), self.words[digit]
        speed, pitch = int(rng.integers(90, 210)), int(rng.integers(15, 85))
        samples, rate = speak(word, f"{language}+{pick(self.variants, rng)}", speed=speed, pitch=pitch)
        return np.asarray(soxr.resample(samples, rate, RATE, quality="HQ"), FLOAT)


@cache
def read(path: Path = VOICES) -> Voices:
    return Voices.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def speak(words: str, voice: str, *, speed: int = 160, pitch: int = 50) -> tuple[Array, int]:
    """Samples and their rate."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", words]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(said), dtype="float32")
    return samples, int(rate)
