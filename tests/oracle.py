"""librosa, which defines what sound becomes; what its dependencies deprecate on import is not ours."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioread.rawread  # noqa: F401  # librosa.load imports it late
    import librosa

__all__ = ["librosa"]
