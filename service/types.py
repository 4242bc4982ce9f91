"""The three things a request is made of on its way: parts (bytes), a row (arrays), and the function between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

Array = NDArray[Any]
Parts = Mapping[str, bytes]  # part name -> what the client sent; an absent part has no key
Row = dict[str, Array]  # tensor name -> array without batch axis; one request in, one answer out
Stages = dict[str, float]  # stage of a request (encode.<part>, queue, run, decode) -> seconds
Encode = Callable[[bytes], Row]  # one part's bytes -> its tensors
Anew = Callable[[Array], Row]  # the same from what is decoded: upright pixels, samples

Shape = tuple[int | None, ...]  # of a tensor; None is an axis that varies

FLOAT = np.float32


class Made(NamedTuple):
    """What a part becomes for one input of the graph: element type (bool where it is only 0 and 1), shape of a row."""

    dtype: Any
    shape: Shape


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request may ask of the outputs; each output says by `controls` what it knows."""

    top_k: int | None = None
    threshold: float | None = None
    labels: tuple[str, ...] | None = None  # candidates of a zero-shot classification
    template: str | None = None  # sentence with {} in place of a candidate


NOTHING = Asked()


class Spec(BaseModel):
    """A frozen piece of a manifest: an unknown key is an error that names the known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def only_known_keys(cls, data: object) -> object:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in data if isinstance(data, dict) else ():
            if key not in known:
                raise ValueError(f"unknown key {key!r}; known keys: {', '.join(known)}")
        return data
