"""Hidden vectors to scores of classes or labels, their losses, and scores to probabilities that mean what they say."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from service.types import Spec

UNKNOWN = -1  # class of a row without a label
LARGEST = 20.0  # how much more one label's rare yes may count than its no


class Classifier(nn.Module):
    """Dropout and one linear layer to the logits."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)

    def forward(self, h: Tensor) -> Tensor:
        """h (..., width) -> (..., classes)."""
        logits: Tensor = self.linear(self.dropout(h))
        return logits


class Single(Classifier):
    """One of several classes. Two share one logit z, as p = sigmoid(z) and 1 - p: their logits are 0 and z."""

    def __init__(self, width: int, classes: int, spec: "ClassificationSpec") -> None:
        super().__init__(width, classes if classes > 2 else 1, spec.dropout)
        self.weight = nn.Buffer(torch.ones(classes))
        self.spec = spec

    def forward(self, h: Tensor) -> Tensor:
        """h (..., width) -> (..., classes)."""
        logits = super().forward(h)
        return logits if len(self.weight) > 2 else torch.cat((torch.zeros_like(logits), logits), -1)

    def fit(self, labels: Tensor) -> None:
        """labels (N,) of the training rows: where `balanced`, classes weigh n / (classes n_c) (King and Zeng, 2001)."""
        if self.spec.balanced:
            counts = labels[labels != UNKNOWN].bincount(minlength=len(self.weight)).clamp(min=1)
            self.weight.copy_(counts.sum() / (len(counts) * counts))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; logits (B, classes), labels (B,) int64, UNKNOWN rows not counted; 0 where all are."""
        known = labels != UNKNOWN
        if not known.any():
            return 0 * logits.sum()
        return functional.cross_entropy(logits[known], labels[known], self.weight, label_smoothing=self.spec.smoothing)


class Several(Classifier):
    """Any number of labels at once, each yes or no."""

    def __init__(self, width: int, labels: int, spec: "MultilabelSpec") -> None:
        super().__init__(width, labels, spec.dropout)
        self.weight = nn.Buffer(torch.ones(labels))
        self.spec = spec

    def fit(self, labels: Tensor) -> None:
        """labels (N, labels) of the training rows: where `balanced`, a label's yes weighs as much as its no in sum."""
        if self.spec.balanced:
            yes, no = (labels == 1).sum(0), (labels == 0).sum(0)
            self.weight.copy_((no / yes.clamp(min=1)).clamp(1 / LARGEST, LARGEST))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy; logits, labels (B, labels), NaN where it is not known; 0 where none is."""
        known = ~labels.isnan()
        asked = torch.where(known, labels, 0.0)
        each = functional.binary_cross_entropy_with_logits(logits, asked, pos_weight=self.weight, reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)


class Calibrated(nn.Module):
    """p = softmax(logits / T), one temperature T for each subset of parts (Guo et al., ICML 2017, arXiv:1706.04599);
    of labels p = sigmoid(logits / T), and of two classes sigmoid of their difference."""

    def __init__(self, parts: int, space: Literal["softmax", "sigmoid"] = "softmax") -> None:
        super().__init__()
        self.temperature = nn.Buffer(torch.ones(2**parts))
        self.powers = nn.Buffer(2.0 ** torch.arange(parts))
        self.space = space

    def forward(self, logits: Tensor, present: Tensor) -> Tensor:
        scaled = logits / self.temperature[subset(present, self.powers)][:, None]
        if self.space == "softmax" and scaled.shape[1] == 2:
            z = scaled[:, 1:] - scaled[:, :1]
            return torch.cat((-z, z), 1).sigmoid()
        return scaled.softmax(1) if self.space == "softmax" else scaled.sigmoid()


def subset(present: Tensor, powers: Tensor) -> Tensor:
    """(B, M) of 0 and 1 -> (B,) the number of the subset, part i being bit i."""
    return (present @ powers).long()


class ClassificationSpec(Spec):
    kind: Literal["classification"] = "classification"
    dropout: float = Field(0.2, ge=0, lt=1)
    smoothing: float = Field(0.0, ge=0, lt=1, description="of the labels (Szegedy et al., 2016, arXiv:1512.00567)")
    balanced: bool = Field(False, description="rare classes weigh as much as frequent ones")

    def build(self, width: int, classes: int) -> Single:
        return Single(width, classes, self)


class MultilabelSpec(Spec):
    kind: Literal["multilabel"] = "multilabel"
    dropout: float = Field(0.2, ge=0, lt=1)
    balanced: bool = Field(False, description="a label's yes weighs as much as its no")

    def build(self, width: int, labels: int) -> Several:
        return Several(width, labels, self)
