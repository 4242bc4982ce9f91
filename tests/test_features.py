"""Features: librosa defines, numpy computes; 1e-5 of the largest value apart at most."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import BundleError, InvalidInput
from service.inputs.features import LogMel, Waveform
from tests.oracle import librosa

RATE, N_FFT, HOP, MELS = 16000, 512, 160, 40
BANK = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=MELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bank")
    np.save(made / "mel.npy", BANK)
    return made


def sound(length: int = RATE) -> NDArray[np.float32]:
    noise = np.random.default_rng(length).normal(0, 0.05, length)
    return np.asarray(noise + np.sin(np.arange(length) * 0.2) * 0.5, np.float32)


def features(folder: Path, samples: NDArray[np.float32], **options: Any) -> NDArray[np.float32]:
    spec = LogMel.model_validate({"n_fft": N_FFT, "hop": HOP, **options})
    array: NDArray[np.float32] = spec.load(folder)(samples)
    assert array.dtype == np.float32
    assert spec.heard(len(samples)) == spec.length(array) == array.shape[1 if spec.layout == "mel_time" else -2]
    return array


def reference(samples: NDArray[np.float32], **options: Any) -> NDArray[Any]:
    named: dict[str, Any] = {"pad_mode": "constant", **options}
    return np.asarray(
        librosa.feature.melspectrogram(y=samples, sr=RATE, n_mels=MELS, n_fft=N_FFT, hop_length=HOP, **named)
    )


def same(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("pad", ["constant", "reflect"])
@pytest.mark.parametrize("win", [None, 400, 401])
@pytest.mark.parametrize("center", [True, False])
def test_the_mel_spectrogram_is_librosas(folder: Path, power: int, pad: str, win: int | None, center: bool) -> None:
    ours = np.exp(features(folder, sound(), power=power, pad=pad, win=win, center=center, floor=1e-30))
    same(ours, reference(sound(), power=power, pad_mode=pad, win_length=win, center=center))


@given(st.integers(N_FFT, 3 * RATE))
def test_it_is_librosas_for_every_length(folder: Path, length: int) -> None:
    same(np.exp(features(folder, sound(length))), reference(sound(length)))


@pytest.mark.parametrize("length", [1, 2, 100, 255, 256])
@pytest.mark.parametrize("pad", ["constant", "reflect"])
def test_a_click_still_has_finite_features(folder: Path, length: int, pad: str) -> None:
    ours = features(folder, sound(length), pad=pad)
    assert np.isfinite(ours).all()
    assert ours.shape == (MELS, 1 + length // HOP)


@pytest.mark.parametrize("length", [1, 400, N_FFT - 1])
@pytest.mark.parametrize("win", [None, 400])
def test_what_is_shorter_than_one_frame_is_the_clients_fault(folder: Path, length: int, win: int | None) -> None:
    with pytest.raises(InvalidInput, match="short"):
        features(folder, sound(length), center=False, win=win)
    assert features(folder, sound(N_FFT), center=False, win=win).shape == (MELS, 1)


def test_decibels_are_librosas(folder: Path) -> None:
    ours = features(folder, sound(), log="db")
    np.testing.assert_allclose(ours, librosa.power_to_db(reference(sound()), top_db=None), atol=1e-3)


@pytest.mark.parametrize(("log", "function"), [("ln", np.log), ("log10", np.log10)])
def test_logarithms_have_a_floor(folder: Path, log: str, function: Any) -> None:
    silence = np.zeros(RATE, np.float32)
    np.testing.assert_allclose(features(folder, silence, log=log, floor=1e-5), function(1e-5), rtol=1e-6)


def test_normalising_gives_zero_mean_and_unit_variance(folder: Path) -> None:
    clip = features(folder, sound(), normalize="clip")
    assert clip.mean() == pytest.approx(0, abs=1e-4)
    assert clip.std() == pytest.approx(1, abs=1e-4)
    scaled = features(folder, sound(), normalize="clip", scale=0.5, offset=2)
    np.testing.assert_allclose(scaled, clip * 0.5 + 2, atol=1e-5)


def test_layouts_hold_the_same_numbers(folder: Path) -> None:
    mel_time = features(folder, sound())
    np.testing.assert_array_equal(features(folder, sound(), layout="time_mel"), mel_time.T)
    spec = LogMel(n_fft=N_FFT, hop=HOP, channel=True)
    np.testing.assert_array_equal(spec.load(folder)(sound()), mel_time[None])


def test_samples_are_left_as_they_are(folder: Path) -> None:
    np.testing.assert_array_equal(Waveform().load(folder)(sound()), sound())


def test_a_bank_that_does_not_fit_is_named(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"mel\.npy: shape \(40, 257\), but n_fft 400 needs"):
        LogMel(n_fft=400, hop=HOP).load(folder)
    with pytest.raises(BundleError, match=r"other\.npy"):
        LogMel(n_fft=400, hop=HOP, bank="other.npy").load(folder)
