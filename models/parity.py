"""A loaded bundle and its loaded variant to a report: how far apart their answers are, and how fast each is."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from service.bundle import Manifest
from service.errors import RequestError
from service.model import Model, differences
from service.types import FLOAT, Array, Row

BATCHES = (1, 16)
PERTURBED = 32  # rows made of the example's
LEAST, ENOUGH = 9, 1.5  # measurements at least; seconds of them that suffice

Labelled = list[tuple[str, Row]]
Seconds = Callable[[Sequence[Model], Row, int], list[float]]  # models, row, rows of a batch -> seconds a row, each


class Report(NamedTuple):
    """Pairs are the original's and the variant's."""

    sizes: tuple[int, int]
    difference: float  # of an output, relative to max(1, |x|)
    company: float  # of an answer of the variant, alone and in a batch
    same: float | None  # share of rows with the same top label, where something is classified
    accuracy: tuple[float, float] | None
    seconds: Mapping[int, Sequence[float]]  # rows of a batch -> CPU seconds a row; nothing if not measured
    rows: int
    labelled: int


def compare(original: Model, variant: Model, labelled: Labelled, seconds: Seconds | None) -> Report:
    """Each row alone and among others: int8 takes its scales from the whole batch. `seconds` measures, if given."""
    rows = [*examples(original), *(row for _, row in labelled)]
    expected: list[Row] = []
    alone: list[Row] = []
    together: list[Row] = []
    for start in track(range(0, len(rows), max(BATCHES)), "comparing", transient=True):
        batch = rows[start : start + max(BATCHES)]
        expected += [original.run([row])[0] for row in batch]
        alone += [variant.run([row])[0] for row in batch]
        together += variant.run(batch)
    _, row, trained = variant.bundle.example()  # which every load will ask for
    apart = [worst(alone[:1], [trained]), worst(alone, expected), worst(together, expected)]
    sizes = [size for size in BATCHES if size <= (original.most or size)]
    return Report(
        sizes=(original.bundle.graph.stat().st_size, variant.bundle.graph.stat().st_size),
        difference=float(np.max(apart)),
        company=worst(together, alone),
        same=same(original.manifest, alone, expected),
        accuracy=accuracy(original.manifest, labelled, expected, alone) if labelled else None,
        seconds={size: seconds([original, variant], row, size) for size in sizes} if seconds else {},
        rows=len(rows),
        labelled=len(labelled),
    )


def examples(model: Model) -> list[Row]:
    """The bundle's example and seeded perturbations of it, each in every subset of its parts that the model takes.

    A growing share (to a half) of a tensor's values is drawn anew between its least and its greatest; masks stay.
    Such rows are not data: they say how far the numbers move, not how good the answers are.
    """
    _, row, _ = model.bundle.example()
    rng = np.random.default_rng(0)
    manifest = model.manifest
    still = {mask for spec in manifest.inputs.values() for mask in spec.masks().values()} | {manifest.missing.tensor}
    made = [row]
    for share in np.linspace(0.5 / PERTURBED, 0.5, PERTURBED):
        made.append({name: x if name in still else perturbed(x, float(share), rng) for name, x in row.items()})
    return [subset for each in made for subset in subsets(manifest, each)]


def perturbed(values: Array, share: float, rng: np.random.Generator) -> Array:
    drawn = rng.uniform(values.min(), values.max(), values.shape)
    drawn = np.rint(drawn) if np.issubdtype(values.dtype, np.integer) else drawn
    return np.where(rng.random(values.shape) < share, drawn, values).astype(values.dtype)


def subsets(manifest: Manifest, row: Row) -> Iterator[Row]:
    """All parts first; fewer, where the model can do with fewer."""
    present = manifest.missing.tensor
    if present is None:
        yield row
        return
    tensors = {part: set(spec.tensors.model_dump().values()) for part, spec in manifest.inputs.items()}
    there = [part for part, names in tensors.items() if names & row.keys()]
    for count in range(len(there), 0, -1):
        for chosen in combinations(there, count):
            names = {name for part in chosen for name in tensors[part]}
            mask = np.array([part in chosen for part in tensors], FLOAT)
            yield {name: values for name, values in row.items() if name in names} | {present: mask}


def read(model: Model, folder: Path) -> Labelled:
    """FOLDER/LABEL/EXAMPLE/PART.*: each example is a folder as a bundle's is. Raises ValueError."""
    known = {
        label for each in model.manifest.outputs.values() if each.kind == "classification" for label in each.labels
    }
    found: Labelled = []
    for example in sorted(each for each in folder.glob("*/*") if each.is_dir()):
        label = example.parent.name
        if label not in known:
            raise ValueError(f"{example.parent}: the model has no label {label!r}")
        try:
            found.append((label, model.encode({file.stem: file.read_bytes() for file in example.iterdir()}, {})))
        except RequestError as error:
            raise ValueError(f"{example}: {error.detail}") from error
    if not found:
        raise ValueError(f"{folder}: no examples; they lie in it as LABEL/EXAMPLE/PART.*, such as 7/first/image.png")
    return found


def worst(answers: Sequence[Row], expected: Sequence[Row]) -> float:
    """NaN if there is one."""
    pairs = zip(answers, expected, strict=True)
    return float(np.max([found for got, wanted in pairs for found in differences(got, wanted).values()]))


def labels(manifest: Manifest, answer: Row) -> list[str]:
    """The top label of each classification."""
    outputs = manifest.outputs.values()
    return [each.labels[int(np.argmax(answer[each.tensor]))] for each in outputs if each.kind == "classification"]


def same(manifest: Manifest, answers: Sequence[Row], expected: Sequence[Row]) -> float | None:
    pairs = [(labels(manifest, a), labels(manifest, b)) for a, b in zip(answers, expected, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs[0][0] else None


def accuracy(manifest: Manifest, said: Labelled, expected: list[Row], answers: list[Row]) -> tuple[float, float]:
    """Of the last rows, which are the labelled ones."""

    def right(rows: list[Row]) -> float:
        pairs = zip(said, rows[-len(said) :], strict=True)
        return sum(label in labels(manifest, row) for (label, _), row in pairs) / len(said)

    return right(expected), right(answers)


def interleaved(models: Sequence[Model], row: Row, size: int) -> list[float]:
    """Medians of CPU time, one run of each model in turn: what disturbs the one disturbs the other."""
    rows = [row] * size
    for model in models:
        model.run(rows)  # warm
    took: list[list[float]] = [[] for _ in models]
    while len(took[0]) < LEAST or sum(map(sum, took)) < ENOUGH:
        for model, mine in zip(models, took, strict=True):
            start = time.process_time()
            model.run(rows)
            mine.append(time.process_time() - start)
    return [float(np.median(mine)) / size for mine in took]
