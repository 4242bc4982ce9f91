"""A detector that cannot err, served: its boxes lie where the thing is in the picture that the client has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service import bundle
from service.model import Model
from tests.process import Server, serve
from tests.senses import node
from tests.test_geometry import Box, drawn

LETTERBOX = {
    "resize": {"to": "fit", "height": 96, "width": 128},
    "pad": {"height": 96, "width": 128, "value": 114, "position": "middle"},
    "channels": "BGR",
}
WAYS: dict[str, dict[str, Any]] = {
    "letterbox": LETTERBOX,
    "crop-half": {"resize": {"to": "shortest", "edge": 128}, "crop": {"height": 112, "width": 112}, "layout": "hwc"},
    "masked": {"resize": {"to": "shortest", "edge": 80, "longest": 133}, "tensors": {"pixels": "x", "mask": "mask"}},
}
BOX: Box = (150, 90, 190, 130)


def write(folder: Path, name: str) -> bundle.Bundle:
    folder.mkdir(parents=True)
    image = {"kind": "image", "scale": 1 / 255, "tensors": {"pixels": "x"}, **WAYS[name]}
    detection = {"kind": "detection", "pixels": "x", "boxes": "boxes", "scores": "scores", "labels": ["it"]}
    spec = bundle.Manifest.model_validate(
        {"schema": 1, "name": name, "inputs": {"image": image}, "outputs": {"found": detection}}
    )
    onnx.save(graph(name), folder / "model.onnx")
    model = Model(bundle.Bundle(folder=folder, manifest=spec))
    data = drawn(320, 240, BOX)
    row = model.encode({"image": data}, {})
    return bundle.write(folder, spec, {"image": ("png", data)}, row, model.run([row])[0])


def graph(name: str) -> onnx.ModelProto:
    """boxes (B, 1, 4): the first and the last bright column and row; scores (B, 1, 1): the brightest."""
    half, masked, hwc = name == "crop-half", name == "masked", WAYS[name].get("layout") == "hwc"
    shape: list[str | int | None] = ["batch", "height", "width", 3] if hwc else ["batch", 3, "height", "width"]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT16 if half else TensorProto.FLOAT, shape)]
    nodes = [node("Cast", "x", "real", to=TensorProto.FLOAT)]
    nodes.append(node("ReduceMin", "real channels", "grey", keepdims=0))  # (B, H, W): white only
    if masked:
        inputs.append(helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", "height", "width"]))
        nodes += [node("Cast", "mask", "there", to=TensorProto.FLOAT), node("Mul", "grey there", "seen")]
    else:
        nodes.append(node("Identity", "grey", "seen"))
    for side, axis in (("x", "one"), ("y", "two")):
        nodes += [
            node("ReduceMax", f"seen {axis}", f"{side}s", keepdims=0),
            node("Greater", f"{side}s threshold", f"{side}_bright"),
            node("Cast", f"{side}_bright", f"{side}_number", to=TensorProto.INT32),
            node("ArgMax", f"{side}_number", f"{side}_first", axis=1),
            node("ArgMax", f"{side}_number", f"{side}_last", axis=1, select_last_index=1),
            node("Add", f"{side}_last one", f"{side}_end"),
        ]
    nodes += [
        node("Concat", "x_first y_first x_end y_end", "corners", axis=1),
        node("Cast", "corners", "numbers", to=TensorProto.FLOAT),
        node("Unsqueeze", "numbers one", "boxes"),
        node("ReduceMax", "seen both", "brightest", keepdims=1),
        node("Identity", "brightest", "scores"),
    ]
    constants: dict[str, NDArray[Any]] = {
        "channels": np.array([3 if hwc else 1]), "one": np.array([1]), "two": np.array([2]), "both": np.array([1, 2]),
        "threshold": np.array(0.7, np.float32),
    }  # fmt: skip
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, None]) for name in ("boxes", "scores")
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    made = helper.make_graph(nodes, name, inputs, outputs, weights)
    return helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bundle.Bundle]:
    folder = tmp_path_factory.mktemp("detectors")
    return {name: write(folder / name, name) for name in WAYS}


@pytest.fixture(scope="module")
def server(bundles: dict[str, bundle.Bundle]) -> Iterator[Server]:
    with serve(*(made.folder for made in bundles.values())) as running:
        yield running


def box(answer: dict[str, Any]) -> NDArray[Any]:
    (found,) = answer["outputs"]["found"]["detections"]
    assert found["label"] == "it"
    assert found["score"] == pytest.approx(1, abs=1e-3)
    return np.array(found["box"])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(320, 240), (240, 320), (333, 221)])
@pytest.mark.parametrize("name", WAYS)
def test_boxes_lie_where_the_thing_is(server: Server, name: str, size: tuple[int, int], orientation: int) -> None:
    there = (size[0] // 2 - 20, size[1] // 2 - 30, size[0] // 2 + 40, size[1] // 2 + 10)
    files = {"image": drawn(*size, there, orientation)}
    answer = server.client.post(f"/v1/models/{name}/predict", files=files)
    assert answer.status_code == 200, answer.text
    assert np.abs(box(answer.json()) - there).max() <= 4  # a pixel of the smallest input is 2.5 of the picture


def test_pictures_of_several_sizes_share_a_batch_and_none_sees_the_other(bundles: dict[str, bundle.Bundle]) -> None:
    model = Model(bundles["masked"])
    sizes = [(320, 240), (240, 320), (300, 300), (90, 120)]
    rows = [model.encode({"image": drawn(*size, (20, 30, 60, 70))}, {}) for size in sizes]
    assert len({row["x"].shape for row in rows}) == 3
    assert len(model.engine.lanes[0].collate.groups(rows)) < 3
    for row, together in zip(rows, model.run(rows), strict=True):
        alone = model.run([row])[0]
        np.testing.assert_array_equal(together["boxes"], alone["boxes"])
        np.testing.assert_allclose(box(model.decode(row | alone, ["image"])), (20, 30, 60, 70), atol=4)
