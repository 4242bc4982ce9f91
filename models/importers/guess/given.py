"""What the command line says of a graph; what it leaves out is read, measured, guessed or left to be completed."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from service.types import Spec

Role = Literal[
    "ids", "mask", "types", "positions", "length", "pixels", "pixel_mask", "samples", "features", "present", "constant"
]  # fmt: skip
Task = Literal["classification", "multilabel", "regression", "detection", "embedding", "anomaly"]


class Given(Spec):
    roles: dict[str, Role] = Field({})
    constants: dict[str, Any] = Field({})
    tokenizer: Path | None = None
    max_tokens: int | None = None
    preprocessor: Path | None = None
    norm: str | None = None
    scale: float | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    resize: str | None = None
    channels: Literal["RGB", "BGR"] | None = None
    sample_rate: int | None = None
    task: Task | None = None
    output: str | None = None
    labels: Path | None = None
    activation: Literal["none", "softmax", "sigmoid"] | None = None
    pooling: Literal["mean", "cls", "max", "last"] | None = None
