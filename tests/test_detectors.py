"""Detectors with conventions of their own, served: the boxes of plain references, in the upright original."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from service.bundle import Bundle
from service.errors import BundleError
from service.model import Model
from service.outputs import Detection
from service.outputs.boxes import suppressed
from tests import wild
from tests.process import Server, serve
from tests.test_geometry import drawn
from tests.wild import BYTE, FLOAT, WHOLE, graph

node = helper.make_node
WIDTH, HEIGHT = 96, 64
LABELS = ["cat", "dog", "hen"]
Box = tuple[float, float, float, float]
Found = list[tuple[str, float, Box]]
Array = NDArray[Any]


class Picture(NamedTuple):
    """The upright original, and how it was laid into the graph's input."""

    width: int
    height: int

    def stretched(self, x: float, y: float) -> tuple[float, float]:
        return x * self.width / WIDTH, y * self.height / HEIGHT

    def letterboxed(self, x: float, y: float, middle: bool) -> tuple[float, float]:
        ratio = min(WIDTH / self.width, HEIGHT / self.height)
        across, down = int(self.width * ratio), int(self.height * ratio)
        left, top = ((WIDTH - across) // 2, (HEIGHT - down) // 2) if middle else (0, 0)
        return (x - left) / ratio, (y - top) / ratio


def overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def plain_nms(found: Found, most: float, across: bool = False) -> Found:
    """One by one: the best of what is left, and away with what it overlaps."""
    left = sorted(found, key=lambda each: -each[1])
    kept: Found = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [each for each in left if (each[0] != best[0] and not across) or overlap(best[2], each[2]) <= most]
    return kept


def centred(x: float, y: float, w: float, h: float) -> Box:
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def back(box: Box, lead: Callable[[float, float], tuple[float, float]], picture: Picture) -> Box:
    """Into the picture, and no further."""
    (a, b), (c, d) = lead(box[0], box[1]), lead(box[2], box[3])
    width, height = picture
    return within(a, width), within(b, height), within(c, width), within(d, height)


def within(x: float, most: float) -> float:
    return min(max(x, 0.0), most)


generator = np.random.default_rng(17)
CELLS = sum((WIDTH // stride) * (HEIGHT // stride) for stride in (8, 16, 32))


def heads() -> Array:
    """(cells, 4 + 1 + 3) as YOLOX's: offsets, logs of sizes, objectness and probabilities."""
    table = generator.uniform(0, 1, (CELLS, 8))
    table[:, 2:4] = generator.uniform(-1, 1.5, (CELLS, 2))
    return table.astype(np.float32)


def placed(count: int, columns: int) -> Array:
    """(count, columns): centres and sizes in pixels of the input, then probabilities."""
    table = generator.uniform(0, 1, (count, columns))
    table[:, :2] *= [WIDTH, HEIGHT]
    table[:, 2:4] = generator.uniform(4, 40, (count, 2))
    return table.astype(np.float32)


def cornered(count: int) -> Array:
    """(count, 4): left, top, right, bottom as shares of the input."""
    a = generator.uniform(-0.1, 0.8, (count, 2))
    return np.concatenate([a, a + generator.uniform(0.05, 0.4, (count, 2))], 1).astype(np.float32)


NOTHING: dict[str, Any] = {}


class Family(NamedTuple):
    """What the graph always finds, what the manifest says of it, and the reference's answer."""

    outputs: dict[str, Array]  # with a batch axis of 1, unless the manifest names it under `whole`
    detection: dict[str, Any]
    image: dict[str, Any]
    reference: Callable[["Family", Picture], Found]
    more: dict[str, Any] = NOTHING


LETTERBOX: dict[str, Any] = {
    "resize": {"to": "fit", "height": HEIGHT, "width": WIDTH},
    "pad": {"height": HEIGHT, "width": WIDTH, "value": 114},
}
STRETCH = {"resize": {"to": "exact", "height": HEIGHT, "width": WIDTH}, "scale": 1 / 255}


def yolox(family: Family, picture: Picture) -> Found:
    """Megvii-BaseDetection/YOLOX: grids of 8, 16, 32; objectness x class; NMS over all labels."""
    (table,) = family.outputs["output"].astype(float)
    found: Found = []
    i = 0
    for stride in (8, 16, 32):
        for y in range(HEIGHT // stride):
            for x in range(WIDTH // stride):
                cx, cy, w, h, objectness, *classes = table[i]
                best = int(np.argmax(classes))
                score = objectness * classes[best]
                if score > 0.3:
                    box = centred((cx + x) * stride, (cy + y) * stride, math.exp(w) * stride, math.exp(h) * stride)
                    found.append((LABELS[best], score, box))
                i += 1
    lead = lambda x, y: picture.letterboxed(x, y, middle=False)  # noqa: E731
    return [(label, score, back(box, lead, picture)) for label, score, box in plain_nms(found, 0.45, across=True)]


def yolov5(family: Family, picture: Picture) -> Found:
    (table,) = family.outputs["output"].astype(float)
    return of_rows([(row[:4], row[4] * row[5:]) for row in table], picture)


def yolov8(family: Family, picture: Picture) -> Found:
    (table,) = family.outputs["output"].astype(float)
    return of_rows([(row[:4], row[4:]) for row in table.T], picture)


def of_rows(rows: list[tuple[Array, Array]], picture: Picture) -> Found:
    found: Found = []
    for box, classes in rows:
        best = int(np.argmax(classes))
        if classes[best] > 0.5:
            found.append((LABELS[best], float(classes[best]), centred(*box)))
    lead = lambda x, y: picture.letterboxed(x, y, middle=True)  # noqa: E731
    return [(label, score, back(box, lead, picture)) for label, score, box in plain_nms(found, 0.6)]


def end_to_end(family: Family, picture: Picture) -> Found:
    """YOLOv10 and YOLOv7 with NMS in the graph: a row is a box, its score and its class."""
    columns = family.detection["columns"]
    (table,) = family.outputs["output"].astype(float) if "whole" not in family.more else [family.outputs["output"]]
    lead = lambda x, y: picture.letterboxed(x, y, middle=True)  # noqa: E731
    found: Found = []
    for row in table.astype(float):
        if row[columns["score"]] > 0.5:
            box = row[columns["boxes"] : columns["boxes"] + 4]
            found.append((LABELS[int(row[columns["label"]])], row[columns["score"]], back(tuple(box), lead, picture)))
    return sorted(found, key=lambda each: -each[1])


def ssd(family: Family, picture: Picture) -> Found:
    """UltraFace: two numbers a prior, the background first; corners as shares of the input."""
    (scores,), (boxes,) = family.outputs["scores"].astype(float), family.outputs["boxes"].astype(float)
    found = [("face", s[1], tuple(b)) for s, b in zip(scores, boxes, strict=True) if s[1] > 0.7]
    lead = lambda x, y: (x * picture.width, y * picture.height)  # noqa: E731
    return [(label, score, back(box, lead, picture)) for label, score, box in plain_nms(found, 0.3)]


def tensorflow(family: Family, picture: Picture) -> Found:
    """The object detection API: NMS is in the graph, classes are counted from 1."""
    found: Found = []
    columns = [family.outputs[f"detection_{name}"][0] for name in ("boxes", "scores", "classes")]
    for box, score, number in zip(*columns, strict=True):
        if score > 0.5:
            y1, x1, y2, x2 = box.astype(float)
            lead = lambda x, y: (x * picture.width, y * picture.height)  # noqa: E731
            found.append((LABELS[int(number) - 1], float(score), back((x1, y1, x2, y2), lead, picture)))
    return sorted(found, key=lambda each: -each[1])


def detr(family: Family, picture: Picture) -> Found:
    """Softmax over labels and, at the end, nothing; centres and sizes as shares of the picture."""
    (logits,), (boxes,) = family.outputs["logits"].astype(float), family.outputs["pred_boxes"].astype(float)
    found: Found = []
    for numbers, box in zip(logits, boxes, strict=True):
        shares = np.exp(numbers - numbers.max())
        shares = (shares / shares.sum())[:-1]
        best = int(np.argmax(shares))
        if shares[best] > 0.4:
            lead = lambda x, y: (x * picture.width, y * picture.height)  # noqa: E731
            found.append((LABELS[best], float(shares[best]), back(centred(*box), lead, picture)))
    return sorted(found, key=lambda each: -each[1])


def rt_detr(family: Family, picture: Picture) -> Found:
    """Sigmoid, and the best pairs of box and label: a box may be of two."""
    (logits,), (boxes,) = family.outputs["logits"].astype(float), family.outputs["pred_boxes"].astype(float)
    found: Found = []
    for numbers, box in zip(logits, boxes, strict=True):
        for label, number in zip(LABELS, numbers, strict=True):
            score = 1 / (1 + math.exp(-number))
            if score > 0.6:
                lead = lambda x, y: (x * picture.width, y * picture.height)  # noqa: E731
                found.append((label, score, back(centred(*box), lead, picture)))
    return sorted(found, key=lambda each: -each[1])[:20]


def torchvision(family: Family, picture: Picture) -> Found:
    """No batch axis; the first label is the background; the picture comes as it is."""
    rows = zip(*(family.outputs[name].tolist() for name in ("boxes", "scores", "labels")), strict=True)
    found = [(LABELS[number - 1], score, back(tuple(box), lambda x, y: (x, y), picture)) for box, score, number in rows]
    return sorted([each for each in found if each[1] > 0.5], key=lambda each: -each[1])


MIDDLE = {**LETTERBOX, "pad": {**LETTERBOX["pad"], "position": "middle"}, "scale": 1 / 255}
ROWS = np.concatenate([cornered(30) * [WIDTH, HEIGHT, WIDTH, HEIGHT], generator.uniform(0, 1, (30, 1)),
                       generator.integers(0, 3, (30, 1))], 1).astype(np.float32)  # fmt: skip
CENTRES, SIZES = generator.uniform(0.2, 0.8, (40, 2)), generator.uniform(0.1, 0.5, (40, 2))
SHARES = np.concatenate([CENTRES, SIZES], 1).astype(np.float32)
FAMILIES = {
    "yolox": Family(
        {"output": heads()[None]},
        {"columns": {"objectness": 4, "scores": 5}, "grid": [8, 16, 32], "format": "cxcywh", "threshold": 0.3,
         "nms": 0.45, "across": True},
        {**LETTERBOX, "channels": "BGR"},
        yolox,
    ),
    "yolov5": Family(
        {"output": placed(120, 8)[None]},
        {"columns": {"objectness": 4, "scores": 5}, "format": "cxcywh", "nms": 0.6},
        MIDDLE,
        yolov5,
    ),
    "yolov8": Family(
        {"output": placed(80, 7).T[None]},
        {"columns": {"scores": 4}, "transposed": True, "format": "cxcywh", "nms": 0.6},
        MIDDLE,
        yolov8,
    ),
    "yolov10": Family(
        {"output": ROWS[None]}, {"columns": {"boxes": 0, "score": 4, "label": 5}}, MIDDLE, end_to_end
    ),
    "yolov7": Family(
        {"output": np.concatenate([np.zeros((30, 1)), ROWS[:, [0, 1, 2, 3, 5, 4]]], 1).astype(np.float32)},
        {"columns": {"boxes": 1, "label": 5, "score": 6}},
        MIDDLE,
        end_to_end,
        {"whole": ["output"]},
    ),
    "ultraface": Family(
        {"scores": generator.uniform(0, 1, (1, 300, 2)).astype(np.float32), "boxes": cornered(300)[None]},
        {"scores": "scores", "labels": ["face"], "background": 0, "unit": "input", "nms": 0.3, "threshold": 0.7},
        {**STRETCH, "scale": 1 / 128, "mean": [127 / 128], "std": [1]},
        ssd,
    ),
    "tensorflow": Family(
        {
            "detection_boxes": cornered(40)[None][..., [1, 0, 3, 2]],
            "detection_scores": np.sort(generator.uniform(0, 1, (1, 40)).astype(np.float32))[:, ::-1].copy(),
            "detection_classes": generator.integers(1, 4, (1, 40)).astype(np.float32),
            "num_detections": np.array([40], np.float32),
        },
        {"boxes": "detection_boxes", "scores": "detection_scores", "classes": "detection_classes", "first": 1,
         "format": "yxyx", "unit": "input"},
        {"resize": STRETCH["resize"], "layout": "hwc", "dtype": "uint8"},
        tensorflow,
    ),
    "detr": Family(
        {"logits": generator.normal(0, 2, (1, 40, 4)).astype(np.float32), "pred_boxes": SHARES[None]},
        {"boxes": "pred_boxes", "scores": "logits", "activation": "softmax", "background": -1, "format": "cxcywh",
         "unit": "picture", "threshold": 0.4},
        STRETCH,
        detr,
    ),
    "rt-detr": Family(
        {"logits": generator.normal(0, 2, (1, 40, 3)).astype(np.float32), "pred_boxes": SHARES[None]},
        {"boxes": "pred_boxes", "scores": "logits", "activation": "sigmoid", "each": "pair", "most": 20,
         "format": "cxcywh", "unit": "picture", "threshold": 0.6},
        STRETCH,
        rt_detr,
    ),
    "torchvision": Family(
        {
            "boxes": (cornered(20) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32),
            "scores": generator.uniform(0, 1, 20).astype(np.float32),
            "labels": generator.integers(1, 4, 20),
        },
        {"scores": "scores", "classes": "labels", "first": 1},
        {"scale": 1 / 255},
        torchvision,
        {"whole": ["x", "boxes", "scores", "labels"]},
    ),
}  # fmt: skip


def made(family: Family) -> Any:
    """A graph that finds the same in every picture, and only looks at it."""
    hwc, whole = family.image.get("layout") == "hwc", "x" in family.more.get("whole", [])
    shape: list[Any] = ["height", "width", 3] if hwc else [3, "height", "width"]
    nodes, weights, outputs = [], {}, {}
    kind = BYTE if hwc else FLOAT
    nodes.append(node("Shape", ["x"], ["n"], end=1))
    for name, array in family.outputs.items():
        batched = name not in family.more.get("whole", [])
        weights[f"{name}_once"] = array[0] if batched else array
        kinds = WHOLE if array.dtype == np.int64 else FLOAT
        outputs[name] = (kinds, ["n", *array.shape[1:]] if batched else list(array.shape))
        if batched:
            weights[f"{name}_size"] = np.array(array.shape[1:], np.int64)
            nodes.append(node("Concat", ["n", f"{name}_size"], [f"{name}_shape"], axis=0))
            nodes.append(node("Expand", [f"{name}_once", f"{name}_shape"], [name]))
        else:
            nodes.append(node("Identity", [f"{name}_once"], [name]))
    return graph(nodes, {"x": (kind, shape if whole else ["n", *shape])}, outputs, weights)


def write(folder: Path, name: str) -> Bundle:
    family = FAMILIES[name]
    boxes = "boxes" if "boxes" in family.outputs else next(iter(family.outputs))
    detection: dict[str, Any] = {"kind": "detection", "pixels": "x", "boxes": boxes}
    detection |= {"labels": LABELS, **family.detection}
    described = {
        "inputs": {"image": {"kind": "image", **family.image, "tensors": {"pixels": "x"}}},
        "outputs": {"found": detection},
        **family.more,
    }
    return wild.write(folder / name, made(family), described, {"image": ("png", drawn(80, 60, (10, 10, 30, 30)))})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("families")
    with serve(*(write(folder, name).folder for name in FAMILIES)) as running:
        yield running


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(320, 240), (221, 333), (90, 47)])
@pytest.mark.parametrize("name", FAMILIES)
def test_boxes_are_those_of_the_reference(server: Server, name: str, size: tuple[int, int], orientation: int) -> None:
    data = drawn(*size, (10, 10, 30, 30), orientation)
    answer = server.predict(model=name, image=data).raise_for_status().json()["outputs"]["found"]["detections"]
    expected = FAMILIES[name].reference(FAMILIES[name], Picture(*size))
    assert 3 < len(expected) <= 100
    assert [entry["label"] for entry in answer] == [label for label, _, _ in expected]
    np.testing.assert_allclose([entry["score"] for entry in answer], [score for _, score, _ in expected], atol=1e-6)
    boxes = np.array([entry["box"] for entry in answer]) / [*size, *size]
    np.testing.assert_allclose(boxes, np.array([box for _, _, box in expected]) / [*size, *size], atol=5e-5)


def test_a_request_may_ask_for_all_boxes_and_costs_no_more_than_so_many(server: Server) -> None:
    data = drawn(64, 48, (10, 10, 30, 30))
    found = server.predict(model="yolov5", image=data, query="?threshold=0").json()["outputs"]["found"]["detections"]
    assert len(found) > len(yolov5(FAMILIES["yolov5"], Picture(64, 48)))


CORNERS = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2).map(
    lambda c: (float(c[0]), float(c[1]), float(c[0] + c[2]), float(c[1] + c[3]))
)


@given(
    st.lists(st.tuples(CORNERS, st.sampled_from(LABELS)), min_size=1, max_size=30),
    st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    st.booleans(),
)
def test_nms_keeps_what_the_plain_one_keeps(given: list[tuple[Box, str]], most: float, across: bool) -> None:
    found: Found = [(label, 1 - i / 100, box) for i, (box, label) in enumerate(given)]
    classes = np.array([0 if across else LABELS.index(label) for label, _, _ in found])
    kept = suppressed(np.array([box for _, _, box in found]), classes, most, len(found))
    assert [found[i] for i in kept] == plain_nms(found, most, across)
    assert suppressed(np.array([box for _, _, box in found]), classes, most, 2) == kept[:2]


def detection(**said: Any) -> Detection:
    return Detection.model_validate({"pixels": "x", "boxes": "b", "labels": LABELS} | said)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "name `scores` .and `classes`., or `columns`"),
        ({"scores": "s", "columns": {"scores": 4}}, "or `columns`"),
        ({"columns": {"scores": 4}, "classes": "c"}, "or `columns`"),
        ({"columns": {"score": 4}}, "columns: name `scores`, or `score` and `label`"),
        ({"columns": {}}, "columns: name `scores`"),
        ({"columns": {"scores": 4, "score": 4, "label": 5}}, "columns: name `scores`"),
        ({"columns": {"scores": 5}, "grid": [8]}, "grid: its boxes are of format cxcywh and unit pixels"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        detection(**said)


def test_labels_are_counted_against_the_columns_of_the_graph() -> None:
    detection(columns={"objectness": 4, "scores": 5}).check({"b": [None, 126, 8]})
    with pytest.raises(BundleError, match="'b' has 4 classes, the manifest 3 labels"):
        detection(columns={"scores": 4}).check({"b": [None, 126, 8]})
    with pytest.raises(BundleError, match="'b' has 122 classes"):
        detection(columns={"scores": 4}, transposed=True).check({"b": [None, 126, 8]})
    detection(columns={"score": 4, "label": 5}).check({"b": [None, 300, 6]})
    detection(columns={"scores": 4}).check({"b": [None]})


def test_a_grid_that_does_not_fit_the_boxes_stops_the_start(tmp_path: Path) -> None:
    bundle = write(tmp_path, "yolox")
    said = bundle.manifest.outputs["found"].model_copy(update={"grid": [8, 16], "threshold": 0.0})
    wrong = bundle.manifest.model_copy(update={"outputs": {"found": said}})
    with pytest.raises(BundleError, match="the graph's numbers make no answer"):
        Model(bundle.model_copy(update={"manifest": wrong})).prove()


def test_a_class_without_a_label_is_no_ones_guess(tmp_path: Path) -> None:
    bundle = write(tmp_path, "torchvision")
    said = bundle.manifest.outputs["found"].model_copy(update={"labels": LABELS[:1], "threshold": 0.0})
    wrong = bundle.manifest.model_copy(update={"outputs": {"found": said}})
    with pytest.raises(BundleError, match="found something that its manifest has no label for"):
        Model(bundle.model_copy(update={"manifest": wrong})).prove()
