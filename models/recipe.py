"""models/recipes/NAME.yaml to a frozen Recipe: every number that decides what a trained model is."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from service.bundle import explain
from service.inputs import Input
from service.types import Spec

RECIPES = Path(__file__).parent / "recipes"
Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Mel(Spec):
    """librosa.filters.mel: made once, kept in the bundle."""

    mels: Count = 64
    fmin: float = Field(60.0, ge=0)
    fmax: float = Field(4000.0, gt=0)


class Encoders(Spec):
    embedding: Count = 32
    text: Count = 64
    image: list[Count] = Field([16, 32, 64], min_length=3, max_length=3)
    audio: list[Count] = Field([12, 24, 32, 48, 80], min_length=5, max_length=5)


class Net(Spec):
    width: Count = Field(64, description="of each part's hidden vector")
    fusion: Literal["attention", "gated"] = "gated"
    dropout: Share = 0.2
    encoders: Encoders = Encoders()


class Samples(Spec):
    """How many varied samples are made before training; they are cached."""

    sentences: Count
    pictures: Count
    takes: Count = Field(description="variants of each recording, itself included")
    voices: int = Field(0, ge=0, description="utterances of espeak-ng's voices, beside the recorded ones")
    voice_takes: Count = Field(5, description="variants of each utterance")


class Training(Spec):
    steps: Count
    fold_steps: Count = Field(description="of the runs without some speakers, which calibrate and estimate")
    batch: Count = 96
    rate: float = Field(3e-3, gt=0)
    decay: float = Field(1e-2, ge=0)
    clip: float = Field(2.0, gt=0)
    complete: Share = Field(0.3, description="share of samples with all parts; the others draw one of all subsets")
    alone: float = Field(0.3, ge=0, description="weight of the loss of the heads that see one part")
    smoothing: Share = Field(0.0, description="label smoothing")


class Recipe(Spec):
    name: str
    version: str
    seed: int
    inputs: dict[str, Input]
    mel: Mel
    network: Net
    samples: Samples
    training: Training
    folds: list[list[str]] = Field(description="speakers left out together, one run for each group")

    def tensors(self) -> dict[str, list[str]]:
        """Part -> the graph's names of what it becomes."""
        return {part: list(spec.tensors.model_dump(exclude_none=True).values()) for part, spec in self.inputs.items()}


def read(name: str) -> Recipe:
    """A recipe of ours by its name, or any .yaml file by its path. Raises FileNotFoundError, ValueError."""
    path = Path(name) if name.endswith(".yaml") else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.yaml")))
        raise FileNotFoundError(f"no recipe {name!r}; there are {known}, or give the path of a .yaml file")
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
