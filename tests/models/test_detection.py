"""The parts of the detectors: boxes, targets, RoI align, the metric, augmentation, and that both kinds learn."""

import io
from pathlib import Path

import numpy as np
import onnxruntime
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from models.datasets import drawn
from models.datasets.boxed import Boxed
from models.detection.boxes import giou_loss, iou
from models.detection.dense import bias, peaks
from models.detection.detector import Detector, Network
from models.detection.metric import Boxes, average_precision, mean_average_precision
from models.detection.pictures import Pictures, Vary, batch, carried, encoded, single, ways
from models.detection.roi import roi_align
from models.detection.targets import Truth, cells, targets
from service.inputs import Image
from service.types import Array

PLAIN = Vary(flip=False, scale=(1.0, 1.0), aspect=0.0, light=0.0, tint=0.0)
TINY = {"widths": [8, 8, 16, 16], "depths": [1, 1, 1], "stride": 8, "width": 16, "regions": 16}


def boxes(rng: np.random.Generator, count: int, size: float = 100.0) -> Array:
    corners = rng.uniform(0, size, (count, 2, 2))
    return np.concatenate([corners.min(1), corners.max(1) + 1], 1).astype(np.float32)


def test_overlap_is_one_with_itself_half_with_half_none_beside() -> None:
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [0, 0, 5, 10], [20, 20, 30, 30]])
    assert iou(a, b)[0].tolist() == pytest.approx([1, 0.5, 0])
    loss = giou_loss(a.expand(3, 4), b)
    assert loss[0].item() == pytest.approx(0, abs=1e-6)
    assert loss[1] < 1 < loss[2] < 2


def test_roi_align_is_that_of_onnx() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 12, 16)).astype(np.float32)
    regions = np.stack([boxes(rng, 5, 90.0), boxes(rng, 5, 90.0)])
    made = roi_align(torch.from_numpy(features), torch.from_numpy(regions), 5, 8).numpy()
    real, whole = TensorProto.FLOAT, TensorProto.INT64
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "of"], ["y"], output_height=5, output_width=5, sampling_ratio=2, spatial_scale=1 / 8,
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    inputs = [("x", real, [2, 3, 12, 16]), ("rois", real, [10, 4]), ("of", whole, [10])]
    values = [helper.make_tensor_value_info(*each) for each in inputs]
    graph = helper.make_graph([node], "g", values, [helper.make_tensor_value_info("y", real, None)])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {"x": features, "rois": regions.reshape(10, 4), "of": np.repeat(np.arange(2), 5)}
    (expected,) = session.run(None, feed)
    assert np.abs(made.reshape(expected.shape) - expected).max() < 1e-5


def test_heat_is_one_at_the_middle_and_the_smaller_box_owns_what_both_claim() -> None:
    truth = Truth(torch.tensor([[0.0, 0, 64, 64], [24, 24, 40, 40]]), torch.tensor([0, 1]))
    made = targets([truth, Truth(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))], 2, 8, 8, 8)
    assert made.heat[0, 0, 4, 4] == made.heat[0, 1, 4, 4] == 1
    assert made.boxes[0, 4, 4].tolist() == [24, 24, 40, 40]
    assert made.weight[0].sum().item() == pytest.approx(2, abs=1e-5)
    assert made.heat[1].max() == made.weight[1].max() == 0
    assert made.total == 2


def test_the_cells_that_tell_a_box_lie_in_it_and_are_more_the_larger_it_is() -> None:
    """No other cell can: distances to the sides are positive."""
    boxes = torch.tensor([[3.0, 5, 20, 18], [40, 8, 120, 60], [70, 66, 73, 69]])
    made = targets([Truth(boxes, torch.tensor([0, 1, 0]))], 2, 10, 16, 8)
    told = [(made.weight[0] > 0) & (made.boxes[0] == box).all(-1) for box in boxes]
    for each, box in zip(told[:2], boxes, strict=False):
        at = cells(10, 16, 8)[each]
        assert ((at > box[:2]) & (at < box[2:])).all()
    few, many, one = (int(each.sum()) for each in told)
    assert 1 < few < many
    assert one == 1  # smaller than a cell: its middle alone


def voc_average_precision(found: list[Boxes], there: list[Boxes], label: int) -> float:
    """As VOC2010's devkit says it, in plain loops: an independent second opinion."""
    detections = sorted(
        ((s, i, b) for i, f in enumerate(found) for b, c, s in zip(*f, strict=True) if c == label), key=lambda d: -d[0]
    )
    truths = {i: [b for b, c in zip(t.boxes, t.classes, strict=True) if c == label] for i, t in enumerate(there)}
    total = sum(map(len, truths.values()))
    taken: set[tuple[int, int]] = set()
    recalls, precisions, right = [0.0], [0.0], 0
    for rank, (_, i, box) in enumerate(detections, 1):
        best, which = 0.0, -1
        for j, other in enumerate(truths[i]):
            w = min(box[2], other[2]) - max(box[0], other[0])
            h = min(box[3], other[3]) - max(box[1], other[1])
            shared = max(w, 0) * max(h, 0)
            union = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
            if shared / union > best and (i, j) not in taken:
                best, which = shared / union, j
        if best >= 0.5:
            taken.add((i, which))
            right += 1
        recalls.append(right / total)
        precisions.append(right / rank)
    recalls.append(1.0)
    precisions.append(0.0)
    for k in range(len(precisions) - 2, -1, -1):
        precisions[k] = max(precisions[k], precisions[k + 1])
    return sum((recalls[k] - recalls[k - 1]) * precisions[k] for k in range(1, len(recalls)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_average_precision_is_that_of_voc(seed: int) -> None:
    rng = np.random.default_rng(seed)
    there, found = [], []
    for _ in range(4):
        true, kinds = boxes(rng, 6), rng.integers(0, 2, 6)
        there.append(Boxes(true, kinds, np.ones(6)))
        near = true[rng.integers(0, 6, 8)] + rng.normal(0, 3, (8, 4))
        near = np.concatenate([near[:, :2], np.maximum(near[:, 2:], near[:, :2] + 1)], 1)
        found.append(Boxes(near, rng.integers(0, 2, 8), rng.permutation(1000)[:8] / 1000 + rng.random() * 1e-4))
    if not any((t.classes == 1).any() for t in there):
        return
    assert average_precision(found, there, 1) == pytest.approx(voc_average_precision(found, there, 1))


def test_a_perfect_detector_has_one_and_a_class_that_is_nowhere_does_not_count() -> None:
    there = [Boxes(np.array([[0.0, 0, 10, 10]]), np.array([0]), np.array([0.9]))]
    assert mean_average_precision(there, there, ["a", "b"])["mean"] == 1
    assert mean_average_precision([Boxes(*(x[:0] for x in there[0]))], there, ["a"]) == {"a": 0, "mean": 0}


def dotted(seed: int, count: int = 1) -> Pictures:
    """White rectangles on black, each at its box."""
    rng = np.random.default_rng(seed)
    pixels, truths = np.zeros((count, 3, 64, 96), np.uint8), []
    for i in range(count):
        left, top = int(rng.integers(10, 60)), int(rng.integers(10, 30))
        pixels[i, :, top : top + 20, left : left + 24] = 255
        truths.append(np.array([[left, top, left + 24, top + 20]], np.float32))
    return Pictures([""] * count, pixels, truths, [np.zeros(1, np.int64)] * count)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_boxes_move_with_their_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vary = Vary(upside=True, turn=True, scale=(0.8, 1.3), mosaic=0.5)
    pixels, truths = batch(dotted(seed, 4), np.arange(4), vary.model_copy(update={"light": 0.0, "tint": 0.0}), rng)
    for picture, truth in zip(pixels, truths, strict=True):
        for left, top, right, bottom in truth.boxes.round().int().tolist():
            inside = picture[:, max(top, 0) + 2 : bottom - 2, left + 2 : right - 2]
            assert inside.numel() == 0 or inside.min() > 200


def test_nothing_varied_is_the_picture_itself() -> None:
    pictures = dotted(3)
    pixels, truth = single(pictures, 0, PLAIN, np.random.default_rng(0))
    assert np.abs(pixels[0].numpy() - pictures.pixels[0]).max() < 0.1
    assert np.allclose(truth.boxes, pictures.boxes[0])


def test_boxes_follow_their_picture_into_a_letterbox() -> None:
    letterbox = {
        "resize": {"to": "fit", "height": 64, "width": 64},
        "pad": {"height": 64, "width": 64, "position": "middle"},
        "dtype": "uint8",
        "tensors": {"pixels": "pixels"},
    }
    canvas, file = PIL.Image.new("RGB", (60, 120), (0, 0, 0)), io.BytesIO()
    canvas.paste((255, 255, 255), (12, 24, 36, 96))
    canvas.save(file, "PNG")
    shares = np.array([[12 / 60, 24 / 120, 36 / 60, 96 / 120]], np.float32)
    one = Boxed("tall", file.getvalue(), "train", shares, np.zeros(1, np.int64))
    made = encoded([one], Image.model_validate(letterbox).load(Path()), "pixels")
    light = np.argwhere(made.pixels[0, 0] > 127)
    seen = [*light.min(0)[::-1], *(light.max(0)[::-1] + 1)]
    assert np.abs(made.boxes[0][0] - seen).max() <= 1


def test_what_is_hardly_seen_any_more_is_no_truth() -> None:
    way = ways(PLAIN, (64, 96), np.random.default_rng(0)).copy()
    way[0, 2] += 50  # the frame looks 50 pixels further right
    _, seen = carried(np.array([[40.0, 10, 60, 30], [60, 10, 90, 30]], np.float32), way, (64, 96))
    assert seen.tolist() == [True, True]
    way[0, 2] += 7
    _, seen = carried(np.array([[40.0, 10, 60, 30], [60, 10, 90, 30]], np.float32), way, (64, 96))
    assert seen.tolist() == [False, True]


def test_peaks_come_first_and_each_once() -> None:
    net = Network(Detector(**TINY), 2).eval()
    dense = net.first(net.features(torch.zeros(1, 3, 64, 96)))
    logits = torch.full_like(dense.logits, -6) - torch.rand_like(dense.logits)
    logits[0, 1, 3, 4], logits[0, 1, 3, 5], logits[0, 0, 6, 1] = 3.0, 2.0, 1.0
    found = peaks(dense._replace(logits=logits), 3, 8)
    assert found.classes[0, :2].tolist() == [1, 0]
    assert found.scores[0, :2].tolist() == pytest.approx([0.9526, 0.7311], abs=1e-4)


def test_a_context_changes_what_is_found_unless_it_says_nothing() -> None:
    net = Network(Detector(**TINY, context=5), 2).eval()
    assert net.first.film is not None
    for each in net.first.film.parameters():
        torch.nn.init.normal_(each)
    torch.nn.init.zeros_(bias(net.first.heat))
    pixels = torch.rand(1, 3, 64, 96) * 255
    a, b = (net.detect(pixels, torch.full((1, 5), x))[1] for x in (0.0, 1.0))
    assert not torch.allclose(a, b)
    assert torch.equal(a, net.detect(pixels)[1])


def test_a_mirror_image_has_the_same_boxes_mirrored() -> None:
    net = Network(Detector(**TINY, mirrored=True), 2).eval()
    torch.nn.init.zeros_(bias(net.first.heat))
    pixels = torch.rand(1, 3, 64, 96) * 255
    boxes, scores = net.detect(pixels)
    mirrored, same = net.detect(pixels.flip(3))
    assert torch.allclose(scores, same, atol=1e-5)
    back = torch.stack([96 - mirrored[..., 2], mirrored[..., 1], 96 - mirrored[..., 0], mirrored[..., 3]], -1)
    there = scores.amax(-1)[0] > 0
    assert there.any()
    assert torch.allclose(boxes[0][there], back[0][there], atol=1e-3)
    with pytest.raises(ValueError, match="one stage"):
        Detector(**TINY, stages=2, mirrored=True)


@pytest.mark.parametrize("stages", [1, 2])
def test_either_detector_learns_one_picture(stages: int) -> None:
    each = drawn.picture("", "", (96, 64), 2, 4)
    pixels = torch.from_numpy(np.asarray(PIL.Image.open(io.BytesIO(each.data))).transpose(2, 0, 1).copy())[None]
    true = torch.from_numpy(each.boxes * np.array([96, 64, 96, 64], np.float32))
    truths = [Truth(true, torch.from_numpy(each.classes))] * 4
    torch.manual_seed(0)
    net = Network(Detector(stages=stages, **TINY), 2)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    for _ in range(60):
        total = torch.stack(list(net.losses(pixels.repeat(4, 1, 1, 1), truths).values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
    net.eval()
    with torch.no_grad():
        found, scores = net.detect(pixels)
    best = scores[0].amax(1).topk(len(true)).indices
    overlap, which = iou(found[0][best], true).max(1)
    assert overlap.min() > 0.5
    assert scores[0][best].argmax(1).tolist() == each.classes[which].tolist()
