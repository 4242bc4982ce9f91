"""A zip of pictures with boxes to what is in it: table.csv names the pictures and their split, boxes.csv the boxes."""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.types import FLOAT, Array


class Boxed(NamedTuple):
    name: str
    data: bytes  # the file, as a client would send it
    split: str
    boxes: Array  # (n, 4) float32 left, top, right, bottom as shares of the upright picture
    classes: Array  # (n,) int64


def rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    """A CSV of the archive; the archive has one folder, named as it is."""
    with archive.open(name) as file:
        return list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))


def opened(path: Path) -> zipfile.ZipFile:
    """Raises FileNotFoundError which says where it was looked for."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: --data or BRAID_DATA names the folder that holds it")
    return zipfile.ZipFile(path)


def read(path: Path, labels: Sequence[str]) -> list[Boxed]:
    """`path`: FOLDER.zip. Raises FileNotFoundError, ValueError on a label or a picture that is unknown."""
    with opened(path) as archive:
        root = path.stem
        splits = {row["image"]: row["split"] for row in rows(archive, f"{root}/table.csv")}
        found: dict[str, list[dict[str, str]]] = defaultdict(list)
        for number, row in enumerate(rows(archive, f"{root}/boxes.csv"), 2):
            if row["label"] not in labels or row["image"] not in splits:
                raise ValueError(
                    f"{path.name}: boxes.csv, line {number}: {row['label']!r} of {row['image']!r} is unknown"
                )
            found[row["image"]].append(row)
        return [
            Boxed(name, archive.read(f"{root}/{name}"), split, corners(found[name]), classes(found[name], labels))
            for name, split in splits.items()
        ]


def corners(lines: Sequence[dict[str, str]]) -> Array:
    """Middle and sides -> (n, 4)."""
    middles = np.array([[float(line[key]) for key in ("cx", "cy", "w", "h")] for line in lines], FLOAT).reshape(-1, 4)
    half = middles[:, 2:] / 2
    return np.concatenate([middles[:, :2] - half, middles[:, :2] + half], 1)


def classes(lines: Sequence[dict[str, str]], labels: Sequence[str]) -> Array:
    return np.array([labels.index(line["label"]) for line in lines], np.int64)


def write(path: Path, pictures: Sequence[Boxed], labels: Sequence[str]) -> None:
    """The same, the other way: for data that code has made."""
    table, boxes = ["text,image,audio,label,split"], ["image,label,cx,cy,w,h"]
    with zipfile.ZipFile(path, "w") as archive:
        for each in pictures:
            archive.writestr(f"{path.stem}/{each.name}", each.data)
            table.append(f",{each.name},,,{each.split}")
            for (left, top, right, bottom), kind in zip(each.boxes.tolist(), each.classes.tolist(), strict=True):
                middle = f"{(left + right) / 2:.5f},{(top + bottom) / 2:.5f},{right - left:.5f},{bottom - top:.5f}"
                boxes.append(f"{each.name},{labels[kind]},{middle}")
        archive.writestr(f"{path.stem}/table.csv", "\n".join(table) + "\n")
        archive.writestr(f"{path.stem}/boxes.csv", "\n".join(boxes) + "\n")
