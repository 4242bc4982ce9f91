"""A feature extractor's JSON to the manifest of a recording and its filter bank; what the JSON leaves out, by class."""

from collections.abc import Callable
from typing import Any, NamedTuple

from models import banks
from models.banks import Bank
from models.importers.huggingface.layout import Json, Say
from service.errors import BundleError

MEL = "mel.npy"
IGNORED = {  # what neither changes the numbers of one recording nor needs to be told
    "feature_extractor_type", "processor_class", "auto_map", "padding_side", "return_attention_mask", "nb_max_frames",
    "n_samples", "nb_frequency_bins", "nb_max_samples", "chunk_length_s",
}  # fmt: skip
FLOOR = 1e-10


class Sound(NamedTuple):
    manifest: Json
    bank: Bank | None = None


def whisper(said: Json) -> Sound:
    """Slaney's bank up to 8000 Hz, log10, eight decades under the loudest: none of it stands in the JSON."""
    features = {
        "kind": "log_mel", "n_fft": said["n_fft"], "hop": said["hop_length"], "pad": "reflect", "drop_last": True,
        "log": "log10", "floor": FLOOR, "range": 8.0, "scale": 0.25, "offset": 1.0, "double": True,
    }  # fmt: skip
    bank = banks.mel(said["sampling_rate"], said["n_fft"], said["feature_size"], 0.0, 8000.0)
    return Sound({**window(said, said["chunk_length"]), "features": features}, bank)


def clap(said: Json) -> Sound:
    """Longer sounds keep their head, where transformers crops at random. Fusion: HTK's bank and four equal mels."""
    fill = {"repeatpad": "repeat_pad", "repeat": "repeat", "pad": "silence"}
    fusion = said["truncation"] == "fusion"
    if said["padding"] not in fill or said["truncation"] not in ("fusion", "rand_trunc"):
        raise ValueError(f"padding {said['padding']!r} or truncation {said['truncation']!r}")
    features = {
        "kind": "log_mel", "n_fft": said["fft_window_size"], "hop": said["hop_length"], "pad": "reflect", "log": "db",
        "floor": FLOOR, "layout": "time_mel", "double": True, **({"copies": 4} if fusion else {"channel": True}),
    }  # fmt: skip
    bank = banks.mel(
        said["sampling_rate"], said["fft_window_size"], said["feature_size"],
        said["frequency_min"], said["frequency_max"], htk=fusion, norm=None if fusion else "slaney",
    )  # fmt: skip
    return Sound({**window(said, said["max_length_s"]), "fill": fill[said["padding"]], "features": features}, bank)


def spectrogram_transformer(said: Json) -> Sound:
    """AST: frames of 25 ms each 10 ms at 16 kHz, Kaldi's way; cut or filled to max_length after the logarithm."""
    win, hop, frames = 400, 160, said["max_length"]
    scale, offset = (1 / (2 * said["std"]), -said["mean"] / (2 * said["std"])) if said["do_normalize"] else (1.0, 0.0)
    features = {
        "kind": "log_mel", "n_fft": 512, "win": win, "hop": hop, "frame": "win", "center": False,
        "window": "hann_symmetric", "remove_dc": True, "preemphasis": 0.97, "floor": 1.192092955078125e-07,
        "frames": frames, "scale": scale, "offset": offset, "layout": "time_mel", "double": True,
    }  # fmt: skip
    rate = said["sampling_rate"]
    longest = ((frames - 1) * hop + win) / rate
    made = {"kind": "audio", "sample_rate": rate, "max_seconds": longest, "features": features}
    return Sound(made, banks.kaldi(rate, 512, said["num_mel_bins"]))


def wave(said: Json) -> Sound:
    """Wav2Vec2 and its kin take the samples."""
    features = {"kind": "waveform", "normalize": "clip" if said["do_normalize"] else "none"}
    return Sound({"kind": "audio", "sample_rate": said["sampling_rate"], "features": features})


def window(said: Json, seconds: float) -> Json:
    return {
        "kind": "audio", "sample_rate": said["sampling_rate"], "max_seconds": float(seconds),
        "min_seconds": float(seconds),
    }  # fmt: skip


Make = Callable[[Json], Sound]
EXTRACTORS: dict[str, tuple[Make, Json]] = {  # transformers' class without FeatureExtractor -> its defaults
    "Whisper": (whisper, {
        "feature_size": 80, "sampling_rate": 16000, "hop_length": 160, "chunk_length": 30, "n_fft": 400,
        "padding_value": 0.0, "dither": 0.0, "do_normalize": False,
    }),
    "Clap": (clap, {
        "feature_size": 64, "sampling_rate": 48000, "hop_length": 480, "max_length_s": 10, "fft_window_size": 1024,
        "padding_value": 0.0, "frequency_min": 0, "frequency_max": 14000, "top_db": None, "truncation": "fusion",
        "padding": "repeatpad", "n_fft": 1024,
    }),
    "AST": (spectrogram_transformer, {
        "feature_size": 1, "sampling_rate": 16000, "num_mel_bins": 128, "max_length": 1024, "padding_value": 0.0,
        "do_normalize": True, "mean": -4.2677393, "std": 4.5689974,
    }),
    "Wav2Vec2": (wave, {"feature_size": 1, "sampling_rate": 16000, "padding_value": 0.0, "do_normalize": True}),
}  # fmt: skip
MODELS = {  # config.json's model_type -> extractor, for files from before extractors said their class
    "audio-spectrogram-transformer": "AST", "clap": "Clap", "data2vec-audio": "Wav2Vec2", "hubert": "Wav2Vec2",
    "sew": "Wav2Vec2", "sew-d": "Wav2Vec2", "unispeech": "Wav2Vec2", "unispeech-sat": "Wav2Vec2",
    "wav2vec2": "Wav2Vec2", "wav2vec2-conformer": "Wav2Vec2", "wavlm": "Wav2Vec2", "whisper": "Whisper",
}  # fmt: skip
FIXED: Json = {"padding_value": 0.0, "dither": 0.0, "top_db": None}  # other values would be other numbers


def extractor(given: Json, model_type: str) -> str:
    """The class without what its name ends with."""
    return str(given.get("feature_extractor_type") or MODELS.get(model_type, "")).removesuffix("FeatureExtractor")


def sound(given: Json, file: str, model_type: str, say: Say) -> Sound:
    """Raises BundleError for a class or a value that cannot be expressed; says which keys are not known."""
    name = extractor(given, model_type)
    if name not in EXTRACTORS:
        raise BundleError(
            f"{file}: feature extractor {name or 'of no name'!r} is not among those that Braid knows: "
            f"{', '.join(EXTRACTORS)}; write the manifest by hand (`python -m models import onnx` starts one)"
        )
    make, defaults = EXTRACTORS[name]
    if unknown := sorted(given.keys() - defaults.keys() - IGNORED):
        say(f"{file}: unknown keys, ignored: {', '.join(unknown)}")
    said: dict[str, Any] = {**defaults, **{key: value for key, value in given.items() if value is not None}}
    for key, value in FIXED.items():
        if said.get(key, value) != value:
            raise BundleError(f"{file}: {key}: {said[key]!r}; Braid knows {name} with {value!r} only")
    try:
        return make(said)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BundleError(f"{file}: {name} cannot be: {error}") from error
