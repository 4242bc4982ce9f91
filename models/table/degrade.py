"""A batch of one part to a worse one: noise and less contrast, other words; for training, and for robustness curves."""

import torch
from torch import Generator, Tensor

WORDS = 0.6  # share of a text's tokens that the strongest degradation replaces
NOISE = 1.5  # of the strongest, in standard deviations of what it is added to


def degrade(kind: str, tensors: list[Tensor], level: Tensor, generator: Generator) -> list[Tensor]:
    """`level` (B,) from 0, nothing, to 1. Masks stay as they are. Tensors lie on the CPU."""
    first, *rest = tensors
    return [words(first, level, generator) if kind == "text" else noisy(first, level, generator), *rest]


def words(ids: Tensor, level: Tensor, generator: Generator) -> Tensor:
    """Tokens (B, T) replaced by others of the same batch, at any place but padding's."""
    chosen = torch.rand(ids.shape, generator=generator) < WORDS * level[:, None]
    others = ids.flatten()[torch.randint(ids.numel(), ids.shape, generator=generator)]
    return torch.where(chosen & (ids != 0) & (others != 0), others, ids)


def noisy(x: Tensor, level: Tensor, generator: Generator) -> Tensor:
    """x (B, ...) float: m + (1 - a / 2) (x - m) + a NOISE s n; m and s the mean and deviation of each, n normal."""
    axes = tuple(range(1, x.dim()))
    a = level.view(-1, *[1] * len(axes))
    m, s = x.mean(axes, keepdim=True), x.std(axes, keepdim=True, correction=0)
    noise = torch.randn(x.shape, generator=generator)
    return torch.where(a > 0, m + (1 - a / 2) * (x - m) + a * NOISE * s * noise, x)
