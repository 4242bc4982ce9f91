"""Token ids to one vector: the mean of word vectors, trained here by skip-gram or read from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from service.types import FLOAT, Array, Spec


class Word2VecSpec(Spec):
    kind: Literal["word2vec"] = "word2vec"
    dimensions: int = Field(100, gt=0, description="of a word's vector; those of the file, if there is one")
    file: str | None = Field(None, description=".vec or .txt with a word and its numbers on each line")
    frozen: bool = Field(True, description="the vectors stay as they are while the network is trained")
    window: int = Field(5, gt=0, description="how far a word's context reaches, at most")
    negatives: int = Field(5, gt=0, description="words drawn against each word of a context")
    epochs: int = Field(10, gt=0)
    batch: int = Field(256, gt=0, description="pairs of a step")
    rate: float = Field(0.01, gt=0, description="learning rate of Adam")
    sample: float = Field(1.0, gt=0, description="words more frequent than this share are thinned out, such as 1e-3")
    seed: int = 0

    def build(self, vocabulary: int, width: int) -> "Vectors":
        return Vectors(vocabulary, width, self)


class Vectors(nn.Module):
    """Before training, `fit` with the training texts, or `load` the file. Words without a vector are zeros and do not
    count in the mean."""

    def __init__(self, vocabulary: int, width: int, spec: Word2VecSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Embedding(vocabulary, spec.dimensions)
        self.known = nn.Buffer(torch.ones(vocabulary))
        self.scale = nn.Buffer(torch.ones(()))  # of what the linear layer sees, whatever the vectors' own is
        self.embed.weight.requires_grad_(not spec.frozen)
        self.project = nn.Linear(spec.dimensions, width)

    def fit(self, rows: Sequence[Array]) -> None:
        """ids (T,) of each training text, no padding."""
        self._set(*skip_gram(rows, self.embed.num_embeddings, self.spec))

    def load(self, path: Path, words: Mapping[str, int]) -> int:
        """Word -> id, such as a tokenizer's vocabulary. Returns how many have a vector. Raises ValueError."""
        vectors, known = read(path, words, self.embed.num_embeddings, self.spec.dimensions)
        self._set(vectors, known)
        return int(known.sum())

    def _set(self, vectors: Array, known: Array) -> None:
        with torch.no_grad():
            self.embed.weight.copy_(torch.from_numpy(vectors))
        self.known.copy_(torch.from_numpy(known))
        self.scale.fill_(1 / max(float(np.square(vectors[known > 0]).mean()) ** 0.5, 1e-6) if known.any() else 1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, width)."""
        there = (mask * self.known[ids])[..., None]  # (B, T, 1)
        mean = (self.embed(ids) * there).sum(1) / there.sum(1).clamp(min=1)  # (B, dimensions)
        h: Tensor = self.project(mean * self.scale)
        return h


def skip_gram(rows: Sequence[Array], vocabulary: int, spec: Word2VecSpec) -> tuple[Array, Array]:
    """-ln s(u_c v_w) - sum ln s(-u_n v_w) over pairs of word w and context c, n ~ frequency^0.75: skip-gram with
    negative sampling (Mikolov et al., 2013, arXiv:1310.4546). Returns v (vocabulary, dimensions) and (vocabulary,), 1
    where a word occurs. Raises ValueError where no text has two words."""
    rng, torch_rng = np.random.default_rng(spec.seed), torch.Generator().manual_seed(spec.seed)
    counts = np.bincount(np.concatenate([np.asarray(row, np.int64) for row in rows]), minlength=vocabulary)
    known = (counts > 0).astype(FLOAT)
    noise = torch.from_numpy(counts**0.75)
    bound = 0.5 / spec.dimensions
    v = torch.empty(vocabulary, spec.dimensions).uniform_(-bound, bound, generator=torch_rng)
    v = (v * torch.from_numpy(known)[:, None]).requires_grad_()
    u = torch.zeros(vocabulary, spec.dimensions, requires_grad=True)
    optimizer = torch.optim.Adam([v, u], spec.rate)
    for _ in range(spec.epochs):
        chosen = torch.from_numpy(pairs(rows, counts, spec, rng))
        for w, c in (each.unbind(1) for each in torch.split(chosen, spec.batch)):
            n = torch.multinomial(noise, len(w) * spec.negatives, True, generator=torch_rng).view(len(w), -1)
            near = functional.logsigmoid((u[c] * v[w]).sum(1))
            far = functional.logsigmoid(-(u[n] @ v[w][..., None])[..., 0]).sum(1)
            optimizer.zero_grad()
            (-(near + far).mean()).backward()  # type: ignore[no-untyped-call]  # torch
            optimizer.step()
    return v.detach().numpy(), known


def pairs(rows: Sequence[Array], counts: Array, spec: Word2VecSpec, rng: Generator) -> Array:
    """(N, 2) word and context in random order: frequent words thinned, a window of 1 to `window` for each place."""
    share = np.maximum(counts / counts.sum(), 1e-12)
    keep = np.minimum(1, np.sqrt(spec.sample / share) + spec.sample / share)
    found = []
    for row in rows:
        ids = np.asarray(row, np.int64)
        ids = ids[rng.random(len(ids)) < keep[ids]] if len(row) > 2 else ids  # the shortest texts have none to spare
        reach = rng.integers(1, spec.window + 1, len(ids))
        for distance in range(1, min(spec.window, len(ids) - 1) + 1):
            before, after = ids[:-distance], ids[distance:]
            found.append(np.stack((after, before), 1)[reach[distance:] >= distance])
            found.append(np.stack((before, after), 1)[reach[:-distance] >= distance])
    if not found:
        raise ValueError("word vectors need texts of two words or more")
    return rng.permutation(np.concatenate(found))


def read(path: Path, words: Mapping[str, int], vocabulary: int, dimensions: int) -> tuple[Array, Array]:
    """word2vec's and fastText's .vec (a first line with both sizes), GloVe's .txt (none): vectors (vocabulary,
    dimensions) and (vocabulary,), 1 where there is one. Raises ValueError, which names the line."""
    vectors, known = np.zeros((vocabulary, dimensions), FLOAT), np.zeros(vocabulary, FLOAT)
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            word, *numbers = line.rstrip().split(" ")
            if number == 1 and len(numbers) == 1:
                continue
            if len(numbers) != dimensions:
                raise ValueError(f"{path}, line {number}: {len(numbers)} numbers, the recipe says {dimensions}")
            if (at := words.get(word)) is not None:
                vectors[at], known[at] = np.array(numbers, FLOAT), 1
    return vectors, known
