"""python -m models import huggingface: layouts, refusals and warnings, in an installation that has only what serves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.importers.huggingface.convert import convert
from models.importers.huggingface.similar import scalar
from service.bundle import Bundle, read
from service.errors import BundleError
from service.model import Model
from tests.process import ROOT
from tests.senses import png

ABSENT = (
    "torch",
    "onnx",
    "transformers",
    "librosa",
    "numba",
    "scipy",
    "sklearn",
    "safetensors",
    "pyarrow",
    "matplotlib",
)
PROCESSOR = {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}}
CONFIG = {
    "architectures": ["ViTForImageClassification"],
    "model_type": "vit",
    "id2label": {"1": "red", "0": "blue", "2": "green"},
}


def graph(file: Path, *, classes: int = 3, external: str = "") -> None:
    """logits (B, classes): the colours' means, in another order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    matrix = np.arange(3 * classes, dtype=np.float32).reshape(3, classes)
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
    ]
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "means",
            [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 8, 8])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
            [numpy_helper.from_array(matrix, "matrix")],
        ),
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 18)],
    )
    if external:
        onnx.save_model(made, file, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(made, file)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    graph(folder / "model.onnx")
    put(folder, "config.json", CONFIG)
    put(folder, "preprocessor_config.json", PROCESSOR)
    return folder


def put(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def imported(folder: Path, variant: str | None = None) -> tuple[Bundle, list[str]]:
    said: list[str] = []
    return convert(folder, folder.parent / "bundles" / "made", said.append, variant=variant), said


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as error:
        imported(folder)
    assert not (folder.parent / "bundles" / "made").exists()
    return str(error.value)


def test_the_installation_that_serves_is_enough(export: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.modules |= dict.fromkeys({ABSENT!r}); from models.__main__ import main; main()"
    command = [sys.executable, "-c", code, "import", "huggingface", str(export), str(tmp_path / "colours")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    assert "proven against Braid" in run.stdout
    bundle = read(tmp_path / "colours")
    assert bundle.manifest.name == "colours"
    assert list(bundle.manifest.outputs) == ["classification"]
    assert bundle.manifest.labels() == {"classification": ["blue", "red", "green"]}
    assert "The example's row was made by Braid." in bundle.card


def test_what_the_user_can_put_right_is_one_line(export: Path, tmp_path: Path) -> None:
    (export / "preprocessor_config.json").unlink()
    command = [sys.executable, "-m", "models", "import", "huggingface", str(export), str(tmp_path / "made")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "preprocessor_config.json" in run.stderr


@pytest.mark.parametrize("layout", ["flat", "bot", "hub", "inside"])
def test_layouts(export: Path, layout: str) -> None:
    """optimum's, the export bot's, transformers.js', and its onnx/ alone."""
    inner = export / "onnx"
    inner.mkdir()
    moved = {"flat": (), "bot": ("model.onnx", "config.json", "preprocessor_config.json")}.get(layout, ("model.onnx",))
    for name in moved:
        (export / name).rename(inner / name)
    bundle, said = imported(inner if layout == "inside" else export)
    assert not said
    assert Model(bundle).encode({"image": png(255)}, {})["pixel_values"].max() == 1


def test_the_most_precise_graph_is_taken_unless_another_is_asked_for(export: Path) -> None:
    (export / "onnx").mkdir()
    (export / "model.onnx").rename(export / "onnx" / "model_quantized.onnx")
    graph(export / "onnx" / "model_fp16.onnx")
    assert imported(export)[1] == ["model_fp16.onnx: no float32 graph beside it; --variant takes quantized, too"]
    graph(export / "onnx" / "model.onnx")
    bundle, said = imported_again(export)
    assert not said
    bundle, _ = imported_again(export, "quantized")
    assert bundle.graph.read_bytes() == (export / "onnx" / "model_quantized.onnx").read_bytes()
    with pytest.raises(BundleError, match=r"no variant 'q4' of .*; there is fp16, model, quantized"):
        imported_again(export, "q4")


def imported_again(folder: Path, variant: str | None = None) -> tuple[Bundle, list[str]]:
    said: list[str] = []
    to = folder.parent / "bundles" / "made"
    return convert(folder, to, said.append, variant=variant, force=True), said


def test_a_bundle_is_not_written_over_unless_asked_for(export: Path) -> None:
    imported(export)
    with pytest.raises(BundleError, match="not empty; --force"):
        imported(export)
    imported_again(export)


def test_weights_in_another_file_travel_along_and_become_readable(export: Path) -> None:
    graph(export / "model.onnx", external="model.onnx_data")
    (export / "model.onnx_data").chmod(0o600)
    bundle, _ = imported(export)
    assert (bundle.folder / "model.onnx_data").stat().st_mode & 0o044
    assert "model.onnx_data" in bundle.manifest.sha256


def test_weights_that_are_missing_or_unreadable_are_named(export: Path) -> None:
    graph(export / "model.onnx", external="weights.bin")
    if os.geteuid():
        (export / "weights.bin").chmod(0)
        assert "weights.bin: not readable (mode 0000); run `chmod a+r" in refused(export)
    (export / "weights.bin").unlink()
    assert "its weights are in weights.bin, which is not beside it" in refused(export)


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "preprocessor_config.json"])
def test_a_pointer_of_git_lfs_is_named_as_such(export: Path, name: str) -> None:
    (export / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert f"{name}: a git-LFS pointer, not the file; run `git lfs pull`" in refused(export)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("config.json", {**CONFIG, "id2label": {"0": "a", "1": "b"}}, "id2label names 2 labels, but the graph gives 3"),
        ("config.json", {**CONFIG, "id2label": ["a"]}, "config.json: id2label: its keys are not numbers; mend it"),
        ("config.json", {**CONFIG, "architectures": ["ViTForMaskedLM"]}, "ViTForMaskedLM fills in words"),
        ("preprocessor_config.json", {"image_processor_type": "FooImageProcessor"}, "'Foo' is not among those"),
        (
            "preprocessor_config.json",
            {**PROCESSOR, "size": {"height": 9, "width": 9}},
            "is made 3 x 9 x 9, but the graph takes 3 x 8 x 8",
        ),
        ("preprocessor_config.json", {"feature_extractor_type": "FooFeatureExtractor"}, "'Foo' is not among those"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(export: Path, name: str, content: Any, why: str) -> None:
    put(export, name, content)
    assert why in refused(export)


def test_names_and_axes_of_tensorflow_are_understood(export: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input_1:0", "axes"], ["means"], keepdims=0),
        helper.make_node("Identity", ["means"], ["Identity:0"]),
    ]
    made = helper.make_graph(
        nodes, "means",
        [helper.make_tensor_value_info("input_1:0", TensorProto.FLOAT, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("Identity:0", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.array([1, 2]), "axes")],
    )  # fmt: skip
    onnx.save(
        helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 18)]), export / "model.onnx"
    )
    bundle, said = imported(export)
    assert not said
    loaded = Model(bundle)
    answer = loaded.run([loaded.encode({"image": png(255)}, {})])[0]
    np.testing.assert_allclose(answer["Identity:0"], [1, 1, 1])
    assert bundle.manifest.outputs["classification"].tensors() == ["Identity:0"]


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "preprocessor_config.json"])
def test_a_missing_file_is_named(export: Path, name: str) -> None:
    (export / name).unlink()
    assert name.split(".")[-1] in refused(export)


def test_broken_json_is_named(export: Path) -> None:
    (export / "config.json").write_text("{")
    assert "config.json: not JSON" in refused(export)


def test_a_name_that_cannot_be_is_refused(export: Path) -> None:
    with pytest.raises(BundleError, match="cannot be a model's name"):
        convert(export, export.parent / "a b", lambda line: None)


def test_weights_that_are_no_safetensors_are_named(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_text("xx")
    with pytest.raises(BundleError, match=r"model.safetensors: not a .safetensors file; fetch it again"):
        scalar(file, "logit_scale")
