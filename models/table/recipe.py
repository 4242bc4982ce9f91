"""A .yaml file with `parts` to a frozen Recipe: every number that decides what is trained on a table."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from models.encoders import AudioEncoder, ImageEncoder, TextEncoder
from models.encoders.audio import AudioCnnSpec
from models.encoders.image import ImageCnnSpec
from models.encoders.text import TextCnnSpec
from models.fusion import Fusion
from models.fusion.weighted import GatedSpec
from models.heads import Head
from models.table.columns import (
    EMBEDDING,
    UNLABELLED,
    AudioColumn,
    ImageColumn,
    Name,
    Split,
    Target,
    TextColumn,
    filled,
)
from service.bundle import explain
from service.types import Spec

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class TextPart(TextColumn):
    encoder: TextEncoder = TextCnnSpec()


class ImagePart(ImageColumn):
    encoder: ImageEncoder = ImageCnnSpec()


class AudioPart(AudioColumn):
    encoder: AudioEncoder = AudioCnnSpec()


class Task(Target):
    """`head` holds the options of the kind's head, as models/heads has them."""

    head: Head

    @model_validator(mode="before")
    @classmethod
    def names_its_head(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("head", {}), dict):
            return {**data, "head": {"kind": data.get("kind"), **data.get("head", {})}}
        return data

    @model_validator(mode="after")
    def has_its_kinds_head(self) -> "Task":
        if self.head.kind != self.kind:
            raise ValueError(f"head: is of {self.head.kind}, the task of {self.kind}")
        return self


class Training(Spec):
    epochs: Count = Field(60, description="at most")
    patience: Count = Field(10, description="epochs without a better validation loss until it stops")
    batch: int = Field(32, gt=1)
    rate: float = Field(2e-3, gt=0)
    decay: float = Field(1e-2, ge=0)
    clip: float = Field(2.0, gt=0)
    complete: Share = Field(
        0.4, description="modality dropout: share of rows that keep all their parts; others lose some"
    )
    alone: float = Field(0.3, ge=0, description="weight of the loss of the heads that see one part")
    degraded: Share = Field(0.2, description="share of parts with noise, or with words replaced; as much as it happens")
    pretrain: int = Field(
        0,
        ge=0,
        description="epochs of each encoder as an autoencoder, before any label; rows without one are of use",
    )
    calibrate: bool = Field(True, description="a temperature for each subset of parts, from the rows of `valid`")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the forward pass; float16 needs CUDA"
    )


class Recipe(Spec):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    version: str = "1"
    table: str | None = Field(None, description="of an example: the one that `python -m models table` makes for it")
    seed: int = 7
    about: str = Field("", description="for the model card; Markdown")
    limits: str = Field("", description="for the model card")
    split: Split = Split()
    parts: dict[Name, Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="kind")]] = Field(min_length=1)
    width: Count = Field(64, description="of each part's hidden vector")
    fusion: Fusion = GatedSpec()
    dense: list[Count] = Field([], description="layers between fusion and heads")
    tasks: dict[Name, Task] = Field(min_length=1)
    training: Training = Training()
    repeats: int = Field(
        0, ge=0, description="trainings of other splits and other first weights, which say how far the scores vary"
    )

    @model_validator(mode="before")
    @classmethod
    def goes_without_saying(cls, data: object) -> object:
        return filled(data)

    @model_validator(mode="after")
    def possible(self) -> "Recipe":
        if self.late and self.dense:
            raise ValueError("dense: a fusion of predictions has no layers after it")
        if shared := self.parts.keys() & self.tasks.keys():
            raise ValueError(f"{min(shared)}: a part and a task of one name")
        for name, task in self.tasks.items():
            if unknown := set(getattr(task.head, "parts", [])) - self.parts.keys():
                raise ValueError(f"tasks: {name}: head: parts: no part {min(unknown)!r}")
        if len(self.parts) < 2 and any(task.kind == EMBEDDING for task in self.tasks.values()):
            raise ValueError("tasks: an embedding joins parts, and needs two of them")
        if not self.labelled and (self.dense or "fusion" in self.model_fields_set):
            raise ValueError("fusion, dense: no task takes them: embeddings and anomalies look at each part by itself")
        return self

    def again(self, k: int) -> "Recipe":
        """Of repetition k, from 1."""
        return self.model_copy(update={"seed": self.seed + k, "split": self.split.again(k), "repeats": 0})

    @property
    def labelled(self) -> dict[str, Task]:
        """The tasks whose answers stand in the table."""
        return {name: task for name, task in self.tasks.items() if task.kind not in UNLABELLED}

    @property
    def late(self) -> bool:
        """Whether what is fused are the predictions of each part."""
        return bool(getattr(self.fusion, "predictions", False))


def read(path: Path) -> Recipe:
    """Raises ValueError, with the place in the file."""
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
