"""The digits task as a table: a sentence, a picture, a recording of the same digit; one speaker is kept apart."""

from collections.abc import Iterator
from pathlib import Path

from numpy.random import default_rng

from models.augment import audio, image, text
from models.datasets import digits
from models.made.rows import Made

UNHEARD = "yweweler"  # whose recordings are the test
SPLITS = ("train",) * 8 + ("valid", "test")


def rows(data: Path, count: int, seed: int) -> Iterator[Made]:
    """Train: varied recordings of three speakers, known templates, pictures as they are. Valid: their first five
    recordings of each digit. Test: the fourth speaker, held templates, MNIST's test half."""
    known = digits.read(data / "digits")
    languages, noises = text.read(), [noise.samples for noise in known.noises]
    for i in range(count):
        split, digit, rng = SPLITS[i % len(SPLITS)], i // len(SPLITS) % 10, default_rng([seed, 9, i])
        tested = split == "test"
        heard = [
            each
            for each in known.recordings
            if each.digit == digit
            and (each.speaker == UNHEARD) == tested
            and (tested or (each.take < 5) == (split == "valid"))
        ]
        recording = heard[int(rng.integers(len(heard)))]
        sound = audio.vary(recording.samples, noises, rng) if split == "train" else audio.wav(recording.samples)
        pictures = known.test if tested else known.train
        places = (pictures.labels == digit).nonzero()[0]
        drawn = pictures.images[places[int(rng.integers(len(places)))]]
        group = "held" if tested else ("known", "among")[i // 10 % 2]
        said = text.sentence(languages, digit, group, rng)
        yield Made(
            {"text": said, "digit": str(digit), "split": split},
            {"image": ("png", image.png(drawn)), "audio": ("wav", sound)},
        )
