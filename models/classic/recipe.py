"""A .yaml file whose tasks name estimators to a frozen Recipe. Needs no torch."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, model_validator

from models.classic.estimators import CLASSIFIERS, REGRESSORS, Estimator
from models.table.columns import (
    REGRESSION,
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


class Tfidf(Spec):
    """Of n-grams of tokens (Sparck Jones, 1972), each text's vector of length 1."""

    smallest: Count = 1
    largest: Count = 2
    features: Count = Field(2000, description="the most frequent n-grams")


class Grid(Spec):
    """Means of brightness and of its steps to the right and down in the fields of a grid; mean and deviation."""

    fields: Count = 7


class Bands(Spec):
    """Of each band: mean, deviation, maximum, and the means of stretches of the time."""

    stretches: Count = 8


class TextPart(TextColumn):
    features: Tfidf = Tfidf()


class ImagePart(ImageColumn):
    features: Grid = Grid()


class AudioPart(AudioColumn):
    features: Bands = Bands()


class Task(Target):
    estimator: Estimator
    unit: str | None = None
    coverage: float = Field(0.9, gt=0, lt=1, description="share of true values within a regression's interval")

    @model_validator(mode="after")
    def fits(self) -> "Task":
        if self.kind in UNLABELLED:
            raise ValueError(f"{self.kind}: is learned by a network: the task takes `head`, no `estimator`")
        known = REGRESSORS if self.kind == REGRESSION else CLASSIFIERS
        if self.estimator.kind not in known:
            raise ValueError(f"estimator: {self.estimator.kind} is none for {self.kind}; there are {', '.join(known)}")
        return self


class Recipe(Spec):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    version: str = "1"
    table: str | None = Field(None, description="of an example: the one that `python -m models table` makes for it")
    seed: int = 7
    about: str = Field("", description="for the model card; Markdown")
    limits: str = Field("", description="for the model card")
    split: Split = Split()
    parts: dict[Name, Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="kind")]] = Field(min_length=1)
    tasks: dict[Name, Task] = Field(min_length=1)
    takes: Count = Field(3, description="how often each row is shown, with all its parts first, then with fewer")
    frozen: str | None = Field(
        None, description="of which network's vectors the features are, where they are no statistics"
    )

    @model_validator(mode="before")
    @classmethod
    def goes_without_saying(cls, data: object) -> object:
        return filled(data)


def read(path: Path) -> Recipe:
    """Raises ValueError, with the place in the file."""
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
