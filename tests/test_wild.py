"""Graphs that other exporters made: served exactly, or refused by name before the first request."""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper
from PIL import Image

from service import bundle
from service.bundle import Bundle
from service.errors import BundleError
from service.model import Model
from tests import senses, wild
from tests.process import Server, braid, serve
from tests.wild import BOOL, FLOAT, HALF, SHORT, WHOLE, graph, image, means

node = helper.make_node


def png(red: int, green: int, blue: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (31, 17), (red, green, blue)).save(out, "PNG")
    return out.getvalue()


PICTURE = {"image": ("png", png(255, 51, 0))}
TEXT = {"text": ("txt", b"a b c")}
PIXELS = {"pixels": (FLOAT, ["n", 3, 4, 6])}
MEANS = [node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0)]
PARTS = {"image": image(scale=1 / 255, tensors={"pixels": "pixels"})}


def tokens(folder: Path) -> None:
    folder.mkdir(parents=True)
    senses.tokenizer().save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """uint8, NHWC, a static batch of 1, names with colons."""
    parts = {"image": image(layout="hwc", dtype="uint8", tensors={"pixels": "serving_default_x:0"})}
    folder = tmp_path_factory.mktemp("wild") / "keras"
    return wild.write(folder, wild.keras(), {"inputs": parts, "outputs": means("Identity:0")}, PICTURE)


@pytest.fixture(scope="module")
def mixing(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The rows of a batch are averaged, so it must never see two."""
    nodes = [*MEANS[:0], node("ReduceMean", ["pixels"], ["all"], axes=[0, 2, 3], keepdims=0)]
    nodes += [node("Shape", ["pixels"], ["sizes"], end=1), node("Concat", ["sizes", "three"], ["shape"], axis=0)]
    nodes += [node("Expand", ["all", "shape"], ["means"])]
    made = graph(nodes, PIXELS, {"means": (FLOAT, ["n", 3])}, {"three": np.array([3], np.int64)})
    folder = tmp_path_factory.mktemp("wild") / "mixing"
    return wild.write(folder, made, {"inputs": PARTS, "batch": 1, "outputs": means()}, PICTURE)


@pytest.fixture(scope="module")
def unbatched(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """No batch axis anywhere, as torchvision's detectors: (3, H, W) -> as many boxes as are asked for by the red."""
    nodes = [
        node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        node("Slice", ["mean", "zero", "one"], ["red"]),
        node("Cast", ["red"], ["count"], to=WHOLE),
        node("Concat", ["count", "four"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["ones"], value=helper.make_tensor("v", FLOAT, [1], [1.0])),
        node("Mul", ["ones", "corners"], ["boxes"]),
        node("ReduceMax", ["ones"], ["scores"], axes=[1], keepdims=0),
        node("Cast", ["scores"], ["labels"], to=WHOLE),
    ]
    made = graph(
        nodes,
        {"pixels": (FLOAT, [3, "height", "width"])},
        {"boxes": (FLOAT, ["found", 4]), "labels": (WHOLE, ["found"]), "scores": (FLOAT, ["found"])},
        {
            "zero": np.array([0], np.int64),
            "one": np.array([1], np.int64),
            "four": np.array([4], np.int64),
            "corners": np.array([[1, 2, 3, 4]], np.float32),
        },
    )
    found = {"kind": "detection", "pixels": "pixels", "boxes": "boxes", "scores": "scores", "classes": "labels"}
    return wild.write(
        tmp_path_factory.mktemp("wild") / "unbatched",
        made,
        {
            "inputs": {"image": {"kind": "image", "tensors": {"pixels": "pixels"}}},
            "whole": ["pixels", "boxes", "labels", "scores"],
            "outputs": {"found": found | {"labels": ["none", "box"]}},
        },
        {"image": ("png", png(2, 0, 0))},
    )


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """float16 in and out; the vector's squares are beyond what float16 can hold."""
    nodes = [*MEANS, node("Mul", ["means", "large"], ["vector"])]
    outputs = {"means": (HALF, ["n", 3]), "vector": (HALF, ["n", 3])}
    made = graph(nodes, {"pixels": (HALF, ["n", 3, 4, 6])}, outputs, {"large": np.array(1000, np.float16)})
    kinds = {
        "colour": {"kind": "classification", "tensor": "means", "labels": ["r", "g", "b"], "activation": "softmax"},
        "vector": {"kind": "embedding", "tensor": "vector", "normalize": True},
    }
    folder = tmp_path_factory.mktemp("wild") / "half"
    return wild.write(folder, made, {"inputs": PARTS, "outputs": kinds}, PICTURE)


@pytest.fixture(scope="module")
def server(keras: Bundle, mixing: Bundle, unbatched: Bundle, half: Bundle) -> Iterator[Server]:
    with serve(keras.folder, mixing.folder, unbatched.folder, half.folder) as running:
        yield running


@pytest.mark.parametrize("model", ["keras", "mixing"])
def test_a_graph_that_takes_one_row_gives_each_request_its_own_answer_under_load(server: Server, model: str) -> None:
    colours = [(i * 5, 255 - i * 3, i) for i in range(48)]

    def ask(colour: tuple[int, int, int]) -> list[float]:
        answer = server.predict(model=model, image=png(*colour)).raise_for_status().json()
        return list(answer["outputs"]["means"]["values"].values())

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, colours))
    np.testing.assert_allclose(answers, np.array(colours) / 255, atol=1e-6)


def test_tensors_of_all_names_are_served_raw_and_by_the_open_protocol(server: Server) -> None:
    raw = server.predict(model="keras", image=png(255, 0, 51), query="?raw=true").json()["raw"]
    np.testing.assert_allclose(raw["Identity:0"], [1, 0, 0.2], atol=1e-7)
    pixels = {"name": "serving_default_x:0", "shape": [1, 4, 6, 3], "datatype": "UINT8", "data": [255, 0, 51] * 24}
    answer = server.client.post("/v2/models/keras/infer", json={"inputs": [pixels]}).raise_for_status().json()
    np.testing.assert_allclose(answer["outputs"][0]["data"], [1, 0, 0.2], atol=1e-7)


def test_a_graph_without_batch_axes_answers_with_as_many_boxes_as_it_finds(server: Server) -> None:
    for count in (0, 1, 3):
        answer = server.predict(model="unbatched", image=png(count, 0, 0)).raise_for_status().json()
        entry = {"label": "box", "score": 1.0, "box": [1, 2, 3, 4]}
        assert answer["outputs"]["found"]["detections"] == [entry] * count


def test_halves_are_computed_with_as_floats(server: Server) -> None:
    answer = server.predict(model="half", image=png(255, 51, 0)).raise_for_status().json()["outputs"]
    found = np.array([entry["score"] for entry in answer["colour"]["top"]])
    logits = np.array([1, 0.2, 0], np.float16).astype(float)
    np.testing.assert_allclose(found, np.exp(logits) / np.exp(logits).sum(), rtol=1e-6)
    vector = np.array([1000, 200, 0]) / np.hypot(1000, 200)
    np.testing.assert_allclose(answer["vector"]["embedding"], vector, rtol=1e-3)


def test_batches_of_a_mixing_graph_would_be_wrong(mixing: Bundle) -> None:
    """The fixture does mix: without `batch: 1` the answers are those of others."""
    spec = mixing.manifest.model_copy(update={"batch": None})
    model = Model(mixing.model_copy(update={"manifest": spec}))
    rows = [model.encode({"image": png(*colour)}, {}) for colour in ((255, 0, 0), (0, 0, 0))]
    assert model.run(rows)[0]["means"][0] == pytest.approx(0.5)


# -- what a graph wants that no part feeds ----------------------------------------------------------------------------


def with_constants(folder: Path, constants: dict[str, Any]) -> Bundle:
    """means x keep + longer + offsets + shift: of a scalar, a column of the batch, a whole vector, one for each row."""
    nodes = [
        *MEANS,
        node("Mul", ["means", "keep"], ["kept"]),
        node("Cast", ["longer"], ["one"], to=FLOAT),
        node("Add", ["kept", "one"], ["a"]),
        node("Cast", ["offsets"], ["real"], to=FLOAT),
        node("Add", ["a", "real"], ["b"]),
        node("Add", ["b", "shift"], ["sum"]),
    ]
    more: dict[str, wild.Kind] = {
        "keep": (FLOAT, []),
        "longer": (BOOL, ["n", 1]),
        "offsets": (WHOLE, [3]),
        "shift": (FLOAT, ["n", 3]),
    }
    made = graph(nodes, {**PIXELS, **more}, {"sum": (FLOAT, ["n", 3])})
    return wild.write(folder, made, {"inputs": PARTS, "constants": constants, "outputs": means("sum")}, PICTURE)


CONSTANTS = {"keep": 0.5, "longer": True, "offsets": [10, 20, 30], "shift": [0.25, 0.5, 0.75]}


def test_constants_are_fed_whole_or_to_each_row(tmp_path: Path) -> None:
    model = Model(with_constants(tmp_path / "constants", CONSTANTS))
    assert list(model.engine.inputs) == ["pixels"]
    rows = [model.encode({"image": png(*colour)}, {}) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    expected = np.eye(3) / 2 + 1 + [10.25, 20.5, 30.75]
    np.testing.assert_allclose([row["sum"] for row in model.run(rows)], expected, rtol=1e-6)
    np.testing.assert_allclose(model.run(rows[:1])[0]["sum"], expected[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offsets": 7.5}, "offsets: 7.5 is no int64, which the graph takes"),
        ({"offsets": [1, 2]}, r"offsets: a value of shape \(2,\), but the graph takes \(3,\)"),
        ({"shift": [[1, 2, 3]]}, r"shift: a value of shape \(1, 3\), but the graph takes \(3,\)"),
        ({"longer": 2}, "longer: 2 is no bool"),
        ({"dropout": 0}, "constants: no 'dropout'; the graph has pixels, keep, longer, offsets, shift"),
        ({"shift": ["a"]}, "shift: .* is no float32"),
        ({"shift": [[1], [2, 3]]}, "shift: .* is no float32"),
    ],
)
def test_a_constant_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        with_constants(tmp_path / "constants", CONSTANTS | change)


def test_an_input_that_nothing_feeds_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no part feeds the graph's inputs 'keep'; a value under constants would"):
        with_constants(tmp_path / "constants", {name: CONSTANTS[name] for name in ("longer", "offsets", "shift")})


def test_the_open_protocol_does_not_ask_for_constants(tmp_path: Path) -> None:
    with serve(with_constants(tmp_path / "constants", CONSTANTS).folder) as server:
        described = server.client.get("/v2/models/constants").json()
        assert [each["name"] for each in described["inputs"]] == ["pixels"]
        pixels = {"name": "pixels", "shape": [2, 3, 4, 6], "datatype": "FP32", "data": [0.5] * 72 + [0.0] * 72}
        answer = server.client.post("/v2/models/constants/infer", json={"inputs": [pixels]}).raise_for_status().json()
    assert answer["outputs"][0]["data"] == [11.5, 21.75, 32.0, 11.25, 21.5, 31.75]


# -- types and shapes -------------------------------------------------------------------------------------------------


def test_weights_that_are_inputs_too_need_no_part(tmp_path: Path) -> None:
    """As all graphs before ONNX's IR version 4."""
    nodes = [*MEANS, node("Mul", ["means", "weights"], ["scaled"])]
    inputs = PIXELS | {"weights": (FLOAT, [3])}
    made = graph(nodes, inputs, {"scaled": (FLOAT, ["n", 3])}, {"weights": np.array([1, 2, 3], np.float32)}, ir=3)
    model = Model(wild.write(tmp_path / "old", made, {"inputs": PARTS, "outputs": means("scaled")}, PICTURE))
    assert list(model.engine.inputs) == ["pixels"]
    row = model.encode({"image": png(255, 255, 255)}, {})
    np.testing.assert_allclose(model.run([row])[0]["scaled"], [1, 2, 3], rtol=1e-6)


@pytest.mark.parametrize(("kind", "mask"), [(SHORT, SHORT), (WHOLE, BOOL), (FLOAT, HALF), (SHORT, None)])
def test_ids_and_masks_of_any_type_are_cast(tmp_path: Path, kind: int, mask: int | None) -> None:
    """And a graph without a mask or token types asks for none."""
    inputs: dict[str, wild.Kind] = {"ids": (kind, ["n", "t"])}
    if mask:
        inputs["mask"] = (mask, ["n", "t"])
    nodes = [node("Cast", ["ids"], ["real"], to=FLOAT), node("ReduceSum", ["real", "last"], ["sum"])]
    if mask:
        nodes = [
            node("Cast", ["ids"], ["x"], to=FLOAT),
            node("Cast", ["mask"], ["m"], to=FLOAT),
            node("Mul", ["x", "m"], ["real"]),
            node("ReduceSum", ["real", "last"], ["sum"]),
        ]
    made = graph(nodes, inputs, {"sum": (FLOAT, ["n", 1])}, {"last": np.array([1], np.int64)})
    tokens(tmp_path / "text")
    tensors = {"ids": "ids"} | ({"mask": "mask"} if mask else {})
    described = {
        "inputs": {"text": {"kind": "text", "tensors": tensors}},
        "outputs": {"sum": {"kind": "regression", "tensor": "sum"}},
    }
    model = Model(wild.write(tmp_path / "text", made, described, TEXT))
    rows = [model.encode({"text": text}, {}) for text in (b"a b c", b"d", b"e f")]
    assert [float(row["sum"][0]) for row in model.run(rows)] == [6, 4, 11]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"resize": {"to": "exact", "height": 5, "width": 6}},
            "'pixels' is made 3 x 5 x 6, but the graph takes 3 x 4 x 6",
        ),
        ({"resize": {"to": "shortest", "edge": 6}}, "made 3 x any x any, but the graph takes 3 x 4 x 6"),
        ({"resize": None}, r"part 'image' \(resize to exact, crop and pad fix its size"),
        ({"layout": "hwc"}, "made 4 x 6 x 3, but the graph takes 3 x 4 x 6"),
        ({"mode": "L"}, "made 1 x 4 x 6, but the graph takes 3 x 4 x 6"),
        ({"crop": {"height": 4, "width": 4}}, "made 3 x 4 x 4,"),
        ({"pad": {"multiple_of": 5}}, "made 3 x 5 x 10,"),
        ({"pad": {"height": 8, "width": 6}}, "made 3 x 8 x 6,"),
    ],
)
def test_a_size_that_a_static_graph_does_not_take_is_told_with_both_sizes(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    made = graph(MEANS, PIXELS, {"means": (FLOAT, ["n", 3])})
    parts = {"image": PARTS["image"] | change}
    with pytest.raises(BundleError, match=words):
        wild.write(tmp_path / "static", made, {"inputs": parts, "outputs": means()}, PICTURE)


def test_numbers_that_a_graph_of_integers_would_cut_are_refused(tmp_path: Path) -> None:
    parts = {"image": image(scale=1 / 255, layout="hwc", tensors={"pixels": "serving_default_x:0"})}
    with pytest.raises(BundleError, match="'serving_default_x:0' is made of float32, the graph takes uint8"):
        wild.write(tmp_path / "cut", wild.keras(), {"inputs": parts, "outputs": means("Identity:0")}, PICTURE)


@pytest.mark.parametrize(
    ("features", "wanted", "words"),
    [
        ({"kind": "waveform"}, [1, 800], "made any, but the graph takes 800"),
        ({"kind": "waveform", "samples": 400}, [1, 800], "made 400, but the graph takes 800"),
        ({"kind": "waveform", "samples": 800}, [1, 800], None),
        ({"kind": "log_mel", "n_fft": 64, "hop": 32, "bank": None, "frames": 9}, [1, 33, 9], None),
        ({"kind": "log_mel", "n_fft": 64, "hop": 32, "bank": None, "energy": True, "frames": 9}, ["n", 34, "t"], None),
        ({"kind": "log_mel", "n_fft": 64, "hop": 32, "bank": None, "layout": "time_mel"}, ["n", "t", 33], None),
        ({"kind": "log_mel", "n_fft": 64, "hop": 32, "bank": None, "channel": True}, ["n", 1, 33, "t"], None),
        ({"kind": "log_mel", "n_fft": 64, "hop": 32, "bank": None, "copies": 4}, ["n", 4, 33, "t"], None),
        ({"kind": "log_mel", "n_fft": 64, "hop": 32, "bank": None}, ["n", 40, "t"], "made 33 x any, but"),
        ({"kind": "mfcc", "n_fft": 64, "hop": 32, "bank": None, "count": 13}, ["n", 13, "t"], None),
        ({"kind": "mfcc", "n_fft": 64, "hop": 32, "bank": None, "count": 13}, ["n", 20, "t"], "made 13 x any, but"),
    ],
)
def test_sounds_of_a_static_length_are_told_from_those_of_any(
    tmp_path: Path, features: dict[str, Any], wanted: list[Any], words: str | None
) -> None:
    axes = list(range(1, len(wanted)))
    nodes = [node("ReduceMean", ["x"], ["mean"], axes=axes, keepdims=0), node("Unsqueeze", ["mean", "last"], ["y"])]
    made = graph(nodes, {"x": (FLOAT, wanted)}, {"y": (FLOAT, [wanted[0], 1])}, {"last": np.array([1], np.int64)})
    parts = {"audio": {"kind": "audio", "sample_rate": 8000, "features": features, "tensors": {"features": "x"}}}
    described = {"inputs": parts, "outputs": {"y": {"kind": "regression", "tensor": "y"}}}
    sound = {"audio": ("wav", senses.wav(0.5))}
    if words is None:
        Model(wild.write(tmp_path / "sound", made, described, sound)).prove()
        return
    with pytest.raises(BundleError, match=words):
        wild.write(tmp_path / "sound", made, described, sound)


def test_a_window_that_is_always_filled_is_of_a_static_length(tmp_path: Path) -> None:
    nodes = [node("ReduceMean", ["x"], ["y"], axes=[1])]
    made = graph(nodes, {"x": (FLOAT, [1, 4000])}, {"y": (FLOAT, [1, 1])})
    audio = {"kind": "audio", "sample_rate": 8000, "max_seconds": 0.5, "min_seconds": 0.5}
    audio |= {"features": {"kind": "waveform"}, "tensors": {"features": "x"}}
    described = {"inputs": {"audio": audio}, "outputs": {"y": {"kind": "regression", "tensor": "y"}}}
    model = Model(wild.write(tmp_path / "sound", made, described, {"audio": ("wav", senses.wav(0.5))}))
    for seconds in (0.1, 0.5, 0.9):
        assert model.encode({"audio": senses.wav(0.5, seconds)}, {})["x"].shape == (4000,)


def test_a_text_of_a_static_length_is_asked_to_be_padded(tmp_path: Path) -> None:
    made = graph(
        [node("ReduceSum", ["ids", "last"], ["s"]), node("Cast", ["s"], ["sum"], to=FLOAT)],
        {"ids": (WHOLE, ["n", 8])},
        {"sum": (FLOAT, ["n", 1])},
        {"last": np.array([1], np.int64)},
    )
    tokens(tmp_path / "text")
    text: dict[str, Any] = {"kind": "text", "tensors": {"ids": "ids"}}
    described = {"inputs": {"text": text}, "outputs": {"sum": {"kind": "regression", "tensor": "sum"}}}
    with pytest.raises(BundleError, match=r"\(pad_to fixes its length\): 'ids' is made any, but the graph takes 8"):
        wild.write(tmp_path / "text", made, described, TEXT)
    text["pad_to"] = 8
    Model(wild.write(tmp_path / "text", made, described, TEXT)).prove()


def test_a_part_that_is_absent_leaves_enough_for_the_graphs_convolutions(tmp_path: Path) -> None:
    """Pictures and samples of any size, of which a convolution without padding needs some."""
    nodes = [
        node("Conv", ["pixels", "square"], ["patches"]), node("ReduceMax", ["patches"], ["brightest"], axes=[1, 2, 3]),
        node("Unsqueeze", ["samples", "one"], ["channel"]), node("Conv", ["channel", "wide"], ["frames"]),
        node("ReduceMax", ["frames"], ["loudest"], axes=[1, 2]), node("Flatten", ["brightest"], ["bright"]),
        node("Flatten", ["loudest"], ["loud"]), node("Concat", ["bright", "loud"], ["both"], axis=1),
        node("Mul", ["both", "present"], ["found"]),
    ]  # fmt: skip
    inputs: dict[str, Any] = {
        "pixels": (FLOAT, ["n", 3, "h", "w"]),
        "samples": (FLOAT, ["n", "t"]),
        "present": (FLOAT, ["n", 2]),
    }
    weights: dict[str, Any] = {
        "square": np.full((1, 3, 16, 16), 1 / 768, np.float32), "wide": np.eye(1, 400, dtype=np.float32)[None],
        "one": np.array([1], np.int64),
    }  # fmt: skip
    parts = {
        "image": {"kind": "image", "resize": {"to": "shortest", "edge": 20}, "tensors": {"pixels": "pixels"}},
        "audio": {"kind": "audio", "sample_rate": 8000, "features": {"kind": "waveform"},
                  "tensors": {"features": "samples"}},
    }  # fmt: skip
    said = {
        "inputs": parts, "missing": {"policy": "mask", "tensor": "present"},
        "outputs": {"found": {"kind": "regression", "tensor": "found", "names": ["bright", "loud"]}},
    }  # fmt: skip
    example: dict[str, tuple[str, bytes]] = {"image": ("png", png(9, 9, 9)), "audio": ("wav", senses.wav(0.5))}
    model = Model(wild.write(tmp_path / "any", graph(nodes, inputs, {"found": (FLOAT, ["n", 2])}, weights),
                             said, example))  # fmt: skip
    rows = [model.encode({part: data}, {}) for part, (_, data) in example.items()]
    found: Any = [row["found"] for row in (*model.run(rows[:1]), *model.run(rows[1:]), *model.run(rows))]
    wanted: Any = [[9, 0], [0, 0.5]] * 2
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_rows_of_different_size_never_share_a_run_of_a_graph_that_tells_no_shape(tmp_path: Path) -> None:
    made = graph(MEANS, {"pixels": (FLOAT, None)}, {"means": (FLOAT, ["n", 3])})
    parts = {"image": {"kind": "image", "scale": 1 / 255, "tensors": {"pixels": "pixels"}}}
    model = Model(wild.write(tmp_path / "vague", made, {"inputs": parts, "outputs": means()}, PICTURE))
    rows = [model.encode({"image": data}, {}) for data in (png(255, 0, 0), senses.png(255, (5, 4)))]
    np.testing.assert_allclose([row["means"] for row in model.run(rows)], [[1, 0, 0], [1, 1, 1]])


def test_outputs_that_are_no_tensors_are_left_aside(tmp_path: Path) -> None:
    """As scikit-learn's ZipMap makes them."""
    made = graph([*MEANS, node("ZipMap", ["means"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])], PIXELS,
                 {"means": (FLOAT, ["n", 3])})  # fmt: skip
    kind = helper.make_map_type_proto(WHOLE, helper.make_tensor_type_proto(FLOAT, []))
    made.graph.output.append(helper.make_value_info("z", helper.make_sequence_type_proto(kind)))
    model = Model(wild.write(tmp_path / "zip", made, {"inputs": PARTS, "outputs": means()}, PICTURE))
    assert list(model.engine.outputs) == ["means"]
    with pytest.raises(BundleError, match="output 'means': no tensor 'z'; the graph has 'means'"):
        wild.write(tmp_path / "zip", made, {"inputs": PARTS, "outputs": means("z")}, PICTURE)


@pytest.mark.parametrize("axis", ["found", None])
def test_an_output_without_a_batch_axis_is_told_to_be_named(tmp_path: Path, axis: str | None) -> None:
    nodes = [*MEANS, node("Transpose", ["means"], ["turned"], perm=[1, 0])]
    outputs: dict[str, wild.Kind] = {"means": (FLOAT, ["n", 3]), "turned": (FLOAT, [axis, "n"])}
    folder = tmp_path / "turned"
    wild.write(
        folder, graph(MEANS, PIXELS, {"means": (FLOAT, ["n", 3])}), {"inputs": PARTS, "outputs": means()}, PICTURE
    )
    onnx.save(graph(nodes, PIXELS, outputs), folder / "model.onnx")
    made = bundle.Manifest.model_validate({"schema": 1, "name": "turned", "inputs": PARTS, "outputs": means()})
    row, answer = bundle.arrays(folder / "example/row.npz"), bundle.arrays(folder / "example/outputs.npz")
    with pytest.raises(BundleError, match=r"output 'turned' is \(3, 1\) for one row; name it under whole"):
        Model(bundle.write(folder, made, PICTURE, row, answer)).prove()
    named = made.model_copy(update={"whole": ["turned"]})
    model = Model(bundle.write(folder, named, PICTURE, row, answer))
    model.prove()
    assert model.most == 1


# -- what cannot be served --------------------------------------------------------------------------------------------


def silero() -> onnx.ModelProto:
    """samples, state and rate -> probability and the next state, as Silero's voice detector."""
    nodes = [
        node("ReduceMean", ["input"], ["output"], axes=[1]),
        node("Add", ["state", "one"], ["stateN"]),
        node("Identity", ["sr"], ["rate"]),
    ]
    return graph(
        nodes,
        {"input": (FLOAT, ["n", "t"]), "state": (FLOAT, [2, "n", 128]), "sr": (WHOLE, [])},
        {"output": (FLOAT, ["n", 1]), "stateN": (FLOAT, [2, "n", 128])},
        {"one": np.array(1, np.float32)},
    )


def decoder() -> onnx.ModelProto:
    nodes = [
        node("Cast", ["ids"], ["logits"], to=FLOAT),
        node("Concat", ["past_key_values.0.key", "past_key_values.0.key"], ["present.0.key"], axis=2),
    ]
    return graph(
        nodes,
        {"ids": (WHOLE, ["n", "t"]), "past_key_values.0.key": (FLOAT, ["n", 2, "p", 4])},
        {"logits": (FLOAT, ["n", "t"]), "present.0.key": (FLOAT, ["n", 2, "q", 4])},
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (silero, "keeps state between calls ('state' is handed on as 'stateN')"),
        (decoder, "keeps state between calls ('past_key_values.0.key' is handed on as 'present.0.key')"),
    ],
)
def test_a_graph_with_state_is_refused_for_that(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], words: str
) -> None:
    tokens(tmp_path / "state")
    audio = {"kind": "audio", "sample_rate": 16000, "features": {"kind": "waveform"}, "tensors": {"features": "input"}}
    parts = {"audio": audio} if make is silero else {"text": {"kind": "text", "tensors": {"ids": "ids"}}}
    outputs = {"y": {"kind": "embedding", "tensor": "output" if make is silero else "logits"}}
    constants = {"sr": 16000} if make is silero else {}
    with pytest.raises(BundleError) as refusal:
        wild.write(tmp_path / "state", make(), {"inputs": parts, "constants": constants, "outputs": outputs}, TEXT)
    assert words in str(refusal.value)
    assert "answers each request by itself" in str(refusal.value)


def test_operators_that_onnxruntime_does_not_have_are_named(tmp_path: Path) -> None:
    made = graph([*MEANS, node("Unheard", ["means"], ["y"], domain="my.ops")], PIXELS, {"means": (FLOAT, ["n", 3])})
    made.opset_import.append(helper.make_opsetid("my.ops", 1))
    folder = tmp_path / "custom"
    wild.write(
        folder, graph(MEANS, PIXELS, {"means": (FLOAT, ["n", 3])}), {"inputs": PARTS, "outputs": means()}, PICTURE
    )
    onnx.save(made, folder / "model.onnx")
    resealed(folder, "model.onnx")
    run = braid("verify", folder)
    assert run.returncode == 2
    assert "calls my.ops:Unheard, which onnxruntime does not have" in run.stderr


# -- weights in files of their own ------------------------------------------------------------------------------------


def resealed(folder: Path, *files: str) -> None:
    """With the digests of what the files are now."""
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["sha256"] |= {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """The mean of each channel times 1, 2 and 3, which are in weights/model.onnx_data."""
    folder = tmp_path / "external"
    (folder / "weights").mkdir(parents=True)
    nodes = [*MEANS, node("Mul", ["means", "weights"], ["scaled"])]
    made = graph(nodes, PIXELS, {"scaled": (FLOAT, ["n", 3])}, {"weights": np.array([1, 2, 3], np.float32)})
    onnx.save(
        made, folder / "model.onnx", save_as_external_data=True, location="weights/model.onnx_data", size_threshold=0
    )
    return wild.write(folder, made, {"inputs": PARTS, "outputs": means("scaled")}, PICTURE).folder


DATA = "weights/model.onnx_data"


def verified(folder: Path) -> str:
    run = braid("verify", folder)
    assert run.returncode in (0, 2), run.stderr
    return "" if run.returncode == 0 else run.stderr


def test_weights_in_a_file_of_their_own_are_served(external: Path) -> None:
    assert DATA in bundle.read(external).manifest.sha256
    with serve(external) as server:
        answer = server.predict(image=png(255, 255, 255)).json()
    assert list(answer["outputs"]["means"]["values"].values()) == pytest.approx([1, 2, 3])


def test_weights_that_were_tampered_with_are_named(external: Path) -> None:
    data = bytearray((external / DATA).read_bytes())
    data[0] ^= 1
    (external / DATA).write_bytes(data)
    assert f"{DATA}: not the file that the manifest describes" in verified(external)


def test_weights_without_a_digest_are_refused(external: Path) -> None:
    manifest = yaml.safe_load((external / "manifest.yaml").read_text())
    del manifest["sha256"][DATA]
    (external / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    assert f"no digest of {DATA}" in verified(external)


def test_weights_that_are_a_git_lfs_pointer_are_named_as_such(external: Path) -> None:
    (external / DATA).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    resealed(external, DATA)
    assert f"{DATA}: a git-LFS pointer, not the file; run `git lfs pull`" in verified(external)


def test_weights_that_end_early_are_named_with_both_lengths(external: Path) -> None:
    (external / DATA).write_bytes((external / DATA).read_bytes()[:8])
    resealed(external, DATA)
    assert f"{DATA}: ends after 8 bytes; the graph's weights need 12" in verified(external)


@pytest.mark.parametrize("how", ["symbolic link", "hard link", "missing", "folder"])
def test_weights_must_be_a_file_of_the_bundle_alone(external: Path, how: str) -> None:
    elsewhere = external.parent / "elsewhere"
    (external / DATA).rename(elsewhere)
    if how == "symbolic link":
        (external / DATA).symlink_to(elsewhere)
    elif how == "hard link":
        os.link(elsewhere, external / DATA)
    elif how == "folder":
        (external / DATA).mkdir()
    assert DATA in verified(external)


def test_a_folder_of_weights_that_leads_elsewhere_is_refused(external: Path) -> None:
    shutil.move(external / "weights", external.parent / "weights")
    (external / "weights").symlink_to(external.parent / "weights")
    assert DATA in verified(external)


@pytest.mark.parametrize("location", ["../model.onnx_data", "/etc/passwd"])
def test_weights_named_outside_the_folder_are_refused_before_anything_is_read(external: Path, location: str) -> None:
    made = onnx.load(external / "model.onnx", load_external_data=False)
    shutil.copy(external / DATA, external.parent / "model.onnx_data")
    made.graph.initializer[0].external_data[0].value = location
    (external / "model.onnx").write_bytes(made.SerializeToString())
    resealed(external, "model.onnx")
    assert "which is no file of the bundle's folder" in verified(external)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_files_that_may_not_be_read_are_named(external: Path) -> None:
    """onnx writes external data with mode 0600; in a container they then belong to somebody else."""
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        folder = Path(shutil.copytree(external, Path(open_to_all) / "external"))
        (folder / DATA).chmod(0o600)
        os.seteuid(65534)
        try:
            with pytest.raises(BundleError, match=f"{DATA}: this user may not read it; try: chmod a\\+r"):
                bundle.read(folder)
        finally:
            os.seteuid(0)
