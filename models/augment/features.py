"""A batch of log-mel features to that of other voices: warped in frequency, stretched in time, with pieces blanked."""

import torch
from torch import Generator, Tensor
from torch.nn import functional


def vary(features: Tensor, mask: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """features (B, mels, F), mask (B, F). Vocal tract length perturbation (Jaitly and Hinton, 2013), SpecAugment (Park
    et al., arXiv:1904.08779)."""
    features, mask = stretch(features, mask, generator)
    features = warp(features, generator)
    features = blank(features, 1, 12, generator)
    return blank(features, 2, max(1, features.shape[2] // 5), generator), mask


def stretch(features: Tensor, mask: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """The whole batch 0.8 to 1.25 times as long."""
    frames = max(4, round(features.shape[2] * 2 ** uniform(-0.32, 0.32, 1, generator).item()))
    features = functional.interpolate(features, frames, mode="linear", align_corners=False)
    return features, functional.interpolate(mask[:, None], frames, mode="nearest")[:, 0]


def warp(features: Tensor, generator: Generator) -> Tensor:
    """Each sample's frequencies by a factor of its own, and shifted a little."""
    batch, mels, _ = features.shape
    factor, shift = uniform(0.88, 1.14, batch, generator), uniform(-2.5, 2.5, batch, generator)
    at = (torch.arange(mels) * factor[:, None] + shift[:, None]).clamp(0, mels - 1)  # (B, mels)
    low = at.floor().long().clamp(max=mels - 2)
    part = (at - low)[..., None]
    index = low[..., None].expand_as(features)
    return features.gather(1, index) * (1 - part) + features.gather(1, index + 1) * part


def blank(features: Tensor, axis: int, most: int, generator: Generator) -> Tensor:
    """One band of up to `most` places along `axis` set to the mean of the clip, which is 0."""
    batch, size = len(features), features.shape[axis]
    width = uniform(0, most, batch, generator)
    start = uniform(0, 1, batch, generator) * (size - width)
    places = torch.arange(size)
    kept = (places < start[:, None]) | (places >= (start + width)[:, None])  # (B, size)
    return features * (kept[:, :, None] if axis == 1 else kept[:, None, :])


def uniform(low: float, high: float, count: int, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
