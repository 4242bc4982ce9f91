"""Filter banks: how much each band takes of each frequency.

They are written into a bundle as mel.npy, so that serving makes none. All are (bands, n_fft / 2 + 1) float64.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Bank = NDArray[Any]


def mel(
    sample_rate: int,
    n_fft: int,
    bands: int,
    low: float = 0.0,
    high: float | None = None,
    *,
    htk: bool = False,
    norm: Literal["slaney"] | None = "slaney",
) -> Bank:
    """As librosa.filters.mel, to the last digits; Slaney's scale (Auditory Toolbox, 1998) or HTK's."""
    high = sample_rate / 2 if high is None else high
    scale, back = (htk_mel, htk_hertz) if htk else (slaney_mel, slaney_hertz)
    edges = back(np.linspace(scale(low), scale(high), bands + 2))
    bank = triangles(edges, np.arange(n_fft // 2 + 1) * sample_rate / n_fft)
    return bank * (2 / (edges[2:] - edges[:-2]))[:, None] if norm == "slaney" else bank


def kaldi(sample_rate: int, n_fft: int, bands: int, low: float = 20.0, high: float | None = None) -> Bank:
    """Kaldi's (Povey et al., 2011): triangles on the scale 1127 ln(1 + f / 700), straight in mel and not in hertz.

    `high` of 0 or less counts from the Nyquist frequency, as there.
    """
    nyquist = sample_rate / 2
    high = nyquist if high is None else high if high > 0 else nyquist + high
    edges = np.linspace(kaldi_mel(low), kaldi_mel(high), bands + 2)
    return triangles(edges, kaldi_mel(np.arange(n_fft // 2 + 1) * sample_rate / n_fft))


def linear(sample_rate: int, n_fft: int, bands: int, low: float = 0.0, high: float | None = None) -> Bank:
    """Triangles of equal width in hertz."""
    edges = np.linspace(low, sample_rate / 2 if high is None else high, bands + 2)
    return triangles(edges, np.arange(n_fft // 2 + 1) * sample_rate / n_fft)


def slaney_mel(hertz: Any) -> Any:
    """15 bands to 1000 Hz, then 27 to each factor of 6.4."""
    hertz = np.asarray(hertz, np.float64)
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + np.log(np.maximum(hertz, 1000) / 1000) * 27 / np.log(6.4))


def slaney_hertz(mel: Any) -> Any:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15)))


def htk_mel(hertz: Any) -> Any:
    return 2595.0 * np.log10(1 + np.asarray(hertz) / 700.0)


def htk_hertz(mel: Any) -> Any:
    return 700.0 * (10 ** (mel / 2595.0) - 1)


def kaldi_mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def triangles(edges: Bank, places: Bank) -> Bank:
    """Band b rises from edge b to 1 at edge b + 1 and falls to 0 at edge b + 2."""
    left, middle, right = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    up, down = (places - left) / (middle - left), (right - places) / (right - middle)
    return np.asarray(np.maximum(0.0, np.minimum(up, down)))
