"""What a recipe says of a table's columns: which are parts, as which inputs; which are asked for. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from models import banks
from models.tokens import Tokens, Words
from service.inputs import Audio, Image, Input, Text
from service.inputs.features import Spectral
from service.types import Spec

NAME = r"^[a-z][a-z0-9_]{0,40}$"
Name = Annotated[str, Field(pattern=NAME)]
Kind = Literal["classification", "multilabel", "regression", "embedding", "anomaly"]
MULTILABEL, CLASSIFICATION, REGRESSION = "multilabel", "classification", "regression"
EMBEDDING, ANOMALY = "embedding", "anomaly"
UNLABELLED = (EMBEDDING, ANOMALY)  # what can be learned of rows that say no answer
TENSORS = {
    "text": {"ids": "{}_ids", "mask": "{}_mask"},
    "image": {"pixels": "{}_pixels"},
    "audio": {"features": "{}_features", "mask": "{}_mask"},
}
LONG = {"ids": 1, "mask": 1, "features": 2}  # tensor of an input -> its axis of any length


class TextColumn(Spec):
    kind: Literal["text"]
    column: str
    input: Text
    tokens: Tokens = Words()


class ImageColumn(Spec):
    kind: Literal["image"]
    column: str
    input: Image


class Bank(Spec):
    """Of an audio input that has one; see models/banks.py."""

    kind: Literal["mel", "kaldi", "linear"] = "mel"
    bands: int = Field(64, gt=0)
    low: float = Field(0.0, ge=0, description="hertz")
    high: float | None = Field(None, description="hertz; half the sample rate")


class AudioColumn(Spec):
    kind: Literal["audio"]
    column: str
    input: Audio
    bank: Bank = Bank()


Column = TextColumn | ImageColumn | AudioColumn


class Target(Spec):
    """`classification`: one column of labels. `multilabel`: one column of labels between separators, an empty cell
    being none of them and `?` not known; or a column a label, of 0 and 1. `regression`: columns of numbers.
    `embedding`: no column, or one whose equal cells make rows that answer each other. `anomaly`: no column, or one of 0
    and 1; what is 1 is not trained on, and shows how well it is found."""

    kind: Kind
    columns: list[str] = Field([], description="of the table")
    labels: list[str] = Field([], description="in the order of the answer")
    separator: str = Field("|", min_length=1, description="between the labels of a cell")
    weight: float = Field(1.0, gt=0, description="of the task's loss")

    @model_validator(mode="after")
    def possible(self) -> "Target":
        if self.kind in UNLABELLED:
            if len(self.columns) > 1 or self.labels:
                raise ValueError(f"{self.kind}: takes one column at most, and no labels")
            return self
        if not self.columns:
            raise ValueError(f"{self.kind}: columns: names none")
        if self.kind == CLASSIFICATION and len(self.columns) != 1:
            raise ValueError("classification: takes one column")
        if self.kind == REGRESSION and self.labels:
            raise ValueError("regression: has columns, no labels")
        if self.kind != REGRESSION and len(self.labels) < (2 if self.kind == CLASSIFICATION else 1):
            raise ValueError(f"{self.kind}: too few labels")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: one is there twice")
        if len(self.columns) > 1 and self.kind == MULTILABEL and len(self.labels) != len(self.columns):
            raise ValueError("labels: as many as columns, where there are several")
        return self

    @property
    def flags(self) -> bool:
        """Whether a column holds 1, 0 or nothing, as each label's own does."""
        if self.kind == MULTILABEL:
            return self.columns == self.labels or len(self.columns) > 1
        return self.kind == ANOMALY

    @property
    def size(self) -> int:
        """Numbers of a row's answer; of an embedding the head says how many."""
        return len(self.labels) or len(self.columns) or 1


class Split(Spec):
    """Which rows are not trained on: `valid` stops the training and calibrates, `test` is what the card reports."""

    column: str | None = Field(None, description="of train, valid or test; without it rows are drawn")
    folds: list[str] = Field([], description="columns like `column`, for the trainings that repeat it")
    group: str | None = Field(None, description="column: rows of one group stay together, such as a speaker's")
    valid: float = Field(0.15, gt=0, lt=0.5)
    test: float = Field(0.15, gt=0, lt=0.5)

    def again(self, k: int) -> "Split":
        """Of repetition k, from 1."""
        return self.model_copy(update={"column": self.folds[(k - 1) % len(self.folds)]}) if self.folds else self


@dataclass(frozen=True)
class Plan:
    """What of a recipe decides how a table becomes rows."""

    parts: Mapping[str, Column]
    tasks: Mapping[str, Target]
    split: Split
    seed: int
    unlabelled: bool = False  # rows that say no answer are of use

    @property
    def lenient(self) -> bool:
        return self.unlabelled or any(task.kind in UNLABELLED for task in self.tasks.values())


def filled(data: object) -> object:
    """The parts of a recipe with what goes without saying: kinds, names of tensors and files."""
    if not isinstance(data, dict) or not isinstance(data.get("parts"), dict):
        return data
    parts = {
        name: extended(str(name), worded(part, ("encoder", "tokens", "bank"))) for name, part in data["parts"].items()
    }
    filled = worded({**data, "parts": parts}, ("fusion",))
    if isinstance(data.get("tasks"), dict):
        filled["tasks"] = {name: worded(task, ("estimator",)) for name, task in data["tasks"].items()}
    return filled


def worded(held: Any, keys: tuple[str, ...]) -> Any:
    """`encoder: resnet` is `encoder: {kind: resnet}`."""
    if not isinstance(held, dict):
        return held
    return {key: {"kind": value} if key in keys and isinstance(value, str) else value for key, value in held.items()}


def extended(name: str, part: Any) -> Any:
    if not isinstance(part, dict) or part.get("kind") not in TENSORS:
        return part
    kind = str(part["kind"])
    usual: dict[str, Any] = {"kind": kind}
    usual["tensors"] = {tensor: form.format(name) for tensor, form in TENSORS[kind].items()}
    given = dict(part.get("input") or {})
    if kind == "text":
        usual["tokenizer"] = f"{name}.json"
    features = given.get("features") if kind == "audio" else None
    if isinstance(features, dict) and features.get("kind") in ("log_mel", "mfcc"):
        given["features"] = {"bank": f"{name}.npy", **features}
    return {"column": name, **part, "input": {**usual, **given}}


def tensors(spec: Input) -> list[str]:
    """The graph's names of what an input becomes, in order."""
    return list(spec.tensors.model_dump(exclude_none=True).values())


def axes(spec: Input) -> dict[str, dict[int, str]]:
    """Tensor -> its axes of any length, which all of one part share."""
    named = spec.tensors.model_dump(exclude_none=True)
    part = tensors(spec)[0]
    if spec.kind == "audio" and spec.features.kind == "waveform":
        return {name: {1: f"{part}_length"} for name in named.values()}
    return {name: {LONG[key]: f"{part}_length"} for key, name in named.items() if key in LONG}


def bands(column: AudioColumn) -> int:
    """Rows of the features; 0: samples."""
    features = column.input.features
    if features.kind == "waveform":
        return 0
    if features.kind == "log_mel":  # its bank is yet to be written
        return (column.bank.bands if features.bank else features.n_fft // 2 + 1) + features.energy
    return features.bands(Path(), column.input.sample_rate)


def write_bank(column: AudioColumn, folder: Path) -> None:
    """The filter bank that the input names, if it names one."""
    features, chosen = column.input.features, column.bank
    if not isinstance(features, Spectral) or not features.bank:
        return
    maker = {"mel": banks.mel, "kaldi": banks.kaldi, "linear": banks.linear}[chosen.kind]
    made = maker(column.input.sample_rate, features.n_fft, chosen.bands, chosen.low, chosen.high)
    np.save(folder / features.bank, made.astype(np.float32))
