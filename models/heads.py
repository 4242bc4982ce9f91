"""Hidden vectors to what is asked: here scores of classes, and scores to probabilities that mean what they say."""

import torch
from torch import Tensor, nn


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


class Calibrated(nn.Module):
    """p = softmax(logits / T), one temperature T for each subset of parts (Guo et al., ICML 2017, arXiv:1706.04599)."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.temperature = nn.Buffer(torch.ones(2**parts))
        self.powers = nn.Buffer(2.0 ** torch.arange(parts))

    def forward(self, logits: Tensor, present: Tensor) -> Tensor:
        return (logits / self.temperature[subset(present, self.powers)][:, None]).softmax(1)


def subset(present: Tensor, powers: Tensor) -> Tensor:
    """(B, M) of 0 and 1 -> (B,) the number of the subset, part i being bit i."""
    return (present @ powers).long()
