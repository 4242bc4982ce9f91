"""A graph's input for recordings to an audio part: samples, or frames of features of which the graph says the bands."""

import io

import numpy as np

from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given, Role
from models.importers.guess.picture import read
from models.importers.huggingface import audio
from service.ports import Port
from service.types import Shape

BANDS = range(10, 257)


def sound(draft: Draft, place: str, port: Port, role: Role, given: Given) -> dict[str, bytes]:
    """The filter bank, if a preprocessor's file says it. Raises BundleError."""
    if given.preprocessor and "feature_extractor_type" in (said := read(given)):
        made = audio.sound(said, str(given.preprocessor), "", lambda line: None)
        for key, value in made.manifest.items():
            draft.put(f"{place}.{key}", value, Origin.FILE, given.preprocessor.name)
        if made.bank is None:
            return {}
        out = io.BytesIO()
        np.save(out, made.bank, allow_pickle=False)
        return {audio.MEL: out.getvalue()}
    draft.put(f"{place}.kind", "audio", Origin.GRAPH, f"{np.dtype(port.dtype)}, {role}")
    if given.sample_rate:
        draft.put(f"{place}.sample_rate", given.sample_rate, Origin.GIVEN)
    else:
        draft.ask(f"{place}.sample_rate", "hertz, of training; --sample-rate")
    if role == "samples":
        samples(draft, place, port.shape)
    else:
        frames(draft, f"{place}.features", port.shape)
    return {}


def samples(draft: Draft, place: str, shape: Shape) -> None:
    draft.put(f"{place}.features.kind", "waveform", Origin.GRAPH)
    if len(shape) == 2 and shape[1]:
        why = "shorter recordings are filled with silence; min_seconds and fill would repeat them"
        draft.put(f"{place}.features.samples", shape[1], Origin.GUESS, why)
    why = "clip: zero mean, unit variance, as Wav2Vec2"
    draft.put(f"{place}.features.normalize", "none", Origin.GUESS, why)


def frames(draft: Draft, place: str, shape: Shape) -> None:
    """The axis of a static, small length is that of the bands."""
    *front, a, b = shape[1:] if len(shape) > 3 else (None, *shape[1:])
    bands_first = a in BANDS and (b not in BANDS or b is None or b > (a or 0))
    bands, length = (a, b) if bands_first or b not in BANDS else (b, a)
    draft.put(f"{place}.kind", "log_mel", Origin.GUESS, "or mfcc; see service/inputs/README.md")
    draft.ask(f"{place}.n_fft", "samples of a transform")
    draft.ask(f"{place}.hop", "samples of a step")
    draft.ask(
        f"{place}.bank", f"a .npy of ({bands or 'bands'}, n_fft / 2 + 1) beside this file; models/banks.py makes it"
    )
    draft.ask(f"{place}.log", "ln, log10, db or none")
    if length:
        draft.put(f"{place}.frames", length, Origin.GRAPH)
    draft.put(f"{place}.layout", "mel_time" if bands_first else "time_mel", Origin.GRAPH)
    if front and front[-1] == 1:
        draft.put(f"{place}.channel", True, Origin.GRAPH)
