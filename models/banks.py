"""Filter banks: how much each band takes of each frequency.

They are written into a bundle as mel.npy, so that serving makes none. All are (bands, n_fft / 2 + 1) float64.
"""

from typing import Any, Literal

import librosa
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
    """librosa.filters.mel: Slaney's scale (Auditory Toolbox, 1998) or HTK's."""
    made: Bank = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high, htk=htk, norm=norm, dtype=np.float64
    )
    return made


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


def kaldi_mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def triangles(edges: Bank, places: Bank) -> Bank:
    """Band b rises from edge b to 1 at edge b + 1 and falls to 0 at edge b + 2."""
    left, middle, right = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    up, down = (places - left) / (middle - left), (right - places) / (right - middle)
    return np.asarray(np.maximum(0.0, np.minimum(up, down)))
