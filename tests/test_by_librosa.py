"""Features that only librosa computes: what it returns, laid out as the manifest says; else refused at load."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from service.errors import BundleError, InvalidInput
from service.inputs.audio import Audio
from service.inputs.by_librosa import RATELESS, Librosa
from tests import senses, wild
from tests.oracle import librosa
from tests.process import ROOT, serve

pytestmark = pytest.mark.filterwarnings("ignore:n_fft=")  # librosa's, of the references
RATE = 8000
NOWHERE = Path()


def sound(seconds: float = 1.0) -> NDArray[np.float32]:
    time = np.arange(int(RATE * seconds)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) + np.random.default_rng(1).normal(0, 0.01, len(time))
    return np.asarray(tone, np.float32)


def features(samples: NDArray[np.float32], **given: Any) -> NDArray[np.float32]:
    spec = Librosa.model_validate(given)
    array: NDArray[np.float32] = spec.load(NOWHERE, RATE)(samples)
    assert array.dtype == np.float32
    return array


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("chroma_stft", {"n_fft": 1024, "hop_length": 256, "tuning": 0.0}),
        ("chroma_cqt", {"fmin": 55.0, "n_octaves": 5}),
        ("spectral_contrast", {"fmin": 100.0, "n_bands": 5}),
        ("poly_features", {"order": 2}),
        ("rms", {"frame_length": 512, "hop_length": 128}),
        ("rms", {"frame_length": 512, "hop_length": 128, "center": False}),
        ("zero_crossing_rate", {}),
        ("spectral_flatness", {}),
        ("mfcc", {"n_mfcc": 13}),
    ],
)
def test_they_are_what_librosa_returns(function: str, options: dict[str, Any]) -> None:
    rate = {} if function in RATELESS else {"sr": RATE}
    expected = getattr(librosa.feature, function)(y=sound(), **rate, **options)
    found = features(sound(), function=function, options=options)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    spec = Librosa.model_validate({"function": function, "options": options})
    assert spec.heard(RATE) == found.shape[1]


def test_what_is_complex_becomes_its_magnitude_and_decibels_on_request() -> None:
    options: dict[str, Any] = {"fmin": 55.0, "n_bins": 48}
    magnitude = np.abs(librosa.cqt(sound(), sr=RATE, **options))
    np.testing.assert_allclose(features(sound(), function="cqt", options=options), magnitude, rtol=1e-4, atol=1e-6)
    decibels = features(sound(), function="cqt", options=options, log="amplitude")
    np.testing.assert_allclose(decibels, librosa.amplitude_to_db(magnitude), rtol=1e-4, atol=1e-3)


def test_they_are_laid_out_as_other_features() -> None:
    plain = features(sound(), function="chroma_stft", options={"tuning": 0.0})
    turned = features(sound(), function="chroma_stft", options={"tuning": 0.0}, layout="time_mel", channel=True)
    np.testing.assert_array_equal(turned, plain.T[None])
    filled = features(sound(), function="chroma_stft", options={"tuning": 0.0}, frames=40, scale=2, offset=1)
    assert filled.shape == (12, 40)
    np.testing.assert_allclose(filled[:, : plain.shape[1]], 2 * plain + 1, rtol=1e-6)
    assert (filled[:, plain.shape[1] :] == 1).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"function": "chroma_stft", "options": {"n_ftt": 1024}}, "librosa's chroma_stft with these options: .*n_ftt"),
        ({"function": "cqt", "options": {"n_bins": 200}}, "librosa's cqt with these options"),
        ({"function": "melspectrogram", "options": {"n_mels": -3}}, "librosa's melspectrogram with these options"),
    ],
)
def test_options_that_librosa_does_not_take_are_refused_at_load(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        Librosa.model_validate(given).load(NOWHERE, RATE)


@pytest.mark.parametrize("name", ["y", "sr", "S"])
def test_samples_and_rate_are_no_options(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: Braid gives the samples and their rate itself"):
        Librosa.model_validate({"function": "rms", "options": {name: 1}})


def test_a_sound_too_short_for_them_is_the_clients_fault() -> None:
    load = Librosa.model_validate({"function": "rms", "options": {"center": False}}).load(NOWHERE, RATE)
    with pytest.raises(InvalidInput, match="too short"):
        load(sound(0.01))


def test_a_bundle_with_them_is_served_and_masks_what_is_filled(tmp_path: Path) -> None:
    """Loudness, by librosa, of the frames that are heard."""
    node = helper.make_node
    nodes = [
        node("Mul", ["loudness", "mask"], ["heard"]),
        node("ReduceSum", ["heard", "axis"], ["sum"]),
        node("ReduceSum", ["mask", "axis"], ["count"]),
        node("Div", ["sum", "count"], ["mean"]),
    ]
    made = wild.graph(
        [node("Squeeze", ["features", "axis"], ["loudness"]), *nodes],
        {"features": (wild.FLOAT, ["n", 1, "t"]), "mask": (wild.FLOAT, ["n", "t"])},
        {"mean": (wild.FLOAT, ["n", 1])},
        {"axis": np.array([1], np.int64)},
    )
    rms = {"kind": "librosa", "function": "rms", "options": {"frame_length": 64, "hop_length": 32}, "frames": 200}
    tensors = {"features": "features", "mask": "mask"}
    parts = {"audio": {"kind": "audio", "sample_rate": RATE, "features": rms, "tensors": tensors}}
    outputs = {"loudness": {"kind": "regression", "tensor": "mean"}}
    sound = {"audio": ("wav", senses.wav(0.5))}
    folder = wild.write(tmp_path / "loud", made, {"inputs": parts, "outputs": outputs}, sound).folder
    with serve(folder) as server:
        for height in (0.25, 0.5):
            answer = server.predict(audio=senses.wav(height, 0.3)).raise_for_status().json()
            assert answer["outputs"]["loudness"]["value"] == pytest.approx(height, rel=0.02)


def test_librosa_is_imported_when_such_features_are_loaded_and_no_sooner() -> None:
    code = (
        "import sys; from pathlib import Path; from service.inputs.audio import Audio\n"
        "spec = {'kind': 'audio', 'sample_rate': 8000, 'tensors': {'features': 'x'}, 'features': {'kind': 'librosa', "
        "'function': 'rms'}}\n"
        "spec = Audio.model_validate(spec)\nassert 'librosa' not in sys.modules\n"
        "spec.load(Path())\nassert 'librosa' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True)


def test_an_installation_without_librosa_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['librosa'] = None\nfrom pathlib import Path\n"
        "from service.inputs.by_librosa import Librosa\n"
        "try: Librosa(function='rms').load(Path(), 8000)\nexcept Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert run.stdout == "BundleError features: librosa is not installed; try: pip install librosa\n"


def test_what_is_unknown_is_named_with_what_exists() -> None:
    document = {"kind": "audio", "sample_rate": RATE, "tensors": {"features": "x"}}
    with pytest.raises(ValueError, match="'chroma_stft', 'chroma_cqt'"):
        Audio.model_validate(document | {"features": {"kind": "librosa", "function": "os.system"}})
