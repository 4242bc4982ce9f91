"""Output = Classification | Weights: the ways from the graph's arrays to the answer's JSON."""

from typing import Annotated

from pydantic import Field

from service.outputs.classification import Classification
from service.outputs.weights import Weights

Output = Annotated[Classification | Weights, Field(discriminator="kind")]

__all__ = ["Classification", "Output", "Weights"]
