"""Pictures with boxes and sounds with titles, tiny and synthetic, laid out as monitor.zip, to one served graph."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from models import worked
from models.datasets import boxed, drawn
from models.made import monitor as sounds
from models.worked import monitor
from service import bundle
from service.model import Model
from tests.models import tables
from tests.models.test_worked_boxes import command
from tests.process import Server, braid, serve

KINDS, EVENTS = ["disc", "square"], ["low", "middle", "high"]
RECIPE = """
example: monitor
name: tiny
version: "1"
seed: 1
data: monitor.zip
splits: {train: train, valid: valid}
labels: [disc, square]
image:
  kind: image
  resize: {to: fit, height: 64, width: 96}
  pad: {height: 64, width: 96, value: 114, position: middle}
  dtype: uint8
  tensors: {pixels: pixels}
detector: {widths: [8, 16, 16, 24], depths: [1, 1, 1], stride: 8, width: 16, regions: 24, context: 3}
vary: {scale: [0.9, 1.1], aspect: 0.05, light: 0.1, tint: 0.05}
training: {steps: 120, batch: 8, rate: 1.0e-2, average: 0.9}
answer: {threshold: 0.2}
card: {about: Synthetic., limits: None., credits: Synthetic.}
sounds:
  name: sounds
  parts:
    text:
      kind: text
      input: {max_tokens: 32}
      tokens: {kind: characters}
      encoder: {kind: tfidf, smallest: 2, largest: 3, features: 100}
    audio:
      kind: audio
      input: {sample_rate: 8000, max_seconds: 1.0, features: {kind: log_mel, n_fft: 256, hop: 128, floor: 1.0e-6}}
      bank: {kind: mel, bands: 16}
      encoder: {kind: statistics, hidden: [16], scales: [1, 4]}
  fusion: {kind: product}
  width: 16
  tasks:
    classification: {kind: classification, columns: [label], labels: [low, middle, high]}
    anomaly: {kind: anomaly, columns: [unusual], head: {parts: [audio], code: 2, inner: 16, share: 0.6}}
  split: {column: fold4, folds: [fold1]}
  repeats: 1
  training: {epochs: 15, patience: 15, batch: 8, rate: 1.0e-2, device: cpu}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """monitor.zip: 32 pictures to train on, 8 to ask about; 30 sounds of three classes, 10 of the unusual one."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    pictures = [
        drawn.picture(f"images/{i}.png", "train" if i < 32 else "valid", (150, 100), len(KINDS), i) for i in range(40)
    ]
    (folder / "boxes").mkdir()
    boxed.write(folder / "boxes" / "monitor.zip", pictures, KINDS)
    lines = []
    with (
        zipfile.ZipFile(folder / "boxes" / "monitor.zip") as source,
        zipfile.ZipFile(folder / "monitor.zip", "w") as archive,
    ):
        for name in source.namelist():
            if not name.endswith("table.csv"):
                archive.writestr(name, source.read(name))
        for i, each in enumerate(pictures):
            odd = i % 4 == 3
            label = sounds.UNUSUAL if odd else EVENTS[i % 3]
            made = tables.wave(rng.normal(0, 0.3, 2400)) if odd else tables.sound(i % 3, rng)
            archive.writestr(f"monitor/audio/{i}.wav", made)
            title = f"{label} {i}" if i % 5 else f"{i}"
            line = {"text": title, "image": each.name, "audio": f"audio/{i}.wav", "label": label, "split": each.split}
            lines.append(line | {"esc_fold": str(i % 7 % 4 + 1)})
        text = io.StringIO()
        writer = csv.DictWriter(text, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
        archive.writestr("monitor/table.csv", text.getvalue())
    return folder


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, monitor.Evaluation]:
    """The bundle, and what was found of it."""
    folder = tmp_path_factory.mktemp("made")
    file, work, to = folder / "tiny.yaml", folder / "work", folder / "bundle"
    file.write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        command(patch, "train", file, "--data", data, "--work", work, "--threads", "1")
        command(patch, "evaluate", file, "--data", data, "--work", work)
        command(patch, "export", file, "--work", work, "--to", to)
    found = monitor.Evaluation.model_validate_json((work / "tiny" / worked.FOUND).read_text())
    return to, found


@pytest.fixture(scope="module")
def server(made: tuple[Path, monitor.Evaluation]) -> Iterator[Server]:
    with serve(made[0]) as running:
        yield running


def test_both_halves_learn_and_are_reported_apart(made: tuple[Path, monitor.Evaluation]) -> None:
    folder, found = made
    assert found.precision["mean"] > 0.5
    assert found.beside > found.precision["mean"] - 0.1
    said = found.heard.scores
    assert said["classification"]["audio"]["accuracy"] > 0.8
    assert said["anomaly"].keys() == {"audio", "text+audio"}  # a title says nothing of how unusual a sound is
    assert said["anomaly"]["audio"]["AUROC"] > 0.9
    assert len(found.heard.again) == 1
    card = (folder / "README.md").read_text()
    for words in (f"| pictures alone | {found.precision['mean']:.3f} |", "### anomaly", "deviation of 2 trainings"):
        assert words in card


def test_the_bundle_is_accepted_and_holds_none_of_the_data(made: tuple[Path, monitor.Evaluation], data: Path) -> None:
    done = braid("verify", made[0])
    assert done.returncode == 0, done.stderr
    Model(bundle.read(made[0])).prove()
    with zipfile.ZipFile(data / "monitor.zip") as archive:
        theirs = {archive.read(name) for name in archive.namelist()}
    assert not any(file.read_bytes() in theirs for file in made[0].rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("parts", "given"),
    [
        ("image", ["detection"]),
        ("text", ["classification"]),
        ("audio", ["classification", "anomaly"]),
        ("image text", ["detection", "classification"]),
        ("image text audio", ["detection", "classification", "anomaly"]),
    ],
)
def test_any_subset_of_parts_answers_what_it_can(server: Server, parts: str, given: list[str]) -> None:
    rng = np.random.default_rng(9)
    picture = drawn.picture("", "", (300, 200), len(KINDS), 101)
    every: dict[str, Any] = {"image": picture.data, "text": b"high 99", "audio": tables.sound(2, rng)}
    response = server.client.post("/v1/predict", files={name: ("", every[name]) for name in parts.split()})
    assert response.status_code == 200, response.text
    outputs = response.json()["outputs"]
    assert list(outputs) == given
    if "classification" in given:
        assert outputs["classification"]["label"] == "high"
    if "anomaly" in given:
        assert not outputs["anomaly"]["anomalous"]
    if "image" in parts:
        true = picture.boxes * np.array([300, 200] * 2)
        for box, kind in zip(true, picture.classes, strict=True):
            same = [np.array(d["box"]) for d in outputs["detection"]["detections"] if d["label"] == KINDS[kind]]
            assert min(float(np.abs(each - box).max()) for each in same) < 25  # of 300 pixels


def test_an_unusual_sound_is_told(server: Server) -> None:
    noise = tables.wave(np.random.default_rng(3).normal(0, 0.3, 2400))
    outputs = server.client.post("/v1/predict", files={"audio": ("", noise)}).json()["outputs"]
    assert outputs["anomaly"]["anomalous"]


def test_the_answer_to_one_part_does_not_depend_on_the_others_slots(made: tuple[Path, monitor.Evaluation]) -> None:
    model = Model(bundle.read(made[0]))
    _, row, _ = bundle.read(made[0]).example()
    for part, names in (("image", ["text", "audio"]), ("audio", ["image"])):
        left = {name for other in names for name in model.manifest.inputs[other].tensors.model_dump().values()}
        there = np.array([name not in names for name in model.manifest.inputs], np.float32)
        without = {name: values for name, values in row.items() if name not in left} | {"present": there}
        filled = row | {"present": there}
        wanted, got = model.run([without])[0], model.run([filled])[0]
        for name, values in wanted.items():
            np.testing.assert_allclose(got[name], values, atol=1e-5, err_msg=f"{part}: {name}")


def test_a_context_that_is_not_of_the_classes_heard_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(RECIPE.replace("context: 3", "context: 5"))
    with pytest.raises(ValueError, match="context: 0, or 3"):
        monitor.read(file)
