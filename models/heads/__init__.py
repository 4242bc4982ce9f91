"""Hidden vectors to what is asked, with the losses that train it. Each kind is a Spec whose `build` makes its module.

classification, multilabel, regression: build(width, outputs); forward(h (B, width)) -> raw; loss(raw, targets);
fit(training targets) before training. Regression's `served(raw)` is what a bundle answers, in its unit.
embedding: build(parts, width); forward(hidden (B, M, width)) -> vectors; loss(vectors, present).
anomaly: build(width); forward(h) -> score (B,); loss(h); fit(h of training rows) before training.
"""

from typing import Annotated

from pydantic import Field

from models.heads.classify import Calibrated, ClassificationSpec, Classifier, MultilabelSpec, subset
from models.heads.embed import EmbeddingSpec
from models.heads.reconstruct import AnomalySpec
from models.heads.regress import RegressionSpec

Head = Annotated[
    ClassificationSpec | MultilabelSpec | RegressionSpec | EmbeddingSpec | AnomalySpec, Field(discriminator="kind")
]

__all__ = ["Calibrated", "Classifier", "Head", "subset"]
