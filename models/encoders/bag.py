"""Token ids to one vector: how often each known n-gram occurs, weighted by how rare it is, then one linear layer.

Bag of words (Harris, Distributional Structure, 1954) and TF-IDF (Sparck Jones, 1972), as scikit-learn's
CountVectorizer and TfidfVectorizer compute them. What a word is, the tokenizer says: one that gives a token a word
makes word n-grams, one that gives a token a character makes character n-grams. The vocabulary of n-grams is in the
graph, so that serving needs ids only.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from service.types import Array, Spec

NEVER = torch.iinfo(torch.int64).max  # the code of no n-gram
Count = Annotated[int, Field(gt=0)]


class Bag(nn.Module):
    """An n-gram's code is the number sum (id_k + 1) base^k; its place in the vocabulary is found by bisection.

    `fit` is to be called with the training texts before training; without it no n-gram is known.
    """

    def __init__(self, vocabulary: int, width: int, spec: "BagSpec | TfidfSpec") -> None:
        """Raises ValueError where 64 bits do not hold the codes."""
        super().__init__()
        self.spec, self.base = spec, vocabulary + 1
        if self.base ** (spec.largest + 1) >= NEVER:
            raise ValueError(f"{spec.largest}-grams over a vocabulary of {vocabulary} are too many for 64 bits")
        self.levels = (spec.features - 1).bit_length()
        self.table = nn.Buffer(torch.full((2**self.levels,), NEVER))  # codes in ascending order
        self.idf = nn.Buffer(torch.ones(spec.features))
        self.project = nn.Linear(spec.features, width)

    def fit(self, rows: Sequence[Array]) -> None:
        """ids (T,) of each training text, no padding. Keeps the most frequent; idf = ln((1 + n) / (1 + df)) + 1."""
        total: Counter[int] = Counter()
        holding: Counter[int] = Counter()
        for ids in rows:
            found = Counter(self.grams(np.asarray(ids)))
            total.update(found)
            holding.update(found.keys())
        known = sorted(sorted(total, key=lambda code: (-total[code], code))[: self.spec.features])
        self.table.fill_(NEVER)
        self.table[: len(known)] = torch.tensor(known, dtype=torch.int64)
        if isinstance(self.spec, TfidfSpec):
            df = np.array([holding[code] for code in known], np.float64)
            self.idf[: len(known)] = torch.from_numpy(np.log((1 + len(rows)) / (1 + df)) + 1).float()

    def grams(self, ids: Array) -> list[int]:
        """The codes of one text."""
        codes: list[int] = []
        for n in range(self.spec.smallest, self.spec.largest + 1):
            windows = [(ids[k : len(ids) - n + 1 + k].astype(np.int64) + 1) * self.base**k for k in range(n)]
            codes += np.sum(windows, 0).tolist() if len(ids) >= n else []
        return codes

    def codes(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, T) -> (B, sizes * T): of the n-grams that begin at each place, -1 where one does not end in the text."""
        more = self.spec.largest - 1
        ids, mask = longer(ids + 1, more), longer(mask, more)
        ends = [mask[:, k : mask.shape[1] - more + k] for k in range(more + 1)]
        code, codes = torch.zeros_like(ids[:, : ids.shape[1] - more]), []
        for n in range(1, self.spec.largest + 1):
            code = code + ids[:, n - 1 : ids.shape[1] - more + n - 1] * self.base ** (n - 1)
            if n >= self.spec.smallest:
                codes.append(torch.where(ends[n - 1] > 0, code, -1))
        return torch.cat(codes, 1)

    def features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, features): counts, or TF-IDF of length 1."""
        codes = self.codes(ids, mask)
        place = torch.zeros_like(codes)
        for level in reversed(range(self.levels)):
            probe = place + 2**level
            place = torch.where(self.table[probe] <= codes, probe, place)
        known = (self.table[place] == codes).float()
        counts = known.new_zeros(ids.shape[0], self.spec.features).scatter_add(1, place, known)
        if isinstance(self.spec, BagSpec):
            return (counts > 0).float() if self.spec.binary else counts
        if self.spec.sublinear:
            counts = torch.where(counts > 0, counts.clamp(min=1).log() + 1, 0.0)
        weighted = counts * self.idf
        return weighted / weighted.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, width)."""
        h: Tensor = self.project(self.features(ids, mask))
        return h


def longer(x: Tensor, more: int) -> Tensor:
    """(B, T) -> (B, T + more), zeros at the end. Not functional.pad, of which the exporter warns."""
    return torch.cat((x, x.new_zeros(x.shape[0], more)), 1)


class BagSpec(Spec):
    kind: Literal["bag_of_words"] = "bag_of_words"
    smallest: Count = Field(1, description="n of the shortest n-grams")
    largest: Count = Field(1, description="n of the longest")
    features: int = Field(2048, gt=1, description="how many n-grams are known, the most frequent ones")
    binary: bool = Field(False, description="whether an n-gram occurs, not how often")

    def build(self, vocabulary: int, width: int) -> Bag:
        return Bag(vocabulary, width, self)


class TfidfSpec(Spec):
    kind: Literal["tfidf"] = "tfidf"
    smallest: Count = Field(1, description="n of the shortest n-grams")
    largest: Count = Field(2, description="n of the longest")
    features: int = Field(4096, gt=1, description="how many n-grams are known, the most frequent ones")
    sublinear: bool = Field(False, description="1 + ln(count) in the place of the count")

    def build(self, vocabulary: int, width: int) -> Bag:
        return Bag(vocabulary, width, self)
