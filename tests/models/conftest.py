"""A tiny digits task: a few drawn digits, buzzing recordings, noise; and a recipe that trains in a second."""

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from service.types import Array

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]  # `make test` needs no torch
SPEAKERS = ("ann", "bob")
RECIPE = """
name: digits
version: "1"
seed: 3
inputs:
  text: {kind: text, tokenizer: tokenizer.json, max_tokens: 64, tensors: {ids: input_ids, mask: attention_mask}}
  image: {kind: image, mode: L, ink: {box: 20, size: 28}, scale: 0.004, tensors: {pixels: pixel_values}}
  audio:
    kind: audio
    sample_rate: 8000
    min_seconds: 0.25
    level: peak
    features: {kind: log_mel, bank: mel.npy, n_fft: 512, win: 256, hop: 100, floor: 1.0e-6, normalize: clip}
    tensors: {features: input_features, mask: frame_mask}
mel: {mels: 64, fmin: 60, fmax: 4000}
network: {width: 16, fusion: gated, encoders: {embedding: 8, text: 16, image: [4, 8, 8], audio: [4, 4, 8, 8, 16]}}
samples: {sentences: 200, pictures: 60, takes: 2, voices: 0}
training: {steps: 30, fold_steps: 10, batch: 16, rate: 1.0e-2}
folds: [[ann], [bob]]
"""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the one of shared data: `digits/` with the four files."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    folder.mkdir()
    for name in ("mnist_train.npz", "mnist_test_even5000.npz"):
        np.savez(folder / name, images=pictures(), labels=np.tile(np.arange(10), 3).astype(np.uint8))
    speech(folder / "fsdd_dev_4speakers.zip")
    noise(folder / "esc10_8k_folds1-4.zip")
    return folder.parent


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(RECIPE)
    return file


def pictures() -> Array:
    """(30, 28, 28): digit d is a bar whose length and slope grow with d, three times."""
    images = np.zeros((30, 28, 28), np.uint8)
    for i in range(30):
        for step in range(12):
            images[i, 6 + step, 6 + step * (i % 10) // 9 : 9 + step * (i % 10) // 9] = 255
    return images


def tone(digit: int, pitch: float) -> Array:
    time = np.arange(3200) / 8000
    return np.asarray(0.4 * np.sin(2 * np.pi * time * pitch * (digit + 1)) * np.hanning(3200), np.float32)


def flac(samples: Array) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def speech(path: Path) -> None:
    lines = ["file,digit,speaker,index"]
    with zipfile.ZipFile(path, "w") as archive:
        for pitch, speaker in ((150.0, "ann"), (160.0, "bob")):
            for digit in range(10):
                name = f"{digit}_{speaker}_0.flac"
                archive.writestr(name, flac(tone(digit, pitch)))
                lines.append(f"{name},{digit},{speaker},0")
        archive.writestr("index.csv", "\n".join(lines))


def noise(path: Path) -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for fold in (1, 4):
            archive.writestr(f"001 - Rain/{fold}-1-A.flac", flac(rng.normal(0, 0.1, 16000).astype(np.float32)))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Threads that wait for each other are slower than one where other work runs, too."""
    import torch

    torch.set_num_threads(1)
