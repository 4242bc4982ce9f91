"""python -m models import onnx: any graph to a bundle that answers, or to the lines that its owner must complete."""

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import helper
from PIL import Image
from typer.testing import CliRunner, Result

from models.importers.command import app
from models.importers.draft import UNKNOWN, Draft, Origin, unknowns
from service.bundle import read
from service.errors import BundleError
from service.model import Model
from tests import senses, wild
from tests.process import ROOT, serve
from tests.test_wild import decoder, silero
from tests.wild import BOOL, BYTE, FLOAT, HALF, SHORT, WHOLE, graph

node = helper.make_node
generator = np.random.default_rng(3)
MATRIX = generator.normal(0, 3, (3, 5)).astype(np.float32)
POOLED = [
    node("GlobalAveragePool", ["pixels"], ["pooled"]),
    node("Flatten", ["pooled"], ["flat"]),
    node("MatMul", ["flat", "matrix"], ["logits"]),
]
LABELS = ["ant", "bee", "cat", "dog", "elk"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["onnx", *map(str, arguments)])


def started(folder: Path, made: onnx.ModelProto, *options: str | Path) -> tuple[Result, dict[str, Any]]:
    """What the command prints, and the manifest that it writes."""
    onnx.save(made, folder / "any.onnx")
    result = run(folder / "any.onnx", folder / "made", *options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result, yaml.safe_load((folder / "made" / "manifest.yaml").read_text())


def classifier(batch: int | str = "batch") -> onnx.ModelProto:
    inputs: dict[str, wild.Kind] = {"pixels": (FLOAT, [batch, 3, 24, 32])}
    return graph(POOLED, inputs, {"logits": (FLOAT, [batch, 5])}, {"matrix": MATRIX})


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    return tmp_path / "labels.txt"


def png(size: tuple[int, int] = (41, 29)) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


# -- the whole way ----------------------------------------------------------------------------------------------------


def test_a_complete_classifier_is_served_with_the_answers_of_its_graph(tmp_path: Path, labels: Path) -> None:
    result, _ = started(tmp_path, classifier(), "--norm", "imagenet", "--labels", labels)
    assert result.exit_code == 0, result.output
    assert "next: braid serve" in result.output
    with serve(tmp_path / "made") as server:
        answer = server.predict(image=png(), query="?raw=true&top_k=5").raise_for_status().json()
    picture = Image.open(io.BytesIO(png())).resize((32, 24), Image.Resampling.BILINEAR)
    pixels = (np.asarray(picture, np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    session = onnxruntime.InferenceSession(tmp_path / "any.onnx")
    (logits,) = session.run(None, {"pixels": pixels.transpose(2, 0, 1)[None].astype(np.float32)})
    np.testing.assert_allclose(answer["raw"]["logits"], logits[0], atol=1e-5)
    scores = np.exp(logits[0] - logits[0].max())
    found = {entry["label"]: entry["score"] for entry in answer["outputs"]["classification"]["top"]}
    np.testing.assert_allclose([found[label] for label in LABELS], scores / scores.sum(), atol=1e-6)


def test_what_nobody_told_is_asked_by_line_and_completed_by_hand(tmp_path: Path) -> None:
    result, said = started(tmp_path, classifier())
    assert result.exit_code == 1
    file = tmp_path / "made" / "manifest.yaml"
    for key in ("scale", "mean", "std"):
        assert said["inputs"]["image"][key] == UNKNOWN
    lines = file.read_text().splitlines()
    asked = [line for line in result.stdout.splitlines() if line.startswith("  line ")]
    assert [line.split(": ")[1].strip() for line in asked] == ["scale", "mean", "std", "labels"]
    for line in asked:
        assert UNKNOWN in lines[int(line.split()[1].rstrip(":")) - 1]
    assert f"then: python -m models import finish {tmp_path / 'made'}" in result.stdout
    text = file.read_text()
    for key, value in {"scale": 1 / 255, "mean": [0.5], "std": [0.25], "labels": LABELS}.items():
        text = text.replace(f"{key}: {UNKNOWN}", f"{key}: {json.dumps(value)}")
    file.write_text(text)
    finished = CliRunner().invoke(app, ["finish", str(tmp_path / "made")])
    assert finished.exit_code == 0, finished.output
    assert "# guess: of exact, crop" in file.read_text()
    made = read(tmp_path / "made")
    assert made.manifest.inputs["image"].model_dump()["std"] == (0.25,)
    Model(made).prove()
    again = CliRunner().invoke(app, ["finish", str(tmp_path / "made")])
    assert again.exit_code == 0, again.output
    assert file.read_text().count("sha256:") == 1


def test_real_files_become_the_example_and_prove_the_bundle(tmp_path: Path, labels: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png((50, 40)))
    options = ["--norm", "unit", "--labels", str(labels), "--example", f"image={tmp_path / 'photo.png'}"]
    result, _ = started(tmp_path, classifier(), *options)
    assert "proven on an example of files given" in result.output
    assert read(tmp_path / "made").example().parts == {"image": png((50, 40))}
    with pytest.raises(BundleError, match="--example: no part 'photo'; there are image"):
        started(tmp_path, classifier(), *options[:-1], "photo=x.png", "--force")


def test_it_works_where_only_what_serves_is_installed(tmp_path: Path) -> None:
    """And is what `python -m models` offers."""
    onnx.save(wild.keras(), tmp_path / "any.onnx")
    (tmp_path / "names.json").write_text(json.dumps({"1": "green", "0": "red", "2": "blue"}))
    absent = "import sys; sys.modules |= dict.fromkeys(['torch', 'onnx', 'transformers', 'librosa', 'scipy'])\n"
    command = ["import", "onnx", tmp_path / "any.onnx", tmp_path / "made", "--labels", tmp_path / "names.json"]
    code = f"{absent}sys.argv[1:] = {list(map(str, command))}\nfrom models.__main__ import main; main()"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    made = read(tmp_path / "made")
    assert made.manifest.inputs["image"].model_dump()["dtype"] == "uint8"
    assert made.manifest.outputs["classification"].model_dump()["labels"] == ["red", "green", "blue"]


# -- what is proposed -------------------------------------------------------------------------------------------------


def test_pictures_are_told_by_their_channels(tmp_path: Path) -> None:
    _, said = started(tmp_path, wild.keras())
    image = said["inputs"]["image"]
    assert (image["layout"], image["dtype"]) == ("hwc", "uint8")
    assert image["resize"] == {"to": "exact", "height": 4, "width": 6, "resample": "bilinear"}
    assert image["tensors"] == {"pixels": "serving_default_x:0"}
    assert "scale" not in image
    grey = graph(
        [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["y"])],
        {"x": (HALF, [1, 1, 28, 28])},
        {"y": (HALF, [1, 1])},
    )
    _, said = started(tmp_path, grey, "--force", "--scale", "1", "--set", "inputs.image.mean=[33.3]")
    assert said["inputs"]["image"]["mode"] == "L"
    assert said["inputs"]["image"]["mean"] == [33.3]
    assert said["outputs"]["regression"]["tensor"] == "y"


@pytest.mark.parametrize(
    ("how", "resize", "more"),
    [
        ("crop", {"to": "shortest", "edge": 24, "resample": "bicubic"}, {"crop": {"height": 24, "width": 32}}),
        ("crop:40", {"to": "shortest", "edge": 40, "resample": "bicubic"}, {"crop": {"height": 24, "width": 32}}),
        (
            "letterbox",
            {"to": "fit", "height": 24, "width": 32, "resample": "bilinear"},
            {"pad": {"height": 24, "width": 32, "value": 114, "position": "middle"}},
        ),
        (
            "letterbox:corner",
            {"to": "fit", "height": 24, "width": 32, "resample": "bilinear"},
            {"pad": {"height": 24, "width": 32, "value": 114}},
        ),
    ],
)
def test_ways_of_resizing_are_named_on_the_command_line(
    tmp_path: Path, how: str, resize: dict[str, Any], more: dict[str, Any]
) -> None:
    _, said = started(tmp_path, classifier(), "--resize", how, "--channels", "BGR", "--scale", "1", "--mean", "1,2,3")
    image = said["inputs"]["image"]
    assert (image["resize"], image["channels"], image["mean"]) == (resize, "BGR", [1, 2, 3])
    assert image.items() >= more.items()


def text_graph(mask: bool = True) -> onnx.ModelProto:
    """Vectors of tokens."""
    inputs: dict[str, wild.Kind] = {"input_ids": (WHOLE, ["b", "s"]), "token_type_ids": (WHOLE, ["b", "s"])}
    inputs |= {"attention_mask": (WHOLE, ["b", "s"])} if mask else {}
    nodes = [
        node("Add", ["input_ids", "token_type_ids"], ["both"]),
        *([node("Mul", ["both", "attention_mask"], ["known"])] if mask else [node("Identity", ["both"], ["known"])]),
        node("Gather", ["table", "known"], ["last_hidden_state"]),
    ]
    table = generator.normal(0, 1, (60, 8)).astype(np.float32)
    return graph(nodes, inputs, {"last_hidden_state": (FLOAT, ["b", "s", 8])}, {"table": table})


def test_texts_need_a_tokenizer_and_vectors_of_tokens_a_pooling(tmp_path: Path) -> None:
    result, said = started(tmp_path, text_graph())
    assert [said["inputs"]["text"][key] for key in ("tokenizer", "max_tokens")] == [UNKNOWN] * 2
    assert said["outputs"]["embedding"]["pooling"] == UNKNOWN
    senses.tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 32}))
    options = ["--tokenizer", str(tmp_path / "tokenizer.json"), "--pooling", "mean", "--force"]
    result, said = started(tmp_path, text_graph(), *options)
    assert result.exit_code == 0, result.output
    assert said["inputs"]["text"]["max_tokens"] == 32
    tensors = said["inputs"]["text"]["tensors"]
    assert tensors == {"ids": "input_ids", "types": "token_type_ids", "mask": "attention_mask"}
    assert said["outputs"]["embedding"]["mask"] == "attention_mask"
    model = Model(read(tmp_path / "made"))
    rows = [model.encode({"text": text}, {}) for text in (b"a b c", b"d")]
    together = [model.decode(row | answer, ["text"]) for row, answer in zip(rows, model.run(rows), strict=True)]
    table = np.asarray(onnx.numpy_helper.to_array(onnx.load(tmp_path / "any.onnx").graph.initializer[0]))
    found = [answer["outputs"]["embedding"]["embedding"] for answer in together]
    np.testing.assert_allclose(found, [table[1:4].mean(0), table[4]], rtol=1e-6)


def test_sounds_are_samples_or_frames_whose_rate_nobody_can_guess(tmp_path: Path) -> None:
    wave = graph(
        [node("ReduceMean", ["audio"], ["y"], axes=[1])], {"audio": (FLOAT, [1, 8000])}, {"y": (FLOAT, [1, 1])}
    )
    _, said = started(tmp_path, wave)
    assert said["inputs"]["audio"]["sample_rate"] == UNKNOWN
    assert said["inputs"]["audio"]["features"] == {"kind": "waveform", "samples": 8000, "normalize": "none"}
    _, said = started(tmp_path, wave, "--sample-rate", "8000", "--task", "anomaly", "--force")
    assert said["outputs"]["anomaly"]["threshold"] == UNKNOWN
    frames = graph(
        [node("ReduceMean", ["mel"], ["m"], axes=[2, 3], keepdims=0)],
        {"mel": (FLOAT, ["n", 1, "time", 64])},
        {"m": (FLOAT, ["n", 1])},
    )
    _, said = started(tmp_path, frames, "--force")
    features = said["inputs"]["audio"]["features"]
    assert (features["kind"], features["layout"], features["channel"]) == ("log_mel", "time_mel", True)
    assert [features[key] for key in ("n_fft", "hop", "bank", "log")] == [UNKNOWN] * 4


def test_a_preprocessor_of_transformers_says_all_of_its_part(tmp_path: Path) -> None:
    whisper = graph(
        [node("ReduceMean", ["input_features"], ["pooled"], axes=[2], keepdims=0)],
        {"input_features": (FLOAT, ["n", 80, 3000])},
        {"pooled": (FLOAT, ["n", 80])},
    )
    (tmp_path / "p.json").write_text(json.dumps({"feature_extractor_type": "WhisperFeatureExtractor"}))
    result, said = started(tmp_path, whisper, "--preprocessor", tmp_path / "p.json")
    assert result.exit_code == 0, result.output
    assert said["inputs"]["audio"]["features"]["n_fft"] == 400
    assert said["outputs"]["embedding"]["tensor"] == "pooled"
    image = {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 32}}
    (tmp_path / "i.json").write_text(json.dumps(image))
    result, said = started(
        tmp_path, classifier(), "--preprocessor", tmp_path / "i.json", "--task", "embedding", "--force"
    )
    assert result.exit_code == 0, result.output
    assert said["inputs"]["image"]["mean"] == [0.5, 0.5, 0.5]


def fused() -> onnx.ModelProto:
    """A text and a picture, which of them are there, and two inputs that are neither."""
    nodes = [
        *POOLED[:2],
        node("Cast", ["ids"], ["real"], to=FLOAT),
        node("ReduceMean", ["real"], ["note"], axes=[1]),
        node("Concat", ["note", "flat"], ["both"], axis=1),
        node("ReduceMean", ["modality_mask"], ["share"], axes=[1]),
        node("Mul", ["both", "share"], ["weighed"]),
        node("Cast", ["training"], ["no"], to=FLOAT),
        node("Add", ["weighed", "no"], ["sum"]),
        node("Mul", ["sum", "temperature"], ["fused_embedding"]),
    ]
    inputs: dict[str, wild.Kind] = {
        "pixels": (FLOAT, ["n", 3, 24, 32]),
        "ids": (SHORT, ["n", 7]),
        "modality_mask": (FLOAT, ["n", 2]),
        "training": (BOOL, []),
        "temperature": (FLOAT, [1]),
    }
    return graph(nodes, inputs, {"fused_embedding": (FLOAT, ["n", 4])})


def test_several_parts_their_mask_and_constants_are_told_apart(tmp_path: Path) -> None:
    senses.tokenizer().save(str(tmp_path / "tokenizer.json"))
    options = ["--tokenizer", str(tmp_path / "tokenizer.json"), "--norm", "unit"]
    _, said = started(tmp_path, fused(), *options)
    assert list(said["inputs"]) == ["text", "image"]
    assert said["inputs"]["text"]["pad_to"] == said["inputs"]["text"]["max_tokens"] == 7
    assert said["missing"] == {"policy": "mask", "tensor": "modality_mask"}
    assert said["constants"] == {"training": False, "temperature": UNKNOWN}
    result, said = started(tmp_path, fused(), *options, "--constant", "temperature=2.5", "--force")
    assert result.exit_code == 0, result.output
    assert said["constants"] == {"training": False, "temperature": 2.5}
    model = Model(read(tmp_path / "made"))
    row = model.encode({"text": b"a b c"}, {})
    assert model.run([row])[0]["fused_embedding"][0] == pytest.approx(6 / 7 / 2 * 2.5)
    with pytest.raises(BundleError, match="--constant x: the graph takes pixels: float32 any x 3 x 24 x 32, ids"):
        started(tmp_path, fused(), "--constant", "x=1", "--force")


def test_a_role_may_be_given_where_the_guess_is_wrong(tmp_path: Path) -> None:
    made = graph([node("ReduceMean", ["x"], ["y"], axes=[1])], {"x": (FLOAT, ["n", 40])}, {"y": (FLOAT, ["n", 1])})
    with pytest.raises(
        BundleError, match=r"no text, picture or sound among the graph's inputs \(x: float32 any x 40\)"
    ):
        started(tmp_path, made)
    result, said = started(tmp_path, made, "--as", "x=samples", "--sample-rate", "8000")
    assert result.exit_code == 0, result.output
    assert said["inputs"]["audio"]["features"]["samples"] == 40
    with pytest.raises(BundleError, match="--as z: the graph takes x"):
        started(tmp_path, made, "--as", "z=samples", "--force")
    with pytest.raises(BundleError, match=r"--roles\.x"):
        started(tmp_path, made, "--as", "x=smell", "--force")


# -- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "task", "activation", "origin"),
    [
        (node("Softmax", ["logits"], ["y"], axis=1), "classification", "none", "measured"),
        (node("Sigmoid", ["logits"], ["y"]), "classification", "none", "measured"),
        (node("Identity", ["logits"], ["y"]), "classification", "softmax", "guess"),
        (node("Sigmoid", ["logits"], ["y"]), "multilabel", "none", "measured"),
        (node("Identity", ["logits"], ["y"]), "multilabel", "sigmoid", "guess"),
    ],
)
def test_probabilities_are_told_from_logits_by_running_the_graph(
    tmp_path: Path, labels: Path, last: onnx.NodeProto, task: str, activation: str, origin: str
) -> None:
    inputs: dict[str, wild.Kind] = {"pixels": (FLOAT, ["n", 3, 24, 32])}
    made = graph([*POOLED, last], inputs, {"y": (FLOAT, ["n", 5])}, {"matrix": MATRIX})
    _, said = started(tmp_path, made, "--labels", labels, "--task", task)
    assert said["outputs"][task]["activation"] == activation
    assert f"activation: {activation}  # {origin}" in (tmp_path / "made/manifest.yaml").read_text()


def test_rows_that_mix_are_never_run_together(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        node("ReduceMean", ["means"], ["all"], axes=[0]),
        node("Sub", ["means", "all"], ["embedding"]),
    ]
    made = graph(nodes, {"pixels": (FLOAT, ["n", 3, 8, 8])}, {"embedding": (FLOAT, ["n", 3])})
    result, said = started(tmp_path, made, "--norm", "unit")
    assert result.exit_code == 0, result.output
    assert said["batch"] == 1
    assert Model(read(tmp_path / "made")).most == 1


def test_a_graph_that_fails_on_two_rows_is_given_one(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["pixels", "flat"], ["embedding"])]
    made = graph(
        nodes, {"pixels": (FLOAT, ["n", 3, 9, 9])}, {"embedding": (FLOAT, ["n", 243])}, {"flat": np.array([1, 243])}
    )
    _, said = started(tmp_path, made, "--norm", "unit")
    assert said["batch"] == 1


def test_tensors_without_a_batch_axis_are_found(tmp_path: Path) -> None:
    """torchvision's detectors."""
    nodes = [
        node("ReduceMax", ["images"], ["most"], keepdims=0),
        node("Mul", ["corners", "most"], ["large"]),
        node("Abs", ["large"], ["boxes"]),
        node("Identity", ["sure"], ["scores"]),
        node("Identity", ["first"], ["labels"]),
    ]
    weights = {
        "corners": np.array([[1, 2, 30, 40], [5, 5, 9, 9]], np.float32),
        "sure": np.array([0.9, 0.8], np.float32),
        "first": np.array([1, 2]),
    }
    outputs: dict[str, wild.Kind] = {"boxes": (FLOAT, ["k", 4]), "scores": (FLOAT, ["k"]), "labels": (WHOLE, ["k"])}
    made = graph(nodes, {"images": (FLOAT, [3, "height", "width"])}, outputs, weights)
    (tmp_path / "l.yaml").write_text("[cat, dog]")
    options = ["--norm", "unit", "--labels", str(tmp_path / "l.yaml"), "--set", "inputs.image.resize="]
    result, said = started(tmp_path, made, *options)
    assert result.exit_code == 0, result.output
    assert said["whole"] == ["images", "boxes", "scores", "labels"]
    detection = said["outputs"]["detection"]
    assert (detection["format"], detection["unit"], detection["first"]) == ("xyxy", "pixels", 1)
    model = Model(read(tmp_path / "made"))
    row = model.encode({"image": png()}, {})
    found = model.decode(row | model.run([row])[0], ["image"])["outputs"]["detection"]["detections"]
    assert [entry["label"] for entry in found] == ["cat", "dog"]


def yolo(kind: str) -> onnx.ModelProto:
    """Tables as their exporters shape them, for 64 x 96 pixels: 126 cells."""
    shapes = {"yolov8": (7, 126), "yolox": (126, 8), "yolov5": (378, 8), "yolov10": (30, 6)}
    table = generator.uniform(0.1, 0.9, shapes[kind]).astype(np.float32)
    if kind == "yolox":
        table[:, 2:4] -= 0.5
    nodes = [
        node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        node("Mul", ["mean", "nothing"], ["zero"]),
        node("Reshape", ["zero", "column"], ["zeros"]),
        node("Add", ["zeros", "table"], ["output0"]),
    ]
    constants = {"nothing": np.array(0, np.float32), "column": np.array([-1, 1, 1]), "table": table[None]}
    made = graph(nodes, {"images": (FLOAT, ["n", 3, 64, 96])}, {"output0": (FLOAT, ["n", *shapes[kind]])}, constants)
    helper.set_model_props(made, {"names": "{0: 'cat', 1: 'dog', 2: 'hen'}", "task": "detect", "stride": "32"})
    return made


@pytest.mark.parametrize(
    ("kind", "columns", "more"),
    [
        ("yolov8", {"scores": 4}, {"transposed": True, "nms": 0.45, "format": "cxcywh"}),
        ("yolox", {"objectness": 4, "scores": 5}, {"grid": [8, 16, 32], "nms": 0.45, "format": "cxcywh"}),
        ("yolov5", {"objectness": 4, "scores": 5}, {"nms": 0.45, "format": "cxcywh"}),
        ("yolov10", {"score": 4, "label": 5}, {"format": "xyxy"}),
    ],
)
def test_tables_of_boxes_are_known_by_their_shapes_and_labels_by_the_graph(
    tmp_path: Path, kind: str, columns: dict[str, int], more: dict[str, Any]
) -> None:
    result, said = started(tmp_path, yolo(kind), "--resize", "letterbox", "--norm", "unit")
    assert result.exit_code == 0, result.output
    detection = said["outputs"]["detection"]
    assert detection["columns"] == columns
    assert detection["labels"] == ["cat", "dog", "hen"]
    assert detection.items() >= more.items()
    assert ("nms" in detection) == ("nms" in more)
    assert ("grid" in detection) == ("grid" in more)


@pytest.mark.parametrize(
    ("last", "labels", "background", "activation"),
    [("Softmax", 4, 0, "none"), ("Identity", 4, -1, "softmax"), ("Sigmoid", 5, None, "none")],
)
def test_pairs_of_boxes_and_scores_tell_format_unit_and_background(
    tmp_path: Path, last: str, labels: int, background: int | None, activation: str
) -> None:
    """SSD, DETR, and what has no class for nothing."""
    corners = generator.uniform(0, 0.4, (20, 4)).astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    nodes = [
        node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        node("Mul", ["mean", "nothing"], ["zero"]),
        node("Reshape", ["zero", "column"], ["zeros"]),
        node("Add", ["zeros", "corners"], ["boxes"]),
        node("Add", ["zeros", "numbers"], ["raw"]),
        node("Softmax", ["raw"], ["scores"], axis=-1) if last == "Softmax" else node(last, ["raw"], ["scores"]),
    ]
    constants = {
        "nothing": np.array(0, np.float32), "column": np.array([-1, 1, 1]), "corners": corners[None],
        "numbers": generator.normal(0, 3, (1, 20, 5)).astype(np.float32),
    }  # fmt: skip
    outputs: dict[str, wild.Kind] = {"scores": (FLOAT, ["n", 20, 5]), "boxes": (FLOAT, ["n", 20, 4])}
    made = graph(nodes, {"image": (FLOAT, ["n", 3, 32, 32])}, outputs, constants)
    (tmp_path / "l.txt").write_text("\n".join(LABELS[:labels]))
    result, said = started(tmp_path, made, "--norm", "unit", "--labels", tmp_path / "l.txt")
    assert result.exit_code == 0, result.output
    detection = said["outputs"]["detection"]
    assert (detection["format"], detection["unit"]) == ("xyxy", "input")
    assert (detection.get("background"), detection["activation"]) == (background, activation)


def test_tensorflows_detectors_are_known_by_name(tmp_path: Path) -> None:
    names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
    arrays = [np.zeros((1, 5, 4)), np.zeros((1, 5)), np.ones((1, 5)), np.full(1, 5.0)]
    nodes = [node("Identity", [f"{name}_"], [name]) for name in names]
    weights = {f"{name}_": array.astype(np.float32) for name, array in zip(names, arrays, strict=True)}
    outputs: dict[str, wild.Kind] = {
        name: (FLOAT, list(array.shape)) for name, array in zip(names, arrays, strict=True)
    }
    made = graph(nodes, {"input_tensor": (BYTE, [1, "height", "width", 3])}, outputs, weights)
    (tmp_path / "l.txt").write_text("cat\ndog")
    result, said = started(tmp_path, made, "--labels", tmp_path / "l.txt", "--set", "inputs.image.resize=")
    assert result.exit_code == 0, result.output
    detection = said["outputs"]["detection"]
    assert (detection["format"], detection["unit"], detection["first"]) == ("yxyx", "input", 1)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [silero, decoder])
def test_graphs_with_state_are_refused(tmp_path: Path, make: Any) -> None:
    with pytest.raises(BundleError, match="keeps state between calls"):
        started(tmp_path, make())


def test_operators_that_are_not_there_are_named(tmp_path: Path) -> None:
    made = classifier()
    made.graph.node.append(node("Tokenize", ["pixels"], ["t"], domain="ai.onnx.contrib"))
    made.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))
    with pytest.raises(BundleError, match=r"calls ai\.onnx\.contrib:Tokenize"):
        started(tmp_path, made)


def test_weights_in_files_come_along(tmp_path: Path, labels: Path) -> None:
    onnx.save(classifier(), tmp_path / "any.onnx", save_as_external_data=True, location="any.bin", size_threshold=0)
    result = run(tmp_path / "any.onnx", tmp_path / "made", "--norm", "unit", "--labels", labels)
    assert result.exit_code == 0, result.output
    assert "any.bin" in read(tmp_path / "made").manifest.sha256
    (tmp_path / "any.bin").unlink()
    assert "any.bin" in str(run(tmp_path / "any.onnx", tmp_path / "more").exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--norm", "imagnet"], "--norm imagnet: it is one of imagenet, inception, clip, unit, none"),
        (["--resize", "squash"], "--resize squash: it is one of exact"),
        (["--channels", "GBR"], "--channels"),
        (["--task", "segmentation"], "--task"),
        (["--output", "y"], "--output y: the graph gives logits"),
        (["--labels", "three.txt"], "--labels: 3 of them, but output 'logits' has 5 classes"),
        (["--labels", "gone.txt"], "--labels gone.txt: not readable"),
        (["--task", "detection"], "no boxes among the graph's outputs"),
        (["--set", "inputs"], "--set inputs: KEY.KEY=VALUE"),
        (["--set", "inputs.image.std=["], "is not YAML"),
        (["--mean", "a"], "a: numbers, with commas between them"),
        (["--tokenizer", "gone.json"], None),
    ],
)
def test_options_that_make_no_sense_say_what_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], words: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    if words is None:
        started(tmp_path, classifier(), *options)
        return
    with pytest.raises(BundleError) as refusal:
        started(tmp_path, classifier(), *options)
    assert words in str(refusal.value)


def test_folders_are_not_written_over_unless_told(tmp_path: Path) -> None:
    started(tmp_path, classifier())
    with pytest.raises(BundleError, match="not empty; --force writes over"):
        started(tmp_path, classifier())
    started(tmp_path, classifier(), "--force")
    with pytest.raises(BundleError, match="which is to be written; give another folder"):
        run_or_raise(tmp_path / "made" / "model.onnx", tmp_path / "made", "--force")


def run_or_raise(*arguments: str | Path) -> None:
    result = run(*arguments)
    if result.exception:
        raise result.exception


def test_a_manifest_finished_by_hand_that_does_not_fit_says_why(tmp_path: Path, labels: Path) -> None:
    started(tmp_path, classifier(), "--norm", "unit", "--labels", labels)
    file = tmp_path / "made" / "manifest.yaml"
    file.write_text(file.read_text().replace("height: 24", "height: 25"))
    result = CliRunner().invoke(app, ["finish", str(tmp_path / "made")])
    assert isinstance(result.exception, BundleError)
    assert "'pixels' is made 3 x 25 x 32, but the graph takes 3 x 24 x 32" in str(result.exception)


def test_help_teaches_every_option() -> None:
    shown = CliRunner().invoke(app, ["onnx", "--help"], terminal_width=200).output
    for option in (
        "--as",
        "--constant",
        "--tokenizer",
        "--norm",
        "--resize",
        "--labels",
        "--set",
        "--example",
        "--task",
    ):
        assert option in shown


def test_a_manifest_in_the_making_is_yaml_whatever_its_values(tmp_path: Path) -> None:
    draft = Draft("made")
    draft.put(("constants", "a.b:0"), [1, 2.5], Origin.GIVEN)
    draft.put("inputs.text.kind", "text: #1", Origin.GUESS, "a # in a reason")
    draft.ask("outputs.y.labels", "names")
    assert yaml.safe_load(draft.text()) == draft.document()
    assert unknowns(draft.text()) == ["line 10: labels: ??? (COMPLETE: names)"]
    draft.assign(["outputs.y.labels=[a, b]", "constants="])
    assert draft.document()["outputs"] == {"y": {"labels": ["a", "b"]}}
    assert "constants" not in draft.document()


# -- the page ---------------------------------------------------------------------------------------------------------

PAGE = (ROOT / "models/importers/README.md").read_text()
COMMANDS = [line for line in PAGE.splitlines() if line.startswith("python -m models import onnx ")]


def ultraface() -> onnx.ModelProto:
    """240 x 320 pixels -> 4420 priors, a face or none, corners as shares."""
    corners = generator.uniform(0, 0.5, (1, 4420, 4)).astype(np.float32)
    corners[..., 2:] += corners[..., :2]
    chances = generator.uniform(0, 1, (1, 4420, 1)).astype(np.float32)
    nodes = [node("Identity", ["chances"], ["scores"]), node("Identity", ["corners"], ["boxes"])]
    weights = {"chances": np.concatenate([1 - chances, chances], 2), "corners": corners}
    outputs: dict[str, wild.Kind] = {"scores": (FLOAT, [1, 4420, 2]), "boxes": (FLOAT, [1, 4420, 4])}
    return graph(nodes, {"input": (FLOAT, [1, 3, 240, 320])}, outputs, weights)


def dnsmos() -> onnx.ModelProto:
    """9.01 s at 16 kHz -> three numbers: here 1 + loudness, 2 and 3."""
    nodes = [
        node("Mul", ["input_1", "input_1"], ["squares"]),
        node("ReduceMean", ["squares"], ["power"], axes=[1]),
        node("Sqrt", ["power"], ["loudness"]),
        node("Mul", ["loudness", "first"], ["louder"]),
        node("Add", ["louder", "base"], ["Identity:0"]),
    ]
    weights = {"first": np.array([[1, 0, 0]], np.float32), "base": np.array([[1, 2, 3]], np.float32)}
    return graph(nodes, {"input_1": (FLOAT, [1, 144160])}, {"Identity:0": (FLOAT, [1, 3])}, weights)


def yolox() -> onnx.ModelProto:
    """640 x 640 pixels -> 8400 cells of 3 classes."""
    table = generator.uniform(-1, 1, (1, 8400, 8)).astype(np.float32)
    table[..., 4:] = np.abs(table[..., 4:])
    return graph(
        [node("Identity", ["table"], ["output"])],
        {"images": (FLOAT, [1, 3, 640, 640])},
        {"output": (FLOAT, [1, 8400, 8])},
        {"table": table},
    )


GRAPHS = {"resnet": classifier, "yolox_s": yolox, "version-RFB-320": ultraface, "sig_bak_ovr": dnsmos}
NAMES = {"classes": LABELS, "coco": ["person", "car", "dog"], "face": ["face"], "dnsmos": ["SIG", "BAK", "OVRL"]}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[5])
def test_commands_of_the_page_make_bundles_that_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, lines in NAMES.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    arguments = shlex.split(command)[4:]
    onnx.save(GRAPHS[arguments[1].removesuffix(".onnx")](), tmp_path / arguments[1])
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    made = read(tmp_path / arguments[2])
    model = Model(made)
    row = model.encode(made.example().parts, {})
    answer = model.decode(row | model.run([row])[0], made.manifest.inputs)["outputs"]
    assert len(next(iter(next(iter(answer.values())).values()))) > 0


def test_there_are_commands_on_the_page() -> None:
    assert {shlex.split(command)[5].removesuffix(".onnx") for command in COMMANDS} == GRAPHS.keys()


def test_a_judge_of_speech_is_served_with_its_polynomials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNSMOS: a short recording is repeated to fill the window, a long one keeps its head."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dnsmos.txt").write_text("\n".join(NAMES["dnsmos"]))
    onnx.save(dnsmos(), tmp_path / "sig_bak_ovr.onnx")
    command = next(command for command in COMMANDS if "dnsmos" in command)
    assert CliRunner().invoke(app, shlex.split(command)[4:]).exit_code == 0
    with serve(tmp_path / "bundles" / "dnsmos") as server:
        for seconds in (0.5, 12):
            sound = senses.wav(0.25, seconds, 16000)
            values = server.predict(audio=sound).raise_for_status().json()["outputs"]["regression"]["values"]
            polynomials = [[-0.08397278, 1.22083953, 0.0052439], [-0.13166888, 1.60915514, -0.39604546],
                           [-0.06766283, 1.11546468, 0.04602535]]  # fmt: skip
            expected = [np.polyval(each, x) for each, x in zip(polynomials, (1.25, 2, 3), strict=True)]
            np.testing.assert_allclose(list(values.values()), expected, atol=1e-4)
            assert list(values) == NAMES["dnsmos"]
