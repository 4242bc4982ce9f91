"""Synthetic tables: readable files, all classes, some absent parts, the same for the same seed."""

import csv
import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile

from models import made
from models.made import scenes


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_a_table_names_files_that_are_there(kind: str, tmp_path: Path) -> None:
    made.make(kind, tmp_path, tmp_path, 60, 1)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert {row["label"] for row in rows} == set(scenes.KINDS[kind].said)
    assert all(row[label] == str(int(label == row["label"])) for row in rows for label in scenes.KINDS[kind].said)
    assert all(row["text"] or row["image"] or row["audio"] for row in rows)
    named = {row[part] for row in rows for part in ("image", "audio")} - {""}
    assert named == {file.name for file in tmp_path.iterdir()} - {"table.csv"}
    assert 0 < sum(not row["text"] for row in rows) < 20


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_pictures_and_sounds_are_whole(kind: str) -> None:
    for row in scenes.rows(kind, 20, 2):
        image, audio = (row.files[part][1] for part in ("image", "audio"))
        if image:
            assert PIL.Image.open(io.BytesIO(image)).size == (scenes.SIDE, scenes.SIDE)
        if audio:
            samples, rate = soundfile.read(io.BytesIO(audio))
            assert (rate, len(samples)) == (scenes.RATE, scenes.RATE * scenes.SECONDS)
            assert 0.005 < np.abs(samples).max() < 1


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_the_same_seed_makes_the_same_rows(kind: str) -> None:
    assert list(scenes.rows(kind, 12, 3)) == list(scenes.rows(kind, 12, 3))
    assert list(scenes.rows(kind, 12, 3)) != list(scenes.rows(kind, 12, 4))
