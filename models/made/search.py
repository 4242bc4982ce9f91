"""Pictograms with their names and sounds with their titles, of search.zip, as a table: true pairs only.

The zip pairs pictures and sounds within a class, too; those pairs are left out: a picture or three of a class, and many
clocks, teach nothing. Text is what both have, and joins them, as pictures join six senses in Girdhar et al., ImageBind,
CVPR 2023, arXiv:2305.05665.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from numpy.random import default_rng

from models.datasets.boxed import opened
from models.made.rows import Made

FOLDS = 4  # of the sounds, as ESC-10 has them: clips of one recording are in one fold
PARTS = 8  # that the pictures are drawn into; in each fold one is the test and one is valid


def rows(data: Path, count: int, seed: int) -> Iterator[Made]:
    """Those that are there, up to `count`; columns fold1..fold4 are four ways to split them."""
    with opened(data / "search.zip") as archive:
        held = listed(archive, "table.csv")
        folds = {f"audio/{row['file']}": int(row["fold"]) for row in listed(archive, "audio_credits.csv")}
        place = default_rng([seed, 5]).permutation(len(held))
        pairs = [(i, row) for i, row in enumerate(held) if not (row["image"] and row["audio"])]
        for i, row in pairs[:count]:
            if row["audio"]:
                splits = [of_sound(folds[row["audio"]], k) for k in range(FOLDS)]
            else:
                splits = [of_picture(int(place[i]), k) for k in range(FOLDS)]
            words = {"text": row["text"], "same": row["text"].strip().lower()}
            words |= {f"fold{k + 1}": split for k, split in enumerate(splits)}
            yield Made(words, {part: file(archive, row[part]) for part in ("image", "audio")})


def of_sound(fold: int, k: int) -> str:
    """Fold k is the test, the one after it is valid."""
    return {k: "test", (k + 1) % FOLDS: "valid"}.get(fold - 1, "train")


def of_picture(place: int, k: int) -> str:
    return {2 * k: "test", 2 * k + 1: "valid"}.get(place % PARTS, "train")


def listed(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    with archive.open(f"search/{name}") as held:
        return list(csv.DictReader(io.TextIOWrapper(held, "utf-8", newline="")))


def file(archive: zipfile.ZipFile, name: str) -> tuple[str, bytes]:
    """Ending, content; nothing where there is none."""
    return (Path(name).suffix[1:], archive.read(f"search/{name}")) if name else ("", b"")
