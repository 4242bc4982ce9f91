"""Sounds become what transformers' extractors, librosa and Kaldi make of them, through manifests of their numbers."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kaldi_native_fbank
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from pydantic import ValidationError

from models import banks
from service.errors import BundleError
from service.inputs.audio import Audio
from service.inputs.features import LogMel, Mfcc
from service.types import Row
from tests.oracle import librosa

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
Sound = NDArray[Any]
WHISPER = {
    "sample_rate": 16000, "max_seconds": 30, "min_seconds": 30,
    "features": {
        "kind": "log_mel", "n_fft": 400, "hop": 160, "pad": "reflect", "log": "log10", "floor": 1e-10,
        "drop_last": True, "range": 8, "scale": 0.25, "offset": 1,
    },
}  # fmt: skip
CLAP = {
    "sample_rate": 48000, "max_seconds": 10, "min_seconds": 10, "fill": "repeat_pad",
    "features": {
        "kind": "log_mel", "n_fft": 1024, "hop": 480, "pad": "reflect", "log": "db", "layout": "time_mel",
        "double": True, "channel": True,
    },
}  # fmt: skip
MEAN, STD, FRAMES = -4.2677393, 4.5689974, 1024
AST = {
    "sample_rate": 16000, "max_seconds": ((FRAMES - 1) * 160 + 400) / 16000,
    "features": {
        "kind": "log_mel", "n_fft": 512, "win": 400, "hop": 160, "frame": "win", "center": False,
        "window": "hann_symmetric", "remove_dc": True, "preemphasis": 0.97, "floor": 1.192092955078125e-07,
        "frames": FRAMES, "scale": 1 / (2 * STD), "offset": -MEAN / (2 * STD), "layout": "time_mel", "double": True,
    },
}  # fmt: skip
WAV2VEC = {"sample_rate": 16000, "features": {"kind": "waveform", "normalize": "clip"}}
SOUNDS = [(8000, 1, 0.9), (44100, 2, 3.0), (22050, 1, 10.7), (48000, 2, 12.0), (16000, 1, 31.0)]


def sound(rate: int, channels: int, seconds: float) -> Sound:
    """Tones, noise, and digital silence in the middle: the quiet is where logarithms differ."""
    random, time = np.random.default_rng(rate), np.arange(int(rate * seconds)) / rate
    mono = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 1700 * time**1.5)
    several = mono[:, None] + random.normal(0, 0.02, (len(time), channels))
    several[len(time) // 3 : len(time) // 2] = 0
    return np.asarray(several, np.float32)


@pytest.fixture(scope="module", params=SOUNDS, ids=lambda sound: "-".join(map(str, sound)))
def data(request: pytest.FixtureRequest) -> bytes:
    rate, channels, seconds = request.param
    out = io.BytesIO()
    soundfile.write(out, sound(rate, channels, seconds), rate, "PCM_16", format="FLAC" if rate == 22050 else "WAV")
    return out.getvalue()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' deprecations are not ours
        yield


def load(data: bytes, rate: int, seconds: float | None = None) -> Sound:
    """The head, as librosa.load gives it."""
    samples, _ = librosa.load(io.BytesIO(data), sr=rate)
    return np.asarray(samples if seconds is None else samples[: int(seconds * rate)])


def ours(tmp_path: Path, manifest: dict[str, Any], bank: Sound | None, data: bytes, **changed: Any) -> Row:
    if bank is not None:
        np.save(tmp_path / "mel.npy", bank)
    features = {**manifest["features"], **changed}
    tensors = {"features": "x", "mask": "mask", "longer": "longer"}
    return Audio.model_validate({**manifest, "features": features, "tensors": tensors}).load(tmp_path)(data)


def apart(ours: Sound, theirs: Sound) -> float:
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    return float(np.abs(ours.astype(np.float64) - theirs).max())


def whisper(data: bytes) -> Sound:
    """Its numpy features; __call__ takes torch's where torch is installed."""
    made = transformers.WhisperFeatureExtractor(feature_size=80)
    samples = load(data, 16000, 30)
    padded = np.pad(samples, (0, 480_000 - len(samples)))
    return np.asarray(made._np_extract_fbank_features([padded], "cpu")[0])


def whisper_ours(tmp_path: Path, data: bytes, **changed: Any) -> Sound:
    bank = banks.mel(16000, 400, 80, 0, 8000)
    return ours(tmp_path, WHISPER, bank, data, **changed)["x"]


def test_whisper(tmp_path: Path, data: bytes) -> None:
    assert apart(whisper_ours(tmp_path, data), whisper(data)) <= 1e-4
    assert apart(whisper_ours(tmp_path, data, double=True), whisper(data)) <= 2e-6


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_clap(tmp_path: Path, data: bytes, truncation: str, padding: str) -> None:
    made = transformers.ClapFeatureExtractor(truncation=truncation, padding=padding)
    theirs = made(load(data, 48000, 10), sampling_rate=48000)
    fusion = truncation == "fusion"
    fill = {"repeatpad": "repeat_pad", "repeat": "repeat", "pad": "silence"}[padding]
    bank = banks.mel(48000, 1024, 64, 0, 14000, htk=fusion, norm=None if fusion else "slaney")
    row = ours(tmp_path, {**CLAP, "fill": fill}, bank, data, copies=4 if fusion else None, channel=not fusion)
    assert apart(row["x"], np.asarray(theirs["input_features"][0])) <= 3e-3
    assert row["longer"].tolist() == theirs["is_longer"][0]


def ast(data: bytes) -> Sound:
    made = transformers.ASTFeatureExtractor(max_length=FRAMES)
    return np.asarray(made(load(data, 16000), sampling_rate=16000, return_tensors="np")["input_values"][0])


def ast_ours(tmp_path: Path, data: bytes, **changed: Any) -> Row:
    return ours(tmp_path, AST, banks.kaldi(16000, 512, 128), data, **changed)


def test_ast(tmp_path: Path, data: bytes) -> None:
    row, theirs = ast_ours(tmp_path, data), ast(data)
    assert apart(row["x"], theirs) <= 2e-5
    assert apart(ast_ours(tmp_path, data, double=False)["x"], theirs) <= 2e-4
    heard = 1 + (len(load(data, 16000)) - 400) // 160
    assert row["mask"].sum() == min(heard, FRAMES)
    assert (row["mask"][: min(heard, FRAMES)] == 1).all()


@pytest.mark.parametrize("normalize", [True, False])
def test_wav2vec2_is_exact(tmp_path: Path, data: bytes, normalize: bool) -> None:
    made = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=True)
    theirs = made(load(data, 16000), sampling_rate=16000, return_tensors="np", padding=True)
    row = ours(tmp_path, WAV2VEC, None, data, normalize="clip" if normalize else "none")
    np.testing.assert_array_equal(row["x"], theirs["input_values"][0])
    np.testing.assert_array_equal(row["mask"], theirs["attention_mask"][0])


def test_wav2vec2_of_a_static_length_is_exact(tmp_path: Path, data: bytes) -> None:
    made = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    theirs = made(load(data, 16000), sampling_rate=16000, return_tensors="np", padding="max_length", max_length=500_000)
    row = ours(tmp_path, WAV2VEC, None, data, samples=500_000)
    np.testing.assert_array_equal(row["x"], theirs["input_values"][0])
    np.testing.assert_array_equal(row["mask"], theirs["attention_mask"][0])


# -- a wrong step is seen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"window": "hann_symmetric"}, {"window": "hamming"}, {"pad": "constant"}, {"hop": 161}, {"power": 1},
        {"log": "ln"}, {"range": 80}, {"range": None}, {"offset": 0}, {"drop_last": False}, {"center": False},
        {"floor": 1e-5},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_step_of_whisper_is_seen(tmp_path: Path, data: bytes, changed: dict[str, Any]) -> None:
    wrong, right = whisper_ours(tmp_path, data, **changed), whisper(data)
    assert wrong.shape != right.shape or apart(wrong, right) > 1e-3


@pytest.mark.parametrize(
    "changed",
    [
        {"window": "hann"}, {"window": "povey"}, {"frame": "n_fft"}, {"center": True}, {"remove_dc": False},
        {"preemphasis": 0}, {"win": 401}, {"n_fft": 512, "power": 1}, {"offset": 0}, {"floor": 1e-10},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_step_of_ast_is_seen(tmp_path: Path, data: bytes, changed: dict[str, Any]) -> None:
    assert apart(ast_ours(tmp_path, data, **changed)["x"], ast(data)) > 1e-3


@pytest.mark.parametrize(
    "wrong",
    [{"norm": None}, {"htk": True}, {"high": 24000}, {"low": 50}, {"bands": 65}],
    ids=str,
)
def test_a_wrong_bank_of_clap_is_seen(tmp_path: Path, data: bytes, wrong: dict[str, Any]) -> None:
    made = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    theirs = np.asarray(made(load(data, 48000, 10), sampling_rate=48000)["input_features"][0])
    right: dict[str, Any] = {"bands": 64, "low": 0, "high": 14000, "norm": "slaney"}
    found = ours(tmp_path, CLAP, banks.mel(48000, 1024, **{**right, **wrong}), data)["x"]
    assert found.shape != theirs.shape or apart(found, theirs) > 0.5


@pytest.mark.parametrize(
    "wrong", [{"fill": "silence"}, {"fill": "repeat"}, {"max_seconds": 9, "min_seconds": 9}], ids=str
)
def test_a_wrong_length_of_clap_is_seen(tmp_path: Path, wrong: dict[str, Any]) -> None:
    samples = sound(48000, 1, 3.3)[:, 0]
    out = io.BytesIO()
    soundfile.write(out, samples, 48000, "FLOAT", format="WAV")
    made = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    theirs = np.asarray(made(samples, sampling_rate=48000)["input_features"][0])
    bank = banks.mel(48000, 1024, 64, 0, 14000)
    assert apart(ours(tmp_path, CLAP, bank, out.getvalue())["x"], theirs) <= 3e-3
    found = ours(tmp_path, {**CLAP, **wrong}, bank, out.getvalue())["x"]
    assert found.shape != theirs.shape or apart(found, theirs) > 0.5


@pytest.mark.parametrize("wrong", [{"normalize": "none"}, {"samples": 9000}], ids=str)
def test_a_wrong_step_of_wav2vec2_is_seen(tmp_path: Path, data: bytes, wrong: dict[str, Any]) -> None:
    theirs = transformers.Wav2Vec2FeatureExtractor()(load(data, 16000), sampling_rate=16000)["input_values"][0]
    found = ours(tmp_path, WAV2VEC, None, data, **wrong)["x"]
    assert found.shape != theirs.shape or apart(found, theirs) > 1e-3


@pytest.mark.parametrize("wrong", [{"sample_rate": 16001}, {"level": "peak"}], ids=str)
def test_a_wrong_reading_of_a_sound_is_seen(tmp_path: Path, data: bytes, wrong: dict[str, Any]) -> None:
    theirs = transformers.Wav2Vec2FeatureExtractor(do_normalize=False)(load(data, 16000), sampling_rate=16000)
    found = ours(tmp_path, {**WAV2VEC, **wrong}, None, data, normalize="none")["x"]
    wave = theirs["input_values"][0]
    assert found.shape != wave.shape or apart(found, wave) > 1e-3


# -- librosa and Kaldi -------------------------------------------------------------------------------------------------

CLIP = sound(16000, 1, 1.3)[:, 0]


def same(ours: Sound, theirs: Sound, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.mark.parametrize(("count", "lifter"), [(20, 0), (13, 22)])
@pytest.mark.parametrize("double", [True, False])
def test_mfcc_is_librosas(tmp_path: Path, count: int, lifter: float, double: bool) -> None:
    np.save(tmp_path / "mel.npy", banks.mel(16000, 512, 40))
    spec = Mfcc(n_fft=512, hop=160, count=count, lifter=lifter, double=double)
    theirs = librosa.feature.mfcc(
        y=CLIP, sr=16000, n_mfcc=count, lifter=lifter, n_fft=512, hop_length=160, n_mels=40, pad_mode="constant"
    )
    same(spec.load(tmp_path)(CLIP), theirs)


def kaldi(kind: str, window: str, *, energy: bool, bands: int = 23, count: int = 13) -> Sound:
    options = getattr(kaldi_native_fbank, f"{kind}Options")()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = window
    options.mel_opts.num_bins = bands
    options.use_energy = energy
    options.energy_floor = 0.0
    if kind == "Mfcc":
        options.num_ceps = count
    online = getattr(kaldi_native_fbank, f"Online{kind}")(options)
    online.accept_waveform(16000, (CLIP * 32768).tolist())
    online.input_finished()
    return np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])


KALDI = {
    "n_fft": 512, "win": 400, "hop": 160, "frame": "win", "center": False, "gain": 32768, "remove_dc": True,
    "preemphasis": 0.97, "log": "ln", "floor": 1.1920928955078125e-07, "layout": "time_mel",
}  # fmt: skip


@pytest.mark.parametrize("energy", [True, False])
@pytest.mark.parametrize(
    ("theirs", "window"), [("povey", "povey"), ("hanning", "hann_symmetric"), ("hamming", "hamming_symmetric")]
)
def test_fbank_and_mfcc_are_kaldis(tmp_path: Path, theirs: str, window: str, energy: bool) -> None:
    np.save(tmp_path / "mel.npy", banks.kaldi(16000, 512, 23))
    options: dict[str, Any] = {**KALDI, "window": window, "energy": energy}
    same(LogMel.model_validate(options).load(tmp_path)(CLIP), kaldi("Fbank", theirs, energy=energy), 1e-4)
    spec = Mfcc.model_validate({**options, "range": None, "count": 13, "lifter": 22, "liftering": "kaldi"})
    same(spec.load(tmp_path)(CLIP), kaldi("Mfcc", theirs, energy=energy), 1e-4)


def test_dnsmos_is_librosas(tmp_path: Path) -> None:
    """Its P.808 model (Reddy et al., 2021): 9.01 s of repeats, decibels under the loudest, an odd length of the FFT."""
    np.save(tmp_path / "mel.npy", banks.mel(16000, 321, 120))
    manifest = {
        "sample_rate": 16000, "max_seconds": 9, "min_seconds": 9, "fill": "repeat", "tensors": {"features": "x"},
        "features": {
            "kind": "log_mel", "n_fft": 321, "hop": 160, "log": "db", "reference": "max", "range": 80,
            "scale": 1 / 40, "offset": 1, "layout": "time_mel",
        },
    }  # fmt: skip
    out = io.BytesIO()
    soundfile.write(out, CLIP, 16000, "FLOAT", format="WAV")
    samples = np.resize(CLIP, 9 * 16000)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16000, n_fft=321, hop_length=160, n_mels=120, pad_mode="constant"
    )
    theirs = (librosa.power_to_db(power, ref=np.max) + 40) / 40
    found = Audio.model_validate(manifest).load(tmp_path)(out.getvalue())["x"]
    np.testing.assert_allclose(found, theirs.T, atol=1e-4)


@pytest.mark.parametrize("rate", [16000, 16001, 44100])
@pytest.mark.parametrize("count", [1, 1005 * 16, 164_080, 123_457])
def test_seconds_that_stand_for_samples_do(rate: int, count: int) -> None:
    spec = Audio.model_validate({"sample_rate": rate, "features": {"kind": "waveform"}, "tensors": {"features": "x"}})
    assert spec.count(count / rate) == count


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "key"),
    [
        ({"min_seconds": 3, "max_seconds": 2}, "min_seconds: 3.0 is more than max_seconds, 2.0"),
        ({"fill": "repeat"}, "fill: repeat needs min_seconds"),
        ({"features": {"kind": "log_mel", "n_fft": 400, "hop": 160, "win": 401}}, "win: 401 is more than n_fft, 400"),
        ({"features": {"kind": "log_mel", "n_fft": 400, "hop": 160, "energy": True, "log": "db"}}, "energy: needs log"),
        ({"features": {"kind": "log_mel", "n_fft": 400, "hop": 160, "channel": True, "copies": 4}}, "channel: copies"),
        ({"features": {"kind": "log_mel", "n_fft": 400, "hop": 160, "window": "kaiser"}}, "window"),
        ({"features": {"kind": "waveform", "n_fft": 400}}, "unknown key 'n_fft'; known keys: kind, normalize"),
        ({"features": {"kind": "chroma"}}, "kind"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_by_the_name_of_its_key(manifest: dict[str, Any], key: str) -> None:
    fixed = {"sample_rate": 16000, "features": {"kind": "waveform"}, "tensors": {"features": "x"}}
    with pytest.raises(ValidationError) as refusal:
        Audio.model_validate({**fixed, **manifest})
    assert key in str(refusal.value)


def test_more_cepstra_than_bands_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mel.npy", banks.mel(16000, 512, 12))
    with pytest.raises(BundleError, match="count: 13 cepstra of 12 bands"):
        Mfcc(n_fft=512, hop=160, count=13).load(tmp_path)
