"""Graphs without a mask over the parts: each part tells by its own length or count, as AutoGluon-MultiModal's do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from service.bundle import Bundle, Manifest
from service.inputs import Image, Text
from service.inputs.geometry import Crop
from service.model import Model
from tests import senses, wild
from tests.process import Server, serve
from tests.wild import FLOAT, WHOLE, graph

node = helper.make_node
PARTS = {
    "note": {"kind": "text", "absent": "a b", "tensors": {"ids": "ids", "length": "length"}},
    "photo": {
        "kind": "image", "mode": "L", "resize": {"to": "exact", "height": 4, "width": 6}, "scale": 1 / 255, "slots": 2,
        "tensors": {"pixels": "pixels", "count": "count"},
    },
}  # fmt: skip
OUTPUTS = {"sums": {"kind": "regression", "tensor": "sums", "names": ["note", "photo"]}}


def fused() -> Any:
    """sums (B, 2): of the ids before `length`, and of the brightness of the pictures before `count`, over `count`."""
    nodes = [
        node("Shape", ["ids"], ["tokens"], start=1),
        node("Squeeze", ["tokens"], ["most"]),
        node("Range", ["nought", "most", "one"], ["steps"]),
        node("Unsqueeze", ["length", "last"], ["lengths"]),
        node("Less", ["steps", "lengths"], ["there"]),
        node("Cast", ["there"], ["mask"], to=WHOLE),
        node("Mul", ["ids", "mask"], ["known"]),
        node("ReduceSum", ["known", "last"], ["whole"]),
        node("Cast", ["whole"], ["note"], to=FLOAT),
        node("ReduceMean", ["pixels"], ["means"], axes=[2, 3, 4], keepdims=0),
        node("Unsqueeze", ["count", "last"], ["counts"]),
        node("Less", ["slots", "counts"], ["filled"]),
        node("Cast", ["filled"], ["weights"], to=FLOAT),
        node("Mul", ["means", "weights"], ["bright"]),
        node("ReduceSum", ["bright", "last"], ["sum"]),
        node("Cast", ["counts"], ["divisor"], to=FLOAT),
        node("Max", ["divisor", "least"], ["positive"]),
        node("Div", ["sum", "positive"], ["photo"]),
        node("Concat", ["note", "photo"], ["sums"], axis=1),
        node("Slice", ["sums", "end", "far"], ["leftover"]),
    ]
    inputs: dict[str, wild.Kind] = {
        "ids": (WHOLE, ["n", "t"]),
        "length": (WHOLE, ["n"]),
        "pixels": (FLOAT, ["n", 2, 1, 4, 6]),
        "count": (WHOLE, ["n"]),
    }
    constants = {
        "nought": np.array(0), "one": np.array(1), "last": np.array([1]), "slots": np.array([0, 1]),
        "least": np.array(1e-6, np.float32), "end": np.array([2**31]), "far": np.array([2**32]),
    }  # fmt: skip
    return graph(nodes, inputs, {"sums": (FLOAT, ["n", 2]), "leftover": (FLOAT, ["m", 2])}, constants)


def described(**more: Any) -> dict[str, Any]:
    return {"inputs": PARTS, "missing": {"policy": "blank"}, "wanted": ["sums"], "outputs": OUTPUTS, **more}


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("blank") / "blank"
    folder.mkdir()
    senses.tokenizer().save(str(folder / "tokenizer.json"))
    example = {"note": ("txt", b"c d"), "photo": ("png", senses.png(51))}
    return wild.write(folder, fused(), described(prior={"sums": [3.0, 0.0]}), example)


@pytest.fixture(scope="module")
def server(blank: Bundle) -> Iterator[Server]:
    with serve(blank.folder) as running:
        yield running


def sums(server: Server, parts: dict[str, bytes], query: str = "") -> Any:
    files = {name: ("", data) for name, data in parts.items()}
    return server.client.post(f"/v1/predict{query}", files=files).raise_for_status().json()


def test_what_is_absent_is_what_stands_for_it(server: Server) -> None:
    white = senses.png(255)
    cases: list[tuple[dict[str, bytes], list[float]]] = [
        ({"note": b"c d", "photo": white}, [7, 1]),
        ({"photo": white}, [3, 1]),
        ({"note": b"c d e"}, [12, 0]),
    ]
    for parts, expected in cases:
        answer = sums(server, parts)
        assert list(answer["outputs"]["sums"]["values"].values()) == pytest.approx(expected)
        assert {part for part, said in answer["parts"].items() if said["used"]} == set(parts)
    assert server.client.post("/v1/predict", json={"inputs": {}}).status_code == 422


def test_contributions_are_exact_with_what_stands_for_the_absent(server: Server) -> None:
    said = sums(server, {"note": b"c d e", "photo": senses.png(255)}, "?explain=parts&target=note")["explanation"]
    assert (said["all"], said["none"]) == (12, 3)
    assert said["parts"]["note"]["value"] == pytest.approx(9)
    assert said["parts"]["photo"]["value"] == pytest.approx(0)


REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "note": st.integers(1, 9).map(lambda n: b"c " * n),
        "photo": st.integers(0, 255).map(senses.png),
    },
).filter(bool)


@given(requests=st.lists(REQUESTS, min_size=1, max_size=6))
def test_alone_is_in_company(blank: Bundle, requests: list[dict[str, bytes]]) -> None:
    model = Model(blank)
    rows = [model.encode(parts, {}) for parts in requests]
    assert len(model.engine.lanes[0].collate.groups(rows)) < len(rows) or len(rows) < 4
    for row, answer in zip(rows, model.run(rows), strict=True):
        np.testing.assert_allclose(answer["sums"], model.run([row])[0]["sums"], rtol=1e-6)


def test_only_what_is_wanted_is_computed(blank: Bundle) -> None:
    """The other output has no row for a row, as the fused graphs of AutoMM have some."""
    assert list(Model(blank).engine.outputs) == ["sums"]
    said = blank.manifest.model_copy(update={"wanted": ["sum"]})
    with pytest.raises(Exception, match="no output 'sum'; the graph has sums, leftover"):
        Model(blank.model_copy(update={"manifest": said}))
    said = blank.manifest.model_copy(update={"wanted": []})
    with pytest.raises(Exception, match=r"output 'leftover' is \(0, 2\) for one row"):
        Model(blank.model_copy(update={"manifest": said})).prove()


def test_parts_that_tell_nothing_cannot_be_blank() -> None:
    silent = {"kind": "image", "tensors": {"pixels": "x"}}
    with pytest.raises(ValueError, match="part 'photo' has no mask, length, count or absent that tells the graph"):
        Manifest.model_validate({"schema": 1, "name": "x", **described(inputs={**PARTS, "photo": silent})})


def test_a_recording_may_tell_how_many_frames_it_has(tmp_path: Path) -> None:
    """As NeMo's graphs want it; then recordings of any length share a run."""
    nodes = [node("Unsqueeze", ["length", "last"], ["frames"]), node("Cast", ["frames"], ["y"], to=FLOAT)]
    inputs: dict[str, wild.Kind] = {"x": (FLOAT, ["n", 33, "t"]), "length": (WHOLE, ["n"])}
    made = graph(nodes, inputs, {"y": (FLOAT, ["n", 1])}, {"last": np.array([1])})
    features = {"kind": "log_mel", "n_fft": 64, "hop": 40, "bank": None}
    audio = {
        "kind": "audio",
        "sample_rate": 8000,
        "features": features,
        "tensors": {"features": "x", "length": "length"},
    }
    outputs = {"y": {"kind": "regression", "tensor": "y"}}
    example = {"audio": ("wav", senses.wav(0.5, 0.1))}
    model = Model(wild.write(tmp_path / "nemo", made, {"inputs": {"audio": audio}, "outputs": outputs}, example))
    rows = [model.encode({"audio": senses.wav(0.5, seconds)}, {}) for seconds in (0.1, 0.06)]
    assert len(model.engine.lanes[0].collate.groups(rows)) == 1
    assert [float(row["y"][0]) for row in model.run(rows)] == [21, 13]


def test_combinations_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="slots: a mask covers one picture"):
        Image.model_validate({"slots": 2, "tensors": {"pixels": "x", "mask": "m"}})
    with pytest.raises(ValueError, match="side: a length tells nothing of padding on the left"):
        Text.model_validate({"side": "left", "pad_to": 4, "tensors": {"ids": "x", "length": "m"}})


@pytest.mark.parametrize("size", range(1, 30))
def test_a_crop_may_lie_where_torchvision_lays_it(size: int) -> None:
    """Its center_crop: round() of half of what is left over; around a smaller picture, half of the difference."""
    for crop in range(1, 30):
        spec = Crop(height=crop, width=crop, rounding="half_even")
        expected = -((crop - size) // 2) if crop > size else round((size - crop) / 2.0)
        assert spec.corner(size, size) == (expected, expected)
