"""The bundle that is in the repository: proven, small, its pictures right; on real data where BRAID_DATA names them."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models import example
from models.augment import image
from models.augment.audio import wav
from models.datasets import digits
from models.export import PRESENT
from service import bundle
from service.model import Model
from service.types import Parts

FOLDER = Path(__file__).parents[2] / "models" / "bundles" / "digits"
DATA = Path(os.environ.get("BRAID_DATA", "/nowhere")) / "digits"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(bundle.read(FOLDER))


@pytest.fixture(scope="module")
def data() -> digits.Digits:
    if not DATA.is_dir():
        pytest.skip("BRAID_DATA names no folder with digits/")
    return digits.read(DATA)


def accuracy(model: Model, several: Sequence[tuple[Parts, int]]) -> float:
    rows = model.run([model.encode(parts, {}) for parts, _ in several])
    return float(
        np.mean([row["probabilities"].argmax() == digit for row, (_, digit) in zip(rows, several, strict=True)])
    )


def test_the_bundle_is_proven_and_small(model: Model) -> None:
    model.prove()
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 3 * 2**20
    assert "| condition | T | I | A | TI | TA | IA | TIA |" in model.bundle.card


def test_every_subset_of_the_example_is_a_seven(model: Model) -> None:
    parts = {name: data for name, (_, data) in example.parts().items()}
    for number in range(1, 8):
        some = {name: data for i, (name, data) in enumerate(parts.items()) if number >> i & 1}
        answer = model.run([model.encode(some, {})])[0]
        assert answer["probabilities"].argmax() == 7
        assert answer["probabilities"].sum() == pytest.approx(1, abs=1e-5)


def test_words_of_any_language_are_understood(model: Model) -> None:
    said = [
        ("it is seven", 7),
        ("8", 8),
        ("das ist eine drei", 3),
        ("六", 6),
        ("ответ девять", 9),
        ("٥", 5),
        ("ZERO!", 0),
    ]
    assert accuracy(model, [({"text": text.encode()}, digit) for text, digit in said]) == 1


def test_one_row_is_answered_in_a_few_milliseconds(model: Model) -> None:
    row = model.encode({name: data for name, (_, data) in example.parts().items()}, {})
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        model.run([row])
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.003


def test_pictures_on_black_and_on_white(model: Model, data: digits.Digits) -> None:
    for change in (np.array, image.inverted):
        some = [({"image": image.png(change(data.test.images[i]))}, int(data.test.labels[i])) for i in range(600)]
        assert accuracy(model, some) > 0.97


def test_pictures_and_recordings_together(model: Model, data: digits.Digits) -> None:
    labels = data.test.labels
    several = []
    for i, each in enumerate(data.recordings[::10]):
        picture = data.test.images[np.flatnonzero(labels == each.digit)[i % 50]]
        several.append(({"image": image.png(picture), "audio": wav(each.samples)}, each.digit))
    assert accuracy(model, several) > 0.98


def test_absent_parts_are_marked(model: Model) -> None:
    assert model.encode({"text": b"two"}, {})[PRESENT].tolist() == [1, 0, 0]
