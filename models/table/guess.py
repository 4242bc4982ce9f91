"""A table to the text of a first recipe: which columns are parts, which is asked for, and sizes that fit most rows."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import soundfile

from models.table.lines import Line, Table

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".opus", ".aiff", ".au")
ANSWERS = (
    "label",
    "labels",
    "class",
    "classes",
    "target",
    "category",
    "y",
    "answer",
    "diagnosis",
    "sentiment",
    "score",
)
IGNORED = ("id", "uuid", "index", "key")
SEPARATORS = ("|", ";")
LOOKED = 60  # files that are opened to see how large they are
SIDES = (28, 32, 48, 64, 96, 128, 160, 192, 224)


class Found(NamedTuple):
    """Column -> what it seems to be: text, image, audio, split, ignored; or a kind of task."""

    roles: dict[str, str]
    labels: dict[str, list[str]]
    separators: dict[str, str]


def write(name: str, table: Table, asked: Sequence[str]) -> str:
    """The .yaml; `asked`: columns that are to be predicted, where the guess is wrong. Raises ValueError."""
    found = look(table, asked)
    parts = [part(column, role, table) for column, role in found.roles.items() if role in ("text", "image", "audio")]
    tasks = [task(column, role, found) for column, role in found.roles.items() if role in KINDS]
    if not parts:
        raise ValueError(f"{table.path}: no column of text, or of files that end in .png, .jpg, .wav or the like")
    if not tasks:
        have = ", ".join(table.columns)
        raise ValueError(f"{table.path}: no column seems to be the label; name it by --label; there are {have}")
    left = [column for column, role in found.roles.items() if role == "ignored"]
    split = next((column for column, role in found.roles.items() if role == "split"), None)
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    return "\n".join([
        f"# Guessed from {len(table.lines)} rows of {table.path.name}; change what is wrong.",
        f"# python -m models train {safe}.yaml --data {table.path} --output runs/{safe}",
        *([f"# Not used: {', '.join(left)}"] if left else []),
        f"name: {safe}",
        'version: "1"',
        "seed: 7 # of the split, of the first weights, of the order of rows",
        "parts: # what a request may hold; any subset of them will do",
        *parts,
        "# or concat, weights, decay, attention, cross_attention, graph, low_rank; of predictions: average, product",
        "fusion: {kind: gated}",
        "width: 64 # of each part's vector",
        "dense: [] # sizes of layers between fusion and heads",
        "tasks: # what is answered",
        *tasks,
        f"split: {{column: {quoted(split)}}} # train, valid, test" if split
        else "split: {valid: 0.15, test: 0.15} # `group: COLUMN` keeps rows of one patient, speaker, ... together",
        *TRAINING.splitlines(),
        "",
    ])  # fmt: skip


TRAINING = """training:
  epochs: 60 # at most; `patience` epochs without a better validation loss stop it
  patience: 10
  batch: 32
  rate: 0.002
  complete: 0.4 # share of rows that keep all their parts: others lose some, so that any subset is answered well
  alone: 0.3 # weight of the loss of each part by itself
  degraded: 0.2 # share of parts with noise in training
  calibrate: true # probabilities that mean what they say
  device: auto # or cpu, cuda
  precision: float32 # or bfloat16; float16 on cuda"""
KINDS = ("classification", "multilabel", "regression")


def look(table: Table, asked: Sequence[str]) -> Found:
    if missing := [column for column in asked if column not in table.columns]:
        raise ValueError(f"no column {missing[0]!r}; there are {', '.join(table.columns)}")
    roles, labels, separators = {}, {}, {}
    named = list(asked) or [column for column in table.columns if column.lower() in ANSWERS]
    values = {column: cells(table.lines, column) for column in table.columns}
    plain = {column: role(column, found) for column, found in values.items()}
    if not named:
        few = [c for c, kind in plain.items() if kind == "ignored" and c.lower() not in IGNORED]
        named = few[-1:]
    for column in table.columns:
        roles[column] = plain[column]
        if column in named and roles[column] not in ("image", "audio", "split"):
            roles[column], labels[column], separators[column] = answer(values[column])
    return Found(roles, labels, separators)


def cells(lines: Sequence[Line], column: str) -> list[str | list[str]]:
    return [line.cells[column] for line in lines if column in line.cells]


def role(column: str, found: Sequence[str | list[str]]) -> str:
    """Of a column that is not asked for."""
    said = [cell for cell in found if isinstance(cell, str)]
    if not said:
        return "ignored"
    for kind, endings in (("image", PICTURES), ("audio", SOUNDS)):
        if np.mean([cell.lower().endswith(endings) for cell in said]) > 0.8:
            return kind
    if column.lower() == "split" and set(said) <= {"train", "valid", "test"}:
        return "split"
    if column.lower() in IGNORED or np.mean([numeric(cell) for cell in said]) > 0.8:
        return "ignored"
    words = np.mean([len(cell.split()) for cell in said])
    return "text" if words >= 2 or len(set(said)) > max(20, len(said) // 2) else "ignored"


def answer(found: Sequence[str | list[str]]) -> tuple[str, list[str], str]:
    """Kind of the task, labels, separator."""
    said = [cell for cell in found if isinstance(cell, str)]
    if len(said) < len(found):
        return (
            "multilabel",
            frequent(label for cell in found for label in ([cell] if isinstance(cell, str) else cell)),
            "|",
        )
    if said and all(numeric(cell) for cell in said):
        several = len(set(said))
        if several > 20 or any(not float(cell).is_integer() for cell in said):
            return "regression", [], "|"
    for separator in SEPARATORS:
        pieces = [piece.strip() for cell in set(said) for piece in cell.split(separator)]
        if np.mean([separator in cell for cell in said]) > 0.05 and len(set(pieces)) < len(pieces):
            return "multilabel", frequent(piece for piece in pieces if piece), separator
    return "classification", frequent(cell.strip() for cell in said), "|"


def frequent(labels: Iterable[str]) -> list[str]:
    """Numbers by size, then others by letter."""
    counts = Counter(labels)
    return sorted(counts, key=lambda label: (not numeric(label), float(label) if numeric(label) else 0.0, label))


def numeric(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def quoted(text: str | None) -> str:
    """As YAML takes any text."""
    return json.dumps(text, ensure_ascii=False)


def identifier(column: str) -> str:
    name = re.sub(r"[^a-z0-9_]+", "_", column.lower()).strip("_")
    return name if name[:1].isalpha() else f"p_{name}"[:40]


def part(column: str, kind: str, table: Table) -> str:
    said = [cell for cell in cells(table.lines, column) if isinstance(cell, str)]
    body = {"text": text, "image": image, "audio": audio}[kind](said, table.path.parent)
    return f"  {identifier(column)}:\n    kind: {kind}\n    column: {quoted(column)}\n{body}"


def text(said: Sequence[str], home: Path) -> str:
    longest = int(np.quantile([len(re.findall(r"\w+|[^\w\s]", cell)) for cell in said], 0.98))
    most = next((size for size in (16, 32, 64, 128, 256) if size >= longest), 512)
    return (
        f"    input: {{max_tokens: {most}}}\n"
        "    tokens: {kind: words, size: 8000} # or characters, pieces; `kind: file, path: FOLDER` for a BERT's\n"
        "    encoder: {kind: cnn} # or bag_of_words, tfidf, word2vec, lstm, transformer; `kind: bert, folder: FOLDER`"
    )


def image(said: Sequence[str], home: Path) -> str:
    sides: list[int] = []
    grey: list[bool] = []
    for cell in said[:LOOKED]:
        try:
            with PIL.Image.open(home / cell) as picture:
                sides.append(min(picture.size))
                grey.append(picture.mode in ("1", "L", "LA", "I;16"))
        except OSError:
            continue  # training reports every one
    middle = float(np.median(sides)) if sides else 64
    side = next((each for each in reversed(SIDES) if each <= middle), SIDES[0])
    side = min(side, 64)
    mode = "L" if grey and all(grey) else "RGB"
    return (
        f"    input: {{mode: {mode}, resize: {{to: exact, height: {side}, width: {side}}}, scale: 0.00392156862745098, "
        "mean: [0.5], std: [0.25]}\n"
        "    encoder: {kind: cnn} # or resnet, vgg, inception, with `weights:` of a file with torchvision's names"
    )


def audio(said: Sequence[str], home: Path) -> str:
    rates, seconds = [], []
    for cell in said[:LOOKED]:
        try:
            found = soundfile.info(io.BytesIO((home / cell).read_bytes()))
        except (OSError, soundfile.LibsndfileError):
            continue
        rates.append(found.samplerate)
        seconds.append(found.duration)
    rate = 8000 if rates and np.median(rates) <= 8000 else 16000
    longest = float(np.ceil(np.quantile(seconds, 0.95))) if seconds else 10.0
    size = 256 if rate == 8000 else 512
    return (
        f"    input:\n      sample_rate: {rate}\n      max_seconds: {min(max(longest, 1.0), 30.0)}\n"
        f"      features: {{kind: log_mel, n_fft: {size}, hop: {size // 2}, log: ln, floor: 1.0e-6, normalize: clip}}\n"
        f"    bank: {{kind: mel, bands: {size // 8}}} # or kaldi, linear; `kind: mfcc` in features for cepstra\n"
        "    encoder: {kind: cnn} # or lstm; wave, with `features: {kind: waveform}`"
    )


def task(column: str, kind: str, found: Found) -> str:
    lines = [f"  {identifier(column)}:", f"    kind: {kind}", f"    columns: [{quoted(column)}]"]
    if kind == "multilabel":
        lines.append(f"    separator: {quoted(found.separators[column])}")
    if kind != "regression":
        listed = ", ".join(quoted(label) for label in found.labels[column])
        lines.append(
            f"    labels: [{listed}] # in the order of the answer; a label of the table that is not here is an error"
        )
    hints = {
        "classification": "{dropout: 0.2, balanced: false} # balanced: rare classes weigh as much as frequent ones",
        "multilabel": "{dropout: 0.2, balanced: false} # an empty cell is none of the labels, ? is not known",
        "regression": "{variance: true, coverage: 0.9} # `unit:` names the unit; intervals hold 90 % of true values",
    }
    return "\n".join([*lines, f"    head: {hints[kind]}"])
