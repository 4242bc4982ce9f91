"""Who makes the samples of the digits task: one maker a part, for training and for each condition of the evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from numpy.random import Generator, default_rng

from models.augment import audio, image, text, voices
from models.datasets import digits
from models.pools import Sample
from service.types import Array

KEPT_FOLD = 4  # of the noises: never in training, always in the evaluation
MIXED = ("known", "among", "known", "among", "held", "known", "among", "known", "among")


@dataclass(frozen=True)
class Sentences:
    """`groups` in turn: sentences of `known` or `held` templates, numbers `among` random words."""

    languages: text.Languages
    count: int
    seed: int
    groups: Sequence[str] = MIXED

    def __len__(self) -> int:
        return self.count

    def __call__(self, i: int) -> Sample:
        group, rng = self.groups[i % len(self.groups)], default_rng([self.seed, 1, i])
        digit = int(rng.integers(10))
        return Sample(text.sentence(self.languages, digit, group, rng).encode(), digit, group)


@dataclass(frozen=True)
class Drawings:
    """Pictures in a condition: clean, inverted, reduced (4 components), drawn (with a mouse), varied for training."""

    pictures: digits.Pictures
    components: image.Components
    count: int
    seed: int
    condition: str = "varied"

    def __len__(self) -> int:
        return self.count

    def __call__(self, i: int) -> Sample:
        rng, at = default_rng([self.seed, 2, i]), i % len(self.pictures.images)
        return Sample(self.draw(self.pictures.images[at], self.condition, rng), int(self.pictures.labels[at]), "")

    def draw(self, pixels: Array, condition: str, rng: Generator) -> bytes:
        if condition == "clean":
            return image.png(pixels)
        if condition == "inverted":
            return image.png(image.inverted(pixels))
        if condition == "reduced":
            return image.png(self.components.reduce(pixels, 4))
        if condition == "drawn":
            return image.png(image.mouse(image.thin(pixels[None] > 100)[0], rng))
        return self.vary(pixels, rng)

    def vary(self, pixels: Array, rng: Generator) -> bytes:
        condition = str(
            rng.choice(["clean", "varied", "inverted", "drawn", "reduced", "less"], p=[0.1, 0.4, 0.1, 0.2, 0.1, 0.1])
        )
        if condition == "varied":
            return image.png(image.vary(pixels, rng))
        if condition == "less":
            return image.png(self.components.reduce(pixels, int(rng.integers(3, 40))))
        return self.draw(image.vary(pixels, rng) if condition == "inverted" else pixels, condition, rng)


@dataclass(frozen=True)
class Takes:
    """Recordings in a condition: clean, noisy (0 dB), recorded (by a browser), or several varied takes for training."""

    recordings: Sequence[digits.Recording]
    noises: Sequence[Array]
    takes: int
    seed: int
    condition: str = "varied"

    def __len__(self) -> int:
        return self.takes * len(self.recordings)

    def __call__(self, i: int) -> Sample:
        recording, rng = self.recordings[i // self.takes], default_rng([self.seed, 3, i])
        varied = self.condition == "varied" and i % self.takes > 0  # the first take is the recording itself
        data = audio.vary(recording.samples, self.noises, rng) if varied else self.record(recording.samples, rng)
        return Sample(data, recording.digit, recording.speaker)

    def record(self, samples: Array, rng: Generator) -> bytes:
        if self.condition == "noisy":
            return audio.wav(audio.quiet(audio.noisy(samples, self.noises, 0, rng)))
        if self.condition == "recorded":
            return audio.browser(samples, rng)
        return audio.wav(samples)


@dataclass(frozen=True)
class Spoken:
    """Utterances of synthetic voices, each in several varied takes, as the recordings are."""

    noises: Sequence[Array]
    utterances: int
    takes: int
    seed: int

    def __len__(self) -> int:
        return self.utterances * self.takes

    def __call__(self, i: int) -> Sample:
        number = i // self.takes
        samples = utterance(self.seed, number)
        return Sample(audio.vary(samples, self.noises, default_rng([self.seed, 4, i])), number % 10, "synthetic")


@lru_cache(maxsize=1)  # the takes of an utterance follow each other
def utterance(seed: int, number: int) -> Array:
    return voices.read().say(number % 10, default_rng([seed, 5, number]))


def training_noises(noises: Sequence[digits.Noise]) -> list[Array]:
    return [noise.samples for noise in noises if noise.fold != KEPT_FOLD]


def kept_noises(noises: Sequence[digits.Noise]) -> list[Array]:
    return [noise.samples for noise in noises if noise.fold == KEPT_FOLD]
