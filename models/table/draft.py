"""What the columns of a table seem to be to the text of a first recipe, with sizes that fit most rows, and comments."""

import io
import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import soundfile

from models.table import guess
from models.table.columns import ANOMALY, EMBEDDING, UNLABELLED
from models.table.guess import PARTS, Found
from models.table.lines import Cell, Table

LOOKED = 60  # files that are opened to see how large they are
SIDES = (28, 32, 48, 64, 96, 128, 160, 192, 224)
USUAL_SIDE = 64  # at most, unless somebody wants more
KINDS = ("classification", "multilabel", "regression")
UNIT = re.compile(r"[\[(]([^\])]+)[\])]\s*$")  # weight (kg), price [EUR]
FUSION = """\
# How the parts become one vector: gated, concat, weights, decay, attention, cross_attention, graph, low_rank; or how
# their predictions become one: average, product. `python -m models compare THIS.yaml --fusions all` tries them all.
fusion: {kind: gated}
width: 64 # numbers of each part's vector: more for more rows
dense: [] # widths of layers between fusion and answer, such as [128]"""
TRAINING = """training:
  epochs: 60 # at most; `patience` epochs without a better validation loss stop it
  patience: 10
  batch: 32
  rate: 0.002
  complete: 0.4 # share of rows that keep all their parts: others lose some, so that any subset is answered well
  alone: 0.3 # weight of the loss of each part by itself
  degraded: 0.2 # share of parts with noise in training
  pretrain: 0 # epochs of each encoder without labels first; rows without a label are then of use, too
  calibrate: true # probabilities that mean what they say
  device: auto # or cpu, cuda
  precision: float32 # or bfloat16; float16 on cuda
repeats: 0 # trainings of other splits, which say how far the scores vary: worth it below some thousand rows"""
ALONE = """training:
  epochs: 60 # at most; `patience` epochs without a better validation loss stop it
  patience: 10
  batch: 64
  rate: 0.002
  complete: 1.0 # nothing is left out of a row
  degraded: 0.2 # share of parts with noise in training
  device: auto # or cpu, cuda
  precision: float32 # or bfloat16; float16 on cuda
repeats: 0 # trainings of other splits, which say how far the scores vary: worth it below some thousand rows"""


def write(name: str, table: Table, asked: Sequence[str], kind: str | None = None) -> str:
    """The .yaml; `asked`: columns to predict, `kind`: of the task, where the guess is wrong. Raises ValueError."""
    found = guess.look(table, asked, unlabelled=kind in UNLABELLED)
    if not found.having(PARTS):
        raise ValueError(f"{table.path}: no column of text, or of files that end in .png, .jpg, .wav or the like")
    names = identifiers(table.columns)
    if kind in UNLABELLED:
        tasks = [free(kind, asked)]
    elif not found.having(KINDS):
        have = ", ".join(table.columns)
        hint = f"--task {EMBEDDING} and --task {ANOMALY} need none"
        raise ValueError(f"{table.path}: no column seems to be the label; --label names it; there are {have}; {hint}")
    else:
        tasks = [task(column, names[column], table, found) for column in found.having(KINDS)]
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    return "\n".join([
        *head(safe, table, found),
        "parts: # what a request may hold; any subset of them will do",
        *(part(column, names[column], found.roles[column], table) for column in found.having(PARTS)),
        *([] if kind in UNLABELLED else [FUSION]),
        "tasks: # what is answered",
        *tasks,
        split(found),
        ALONE if kind in UNLABELLED else TRAINING,
        "",
    ])  # fmt: skip


def head(name: str, table: Table, found: Found) -> list[str]:
    lines = [
        f"# Guessed from {len(table.lines)} rows of {table.path.name}; change what is wrong.",
        f"# python -m models train {name}.yaml --data {table.path} --output runs/{name}",
    ]
    if left := [column for column in found.having(["ignored"]) if column not in found.others]:
        lines.append(f"# Not used: {', '.join(left)}")
    if found.others:
        options = " ".join(f"--label {json.dumps(column)}" for column in found.others[:4])
        lines.append(f"# Not used, but could be predicted (`new ... {options}`): {', '.join(found.others)}")
    return [
        *lines,
        f"name: {name}",
        'version: "1"',
        "seed: 7 # of the split, of the first weights, of the order of rows",
    ]


def split(found: Found) -> str:
    if columns := found.having(["split"]):
        return f"split: {{column: {quoted(columns[0])}}} # train, valid, test"
    return "split: {valid: 0.15, test: 0.15} # `group: COLUMN` keeps rows of one patient, speaker, ... together"


def quoted(text: str | None) -> str:
    """As YAML takes any text."""
    return json.dumps(text, ensure_ascii=False)


def identifiers(columns: Sequence[str]) -> dict[str, str]:
    """Column -> a name for requests and answers, each another one."""
    found: dict[str, str] = {}
    for column in columns:
        plain = UNIT.sub("", unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode().lower())
        name = re.sub(r"[^a-z0-9_]+", "_", plain).strip("_")[:36]
        name = name if name[:1].isalpha() else f"p_{name}".strip("_")
        same = sum(each == name or each.startswith(f"{name}_") for each in found.values())
        found[column] = f"{name}_{same + 1}" if name in found.values() else name
    return found


def part(column: str, name: str, kind: str, table: Table) -> str:
    said = guess.cells(table.lines, column)
    body = {"text": text, "image": image, "audio": audio}[kind](said, table.path.parent)
    return f"  {name}: # as requests name it\n    kind: {kind}\n    column: {quoted(column)}\n{body}"


def text(said: Sequence[Cell], home: Path) -> str:
    words = [len(re.findall(r"\w+|[^\w\s]", cell)) for cell in said if isinstance(cell, str)]
    longest = int(np.quantile(words, 0.98))
    most = next((size for size in (16, 32, 64, 128, 256) if size >= 1.25 * longest), 512)
    return (
        f"    input: {{max_tokens: {most}}} # the rest of a longer text is cut off; the longest here has {max(words)}\n"
        "    tokens: {kind: words, size: 8000} # or characters, pieces; `kind: file, path: FOLDER` for a BERT's\n"
        "    encoder: {kind: cnn} # or bag_of_words, tfidf, word2vec, lstm, transformer; `kind: bert, folder: FOLDER`"
    )


def held(said: Sequence[Cell], home: Path) -> list[bytes]:
    """Some of the files; what cannot be read is left out: training reports every one."""
    found = []
    for cell in said[:LOOKED]:
        try:
            found.append(cell if isinstance(cell, bytes) else (home / str(cell)).read_bytes())
        except OSError:
            continue
    return found


def image(said: Sequence[Cell], home: Path) -> str:
    sides: list[int] = []
    grey: list[bool] = []
    for data in held(said, home):
        try:
            with PIL.Image.open(io.BytesIO(data)) as picture:
                sides.append(min(picture.size))
                grey.append(picture.mode in ("1", "L", "LA", "I;16"))
        except OSError:
            continue
    middle = float(np.median(sides)) if sides else USUAL_SIDE
    side = min(USUAL_SIDE, next((each for each in reversed(SIDES) if each <= middle), SIDES[0]))
    mode = "L" if grey and all(grey) else "RGB"
    return (
        f"    # every picture becomes {side} x {side}: more shows more and costs time (yours: about {middle:.0f})\n"
        f"    input: {{mode: {mode}, resize: {{to: exact, height: {side}, width: {side}}}, scale: 0.00392156862745098, "
        "mean: [0.5], std: [0.25]}\n"
        "    encoder: {kind: cnn} # or resnet, vgg, inception, with `weights:` of a file with torchvision's names"
    )


def audio(said: Sequence[Cell], home: Path) -> str:
    rates, seconds = [], []
    for data in held(said, home):
        try:
            found = soundfile.info(io.BytesIO(data))
        except soundfile.LibsndfileError:
            continue
        rates.append(found.samplerate)
        seconds.append(found.duration)
    rate = 8000 if rates and np.median(rates) <= 8000 else 16000
    longest = float(np.ceil(np.quantile(seconds, 0.95))) if seconds else 10.0
    size = 256 if rate == 8000 else 512
    return (
        f"    input:\n      sample_rate: {rate} # to which every recording is brought\n"
        f"      max_seconds: {min(max(longest, 1.0), 30.0)} # the rest of a longer one is cut off\n"
        f"      features: {{kind: log_mel, n_fft: {size}, hop: {size // 2}, log: ln, floor: 1.0e-6, normalize: clip}}\n"
        f"    bank: {{kind: mel, bands: {size // 8}}} # or kaldi, linear; `kind: mfcc` in features for cepstra\n"
        "    encoder: {kind: cnn} # or lstm; wave, with `features: {kind: waveform}`"
    )


def free(kind: str | None, asked: Sequence[str]) -> str:
    """A task without labels."""
    columns = f"[{', '.join(map(quoted, asked))}]"
    if kind == EMBEDDING:
        lines = [
            "  meaning:",
            "    kind: embedding # parts of one row come near each other, in one space of all parts",
            f"    columns: {columns} # at most one: rows with the same in it belong together",
            "    head: {dimensions: 64, temperature: 0.2} # a smaller temperature parts more sharply",
        ]
    else:
        lines = [
            "  unusual:",
            "    kind: anomaly # how badly a row is rebuilt from a short code; over 1 is unusual",
            f"    columns: {columns} # at most one, of 0 and 1: 1 is not trained on, and shows how well it is found",
            "    head: {code: 8, share: 0.95} # share of usual rows that are to be under 1",
        ]
    return "\n".join(lines)


def task(column: str, name: str, table: Table, found: Found) -> str:
    kind, values = found.roles[column], guess.cells(table.lines, column)
    lines = [f"  {name}:", f"    kind: {kind}", f"    columns: [{quoted(column)}]"]
    if kind == "multilabel":
        lines.append(f"    separator: {quoted(found.separators[column])}")
    if kind != "regression":
        if doubts := guess.doubtful(values, found.labels[column], found.separators[column]):
            lines.append(f"    # Look at these, which may be slips in the table: {'; '.join(doubts[:6])}")
        listed = ", ".join(quoted(label) for label in found.labels[column])
        lines.append(
            f"    labels: [{listed}] # in the order of the answer; a label of the table that is not here is an error"
        )
    unit = UNIT.search(column)
    hints = {
        "classification": "{dropout: 0.2, balanced: false} # balanced: rare classes weigh as much as frequent ones",
        "multilabel": "{dropout: 0.2, balanced: false} # an empty cell is none of the labels, ? is not known",
        "regression": f"{{unit: {quoted(unit[1].strip() if unit else None)}, variance: true, coverage: 0.9}} "
        "# unit: as answers name it, such as kg; intervals hold 90 % of true values",
    }
    return "\n".join([*lines, f"    head: {hints[kind]}"])
