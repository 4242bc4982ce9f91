"""A detector's way from synthetic pictures with boxes to a bundle that finds them, in the picture as it is upright."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from models import __main__, worked
from models.datasets import boxed, drawn
from models.worked import boxes
from service import bundle
from service.model import Model
from tests.process import braid, serve

LABELS = ["disc", "square"]
RECIPE = """
example: boxes
name: tiny
version: "1"
seed: 1
data: tiny.zip
splits: {train: train, valid: val}
labels: [disc, square]
image: {kind: image, resize: {to: exact, height: 64, width: 96}, dtype: uint8, tensors: {pixels: pixels}}
detector: {stages: STAGES, widths: [8, 16, 16, 24], depths: [1, 1, 1], stride: 8, width: 16, regions: 24}
vary: {scale: [0.9, 1.1], aspect: 0.05, light: 0.1, tint: 0.05}
training: {steps: 120, batch: 8, rate: 1.0e-2, average: 0.9}
answer: {threshold: 0.2}
card: {about: Discs and squares drawn by code., limits: None., credits: Synthetic.}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.zip: 24 pictures to train on, 8 to ask about."""
    folder = tmp_path_factory.mktemp("data")
    splits = ["train"] * 24 + ["val"] * 8
    pictures = [drawn.picture(f"images/{i}.png", split, (192, 128), 2, i) for i, split in enumerate(splits)]
    boxed.write(folder / "tiny.zip", pictures, LABELS)
    return folder


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr("sys.argv", ["models", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        __main__.main()
    assert stopped.value.code == 0


@pytest.mark.parametrize("stages", [1, 2])
def test_a_detector_learns_is_measured_and_served(
    stages: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, work, folder = tmp_path / "tiny.yaml", tmp_path / "work", tmp_path / "bundle"
    file.write_text(RECIPE.replace("STAGES", str(stages)))
    command(monkeypatch, "train", file, "--data", data, "--work", work, "--threads", "1")
    command(monkeypatch, "evaluate", file, "--data", data, "--work", work)
    found = boxes.Evaluation.model_validate_json((work / "tiny" / worked.FOUND).read_text())
    assert found.precision["mean"] > 0.6
    assert found.spent.processor > 0
    command(monkeypatch, "export", file, "--work", work, "--to", folder)
    Model(bundle.read(folder)).prove()
    assert braid("verify", folder).returncode == 0
    assert f"{found.precision['mean']:.3f}" in (folder / "README.md").read_text()
    turned_upright(folder)


def turned_upright(folder: Path) -> None:
    """A photograph that EXIF says is turned: boxes are those of the upright one, in its pixels."""
    each = drawn.picture("", "", (384, 256), 2, 101)
    upright = PIL.Image.open(io.BytesIO(each.data))
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    with serve(folder) as server:
        response = server.client.post("/v1/predict", files={"image": ("a.png", file.getvalue())})
    assert response.status_code == 200, response.text
    detections = response.json()["outputs"]["objects"]["detections"]
    true = each.boxes * np.array([384, 256] * 2)
    for box, kind in zip(true, each.classes, strict=True):
        same = [d["box"] for d in detections if d["label"] == LABELS[kind]]
        assert same
        assert min(float(np.abs(np.array(b) - box).max()) for b in same) < 24  # of 384 pixels


def test_a_table_that_names_what_is_not_there_is_refused_by_its_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"boxes.csv, line \d+: 'square' of"):
        boxed.read(data / "tiny.zip", ["disc"])
    with pytest.raises(FileNotFoundError, match="BRAID_DATA"):
        boxed.read(tmp_path / "none.zip", ["disc"])


def test_what_was_written_is_read_again(data: Path) -> None:
    first, made = boxed.read(data / "tiny.zip", LABELS)[0], drawn.picture("images/0.png", "train", (192, 128), 2, 0)
    assert first.data == made.data
    assert np.allclose(first.boxes, made.boxes, atol=1e-4)
    assert first.classes.tolist() == made.classes.tolist()


def test_pictures_of_rare_classes_are_drawn_more_often() -> None:
    """By sqrt(0.36 / 0.09) where 9 of 100 have the class, however many of it are in the picture."""
    classes = [np.array([0])] * 90 + [np.array([0, 1, 1])] * 9 + [np.array([], np.int64)]
    shares = boxes.often([*classes, *classes], 2, common=0.36)
    assert shares.sum() == pytest.approx(1)
    assert shares[90:99] == pytest.approx(2 * shares[0])
    assert shares[99] == shares[0]
    assert boxes.often(classes, 3, common=0) == pytest.approx(np.full(100, 0.01))
