"""Samples made of bytes, through the service's own inputs, to arrays that are kept on disk for every run."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from service.inputs import Input
from service.types import Array, Encode, Row

CHUNK = 250  # samples of one job


class Sample(NamedTuple):
    data: bytes  # as a client would send it
    label: int
    group: str  # what is left out together: a speaker, "held" templates


class Maker(Protocol):
    """Sample i, the same each time: its randomness is seeded by i."""

    def __len__(self) -> int: ...
    def __call__(self, i: int) -> Sample: ...


class Pool(NamedTuple):
    rows: list[Row]
    labels: Array  # (N,)
    groups: Array  # (N,)

    def without(self, groups: Sequence[str]) -> "Pool":
        return self.keep(~np.isin(self.groups, groups))

    def only(self, groups: Sequence[str]) -> "Pool":
        return self.keep(np.isin(self.groups, groups))

    def joined(self, other: "Pool") -> "Pool":
        labels, groups = (np.concatenate(pair) for pair in zip(self[1:], other[1:], strict=True))
        return Pool([*self.rows, *other.rows], labels, groups)

    def keep(self, chosen: Array) -> "Pool":
        return Pool(
            [row for row, kept in zip(self.rows, chosen, strict=True) if kept], self.labels[chosen], self.groups[chosen]
        )


def cached(path: Path, maker: Maker, spec: Input, folder: Path, progress: Progress) -> Pool:
    if not path.exists():
        save(path, make(maker, spec, folder, progress, path.stem))
    return load(path)


def make(maker: Maker, spec: Input, folder: Path, progress: Progress, title: str) -> Pool:
    """All samples of a maker, encoded by `spec`, whose files lie in `folder`; on all processors."""
    chunks = [range(start, min(start + CHUNK, len(maker))) for start in range(0, len(maker), CHUNK)]
    made: list[tuple[Row, int, str]] = []
    task = progress.add_task(title, total=len(maker))
    fork = get_context("fork")  # the makers' arrays are shared, not sent
    with ProcessPoolExecutor(os.cpu_count(), fork, _start, (maker, spec, folder)) as workers:
        for part in workers.map(_work, chunks):
            made += part
            progress.update(task, advance=len(part))
    rows, labels, groups = zip(*made, strict=True)
    return Pool(list(rows), np.array(labels), np.array(groups))


_job: tuple[Maker, Encode]  # of a worker process


def _start(maker: Maker, spec: Input, folder: Path) -> None:
    global _job  # noqa: PLW0603 (an executor's initializer has no other way)
    _job = maker, spec.load(folder)


def _work(chunk: range) -> list[tuple[Row, int, str]]:
    maker, encode = _job
    return [(encode(sample.data), sample.label, sample.group) for sample in map(maker, chunk)]


def save(path: Path, pool: Pool) -> None:
    """Each tensor of all rows end to end, with the shapes of the pieces."""
    arrays: dict[str, Array] = {"labels": pool.labels, "groups": pool.groups}
    for name in pool.rows[0]:
        pieces = [row[name] for row in pool.rows]
        arrays[f"{name}/shapes"] = np.array([piece.shape for piece in pieces])
        arrays[f"{name}/values"] = np.concatenate([piece.ravel() for piece in pieces])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(path)


def load(path: Path) -> Pool:
    with np.load(path) as file:
        arrays = dict(file)
    names = [key.removesuffix("/values") for key in arrays if key.endswith("/values")]
    columns = [pieces(arrays[f"{name}/values"], arrays[f"{name}/shapes"]) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return Pool(rows, arrays["labels"], arrays["groups"])


def pieces(values: Array, shapes: Array) -> list[Array]:
    ends = np.cumsum(shapes.prod(1))
    return [
        values[end - size : end].reshape(shape) for end, size, shape in zip(ends, shapes.prod(1), shapes, strict=True)
    ]


def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Stacked, shorter ones padded with zeros at the end."""
    batch = {}
    for name, first in rows[0].items():
        shape = np.max([row[name].shape for row in rows], 0)
        out = np.zeros((len(rows), *shape), first.dtype)
        for i, row in enumerate(rows):
            out[i][tuple(slice(size) for size in row[name].shape)] = row[name]
        batch[name] = torch.from_numpy(out)
    return batch
