"""Output = one of the ways from the graph's arrays to the answer's JSON, chosen by `kind`.

`service/kinds.py` adds those of other packages.
"""

from typing import Annotated

from pydantic import Field

from service.outputs.anomaly import Anomaly
from service.outputs.answer import Answer
from service.outputs.classification import Classification
from service.outputs.detection import Detection
from service.outputs.embedding import Embedding
from service.outputs.multilabel import Multilabel
from service.outputs.regression import Regression
from service.outputs.weights import Weights
from service.outputs.zero_shot import ZeroShot

Kind = Classification | Multilabel | Regression | Detection | Embedding | ZeroShot | Anomaly | Weights
Output = Annotated[Kind, Field(discriminator="kind")]

__all__ = [
    "Anomaly",
    "Answer",
    "Classification",
    "Detection",
    "Embedding",
    "Multilabel",
    "Output",
    "Regression",
    "Weights",
    "ZeroShot",
]
