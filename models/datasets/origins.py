"""The public origins of the digits task to its folder of arrays: pinned commits, checked by what they decode to."""

import csv
import hashlib
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import numpy as np
import PIL.Image
import soundfile
import soxr
from rich.progress import Progress

from models.augment.audio import RATE
from models.datasets import digits
from service.types import FLOAT, Array

GITHUB = "https://github.com"
SPEAKERS = ("george", "jackson", "lucas", "yweweler")  # nicolas and theo are kept for acceptance
SAMPLING = {"1-40730-A", "2-96460-A"}  # roosters under CC Sampling+, which not everybody may use
CREDITS = """\
Handwritten digits: MNIST (Y. LeCun, C. Cortes, C. Burges), commonly stated CC BY-SA 3.0; rasbt/mnist-pngs @ d26bd33.
Spoken digits: Free Spoken Digit Dataset (Z. Jackson et al.), CC BY-SA 4.0; Jakobovski/free-spoken-digit-dataset @
26eb9aa.
Noise: ESC-10 (K. J. Piczak, ESC: Dataset for Environmental Sound Classification, 2015), CC BY 3.0,
its clips CC0 or CC BY, credited one by one in its README; karolpiczak/ESC-10 @ 553c8f1. Two clips under CC
Sampling+ are left out. Share what you make of MNIST and FSDD under the same licence, and name them."""


class Origin(NamedTuple):
    repository: str
    commit: str
    files: tuple[str, ...]  # what is made of it
    write: Callable[[zipfile.ZipFile, Path], Iterable[bytes]]  # makes them and gives all that was decoded
    sha256: str  # of what was decoded


def fetch(origin: str, to: Path, progress: Progress, origins: Iterable[Origin] | None = None) -> None:
    """What is there already is left alone. Raises ValueError where an origin does not hold what it held in 2026."""
    to.mkdir(parents=True, exist_ok=True)
    for each in ORIGINS if origins is None else origins:
        if all((to / name).exists() for name in each.files):
            continue
        with tempfile.TemporaryDirectory(dir=to) as scratch:
            url = f"{origin}/{each.repository}/archive/{each.commit}.zip"
            archive = download(url, Path(scratch) / "archive.zip", progress)
            with zipfile.ZipFile(archive) as opened:
                digest = hashlib.sha256()
                for data in each.write(opened, Path(scratch)):
                    digest.update(data)
            if digest.hexdigest() != each.sha256:
                raise ValueError(f"{url} decodes to something else than expected (sha256 {digest.hexdigest()})")
            for name in each.files:
                (Path(scratch) / name).replace(to / name)


def download(url: str, path: Path, progress: Progress) -> Path:
    with urlopen(url) as source, path.open("wb") as file:
        length = source.headers.get("Content-Length")
        task = progress.add_task(url.rsplit("/", 3)[1], total=int(length) if length else None)
        while block := source.read(2**20):
            file.write(block)
            progress.update(task, advance=len(block))
    return path


def pictures(archive: zipfile.ZipFile, folder: Path) -> Iterator[bytes]:
    """.../train/LABEL/NUMBER.png, NUMBER being the place in MNIST's own order; every other test one is kept."""
    for kind, name, step in (("train", digits.TRAIN, 1), ("test", digits.TEST, 2)):
        found = [re.search(rf"{kind}/(\d)/(\d+)\.png$", entry) for entry in archive.namelist()]
        entries = sorted((int(match[2]), int(match[1]), match.string) for match in found if match)[::step]
        images = np.stack([np.asarray(PIL.Image.open(archive.open(entry))) for *_, entry in entries])
        labels = np.array([label for _, label, _ in entries], np.uint8)
        np.savez_compressed(folder / name, images=images, labels=labels)
        yield images.tobytes()
        yield labels.tobytes()


def speech(archive: zipfile.ZipFile, folder: Path) -> Iterator[bytes]:
    """.../recordings/DIGIT_SPEAKER_INDEX.wav, 8 kHz, to FLAC, which loses nothing."""
    found = [re.search(r"recordings/(\d)_([a-z]+)_(\d+)\.wav$", entry) for entry in archive.namelist()]
    kept = [match for match in found if match and match[2] in SPEAKERS]
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["file", "digit", "speaker", "index"])
    with zipfile.ZipFile(folder / digits.SPEECH, "w") as out:
        for match in sorted(kept, key=lambda each: (each[2], int(each[1]), int(each[3]))):
            levels, rate = soundfile.read(io.BytesIO(archive.read(match.string)), dtype="int16")
            name = f"{match[1]}_{match[2]}_{match[3]}.flac"
            out.writestr(name, encoded(levels, rate))
            rows.writerow([name, match[1], match[2], match[3]])
            yield levels.astype("<i2").tobytes()
        out.writestr("index.csv", table.getvalue())


def noise(archive: zipfile.ZipFile, folder: Path) -> Iterator[bytes]:
    """.../CLASS/FOLD-NUMBER-TAKE.ogg, folds 1 to 4, to 8 kHz. Vorbis decoders differ by a bit: checked by name."""
    found = [re.search(r"([^/]+/)([1-4]-\d+-[A-Z])\.ogg$", entry) for entry in archive.namelist()]
    kept = sorted((match for match in found if match and match[2] not in SAMPLING), key=lambda each: each[2])
    with zipfile.ZipFile(folder / digits.NOISE, "w") as out:
        for match in kept:
            samples, rate = soundfile.read(io.BytesIO(archive.read(match.string)), dtype="float32", always_2d=True)
            mono = soxr.resample(samples.mean(1), rate, RATE, quality="HQ")
            out.writestr(f"{match[1]}{match[2]}.flac", encoded(mono.astype(FLOAT), RATE))
    yield "\n".join(match[2] for match in kept).encode()


def encoded(samples: Array, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


ORIGINS = (
    Origin(
        "rasbt/mnist-pngs",
        "d26bd33bf1e454dd15bd4fe8b8ba64c76308f91c",
        (digits.TRAIN, digits.TEST),
        pictures,
        "c4ac24d30f67b014dbde99aa1b651af67ec4c398cab8ede0445f99d2578803eb",
    ),
    Origin(
        "Jakobovski/free-spoken-digit-dataset",
        "26eb9aa",
        (digits.SPEECH,),
        speech,
        "78f8e1ab32de10fc7c3a740dc4f9df47560d45d47832e131969efb16f96461a0",
    ),
    Origin(
        "karolpiczak/ESC-10",
        "553c8f1743b9dba6b282e1323c3ca8fa76923448",
        (digits.NOISE,),
        noise,
        "d4c096a5ab7de8f86f4fafb9ed565bb8c546e164404541935cb30b8459504880",
    ),
)
