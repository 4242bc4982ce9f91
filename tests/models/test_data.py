"""The data come from their public origins, whose archives are imitated here by local files."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile
from rich.progress import Progress
from typer.testing import CliRunner

from models.__main__ import app
from models.datasets import digits, origins
from models.datasets.origins import Origin
from service.types import Array

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (4, 28, 28), dtype=np.uint8)
LABELS = [3, 1, 4, 1]
WORDS = {"7_george_0": "kept", "7_lucas_12": "kept", "7_theo_0": "held out", "2_nicolas_1": "held out"}
CLIPS = ["1-100032-A", "4-5-B", "5-203128-A", "1-40730-A"]


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder laid out like github.com, and origins that expect what is in it."""
    builders = {
        "rasbt/mnist-pngs": pictures,
        "Jakobovski/free-spoken-digit-dataset": speech,
        "karolpiczak/ESC-10": noise,
    }
    expected = []
    for each in origins.ORIGINS:
        path = tmp_path / "origin" / each.repository / "archive" / f"{each.commit}.zip"
        path.parent.mkdir(parents=True)
        builders[each.repository](path)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        with zipfile.ZipFile(path) as archive:
            digest = hashlib.sha256(b"".join(each.write(archive, scratch))).hexdigest()
        expected.append(each._replace(sha256=digest))
    monkeypatch.setattr(origins, "ORIGINS", tuple(expected))
    return (tmp_path / "origin").as_uri()


def pictures(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for kind in ("train", "test"):
            for number in (2, 0, 10, 1):  # 10 sorts after 2, not before
                at = sorted((2, 0, 10, 1)).index(number)
                archive.writestr(f"mnist-pngs-d26/{kind}/{LABELS[at]}/{number}.png", png(IMAGES[at]))


def png(pixels: Array) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sound(rate: int, form: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(rate) / 9) / 2, rate, format=form)
    return file.getvalue()


def speech(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in WORDS:
            archive.writestr(f"free-26eb9aa/recordings/{name}.wav", sound(8000, "WAV"))


def noise(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in CLIPS:
            archive.writestr(f"ESC-10-553c8f1/009 - Rooster/{name}.ogg", sound(44100, "OGG"))


def test_the_command_makes_the_folder_and_names_whom_to_credit(origin: str, tmp_path: Path) -> None:
    to = tmp_path / "digits"
    result = CliRunner().invoke(app, ["data", "digits", "--origin", origin, "--to", str(to)], catch_exceptions=False)
    assert "MNIST" in result.output
    assert "CC BY-SA 4.0" in result.output
    assert "ESC-10" in result.output
    data = digits.read(to)
    assert np.array_equal(data.train.images, IMAGES)
    assert data.train.labels.tolist() == LABELS
    assert np.array_equal(data.test.images, IMAGES[::2])
    assert [(each.digit, each.speaker, each.take) for each in data.recordings] == [(7, "george", 0), (7, "lucas", 12)]
    assert [(each.fold, len(each.samples)) for each in data.noises] == [(1, 8000), (4, 8000)]


def test_what_is_there_is_not_fetched_again(origin: str, tmp_path: Path) -> None:
    with Progress(disable=True) as progress:
        origins.fetch(origin, tmp_path / "digits", progress)
        origins.fetch("file:///nowhere", tmp_path / "digits", progress)


def test_an_origin_that_changed_is_refused_and_leaves_nothing(origin: str, tmp_path: Path) -> None:
    changed = [each._replace(sha256="0" * 64) for each in origins.ORIGINS]
    with Progress(disable=True) as progress, pytest.raises(ValueError, match="something else than expected"):
        origins.fetch(origin, tmp_path / "digits", progress, changed)
    assert list((tmp_path / "digits").iterdir()) == []


def test_missing_data_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="python -m models data digits"):
        digits.read(tmp_path)


def test_every_origin_is_pinned() -> None:
    for each in origins.ORIGINS:
        assert isinstance(each, Origin)
        assert len(each.sha256) == 64
        assert each.commit != "main"
