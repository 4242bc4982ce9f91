"""The sounds of monitor.zip with their titles as a table: a row a recording; one class of them is only tested with.

The zip pairs each sound with pictures, too, at random: those pairs teach nothing, and are left out.
"""

import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from numpy.random import default_rng

from models.datasets import boxed
from models.made.rows import Made

ZIP = "monitor.zip"
UNUSUAL = "rooster"  # no training hears it
STOPPING = 0.15  # share of the titles of a class that stop the training and calibrate
Recording = dict[str, str]  # a line of the zip's table.csv


def rows(data: Path, count: int, seed: int) -> Iterator[Made]:
    """Those that are there, up to `count`; columns fold1, fold2, ... are ways to split them, by the folds of ESC-10,
    which part no recording. The last one tests what the zip calls `valid`. Raises ValueError, FileNotFoundError.
    """
    with boxed.opened(data / ZIP) as archive:
        found = list({row["audio"]: row for row in boxed.rows(archive, "monitor/table.csv") if row["audio"]}.values())
        if not any(each["label"] == UNUSUAL for each in found):
            raise ValueError(f"{ZIP}: no sound of the class {UNUSUAL!r}")
        folds = sorted({each["esc_fold"] for each in found})
        splits = [split(found, fold, seed) for fold in folds]
        for i, each in enumerate(found[:count]):
            odd = each["label"] == UNUSUAL
            words = {"text": each["text"], "label": "" if odd else each["label"], "unusual": str(int(odd))}
            words |= {f"fold{fold}": names[i] for fold, names in zip(folds, splits, strict=True)}
            yield Made(words, {"audio": content(archive, each["audio"])})


def content(archive: zipfile.ZipFile, name: str) -> tuple[str, bytes]:
    """Ending, bytes."""
    return Path(name).suffix[1:], archive.read(f"monitor/{name}")


def split(found: Sequence[Recording], fold: str, seed: int) -> list[str]:
    """train, valid or test, a row each. Clips of one title stay together: they are parts of one recording."""
    rng = default_rng(seed)
    titles: dict[str, set[str]] = defaultdict(set)
    for each in found:
        if each["esc_fold"] != fold:
            titles[each["label"]].add(each["text"])
    stopping = {
        (label, str(title))
        for label, some in sorted(titles.items())
        for title in rng.permutation(sorted(some))[: max(1, round(STOPPING * len(some)))]
    }
    tested = [each["esc_fold"] == fold or each["label"] == UNUSUAL for each in found]
    return [
        "test" if test else "valid" if (each["label"], each["text"]) in stopping else "train"
        for each, test in zip(found, tested, strict=True)
    ]
