"""Sizes, and the way back: a box found in what the network sees lies where the thing is in the upright original."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from pydantic import ValidationError

from service.errors import InvalidInput
from service.inputs.geometry import Fit, Multiple, Shortest
from service.inputs.image import Image
from service.outputs.detection import Detection
from service.types import Row

Box = tuple[int, int, int, int]
WAYS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "stretch": {"resize": {"to": "exact", "height": 90, "width": 160}},
    "shortest": {"resize": {"to": "shortest", "edge": 75}},
    "longest": {"resize": {"to": "shortest", "edge": 75, "longest": 100, "multiple_of": 16}},
    "crop": {"resize": {"to": "shortest", "edge": 100}, "crop": {"height": 90, "width": 90}},
    "wide crop": {"crop": {"height": 70, "width": 400}},
    "letterbox": {"resize": {"to": "fit", "height": 128, "width": 96}, "pad": {"height": 128, "width": 96}},
    "letterbox in the middle": {
        "resize": {"to": "fit", "height": 97, "width": 128, "rounding": "nearest"},
        "pad": {"height": 97, "width": 128, "position": "middle"},
    },
    "pad to a multiple": {"pad": {"multiple_of": 32, "unit": "tensor", "position": "middle"}, "layout": "hwc"},
    "never larger": {"resize": {"to": "fit", "height": 500, "width": 500, "enlarge": False}},
    "multiple": {"resize": {"to": "multiple", "of": 32}},
}


def encode(data: bytes, **manifest: Any) -> Row:
    spec = {"mode": "L", "scale": 1 / 255, "tensors": {"pixels": "x", "mask": "mask"}, **manifest}
    return Image.model_validate(spec).load(Path())(data)


def drawn(width: int, height: int, box: Box, orientation: int = 1) -> bytes:
    """A bright box on black, as a camera held in some pose stores it."""
    picture = Pillow.new("L", (width, height))
    picture.paste(255, box)
    undone = {1: None, 3: Pillow.Transpose.ROTATE_180, 6: Pillow.Transpose.ROTATE_90, 8: Pillow.Transpose.ROTATE_270}
    turn = undone[orientation]
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    (picture if turn is None else picture.transpose(turn)).save(out, "PNG", exif=exif)
    return out.getvalue()


def found(row: Row, unit: str) -> list[float]:
    """What a perfect detector would see in the tensor, decoded."""
    pixels = np.squeeze(row["x"])
    rows, columns = np.flatnonzero((pixels > 0.5).any(1)), np.flatnonzero((pixels > 0.5).any(0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    if unit == "input":
        box /= np.array([pixels.shape[1], pixels.shape[0]] * 2)
    output = Detection.model_validate({"pixels": "x", "boxes": "b", "scores": "s", "labels": ["it"], "unit": unit})
    answer = output.decode(row | {"b": box[None], "s": np.ones((1, 1))})
    return list(answer["detections"][0]["box"])


@pytest.mark.parametrize("unit", ["pixels", "input"])
@pytest.mark.parametrize("way", WAYS)
@given(width=st.integers(60, 240), height=st.integers(60, 240), orientation=st.sampled_from([1, 3, 6, 8]))
def test_a_box_lies_where_the_thing_is(way: str, unit: str, width: int, height: int, orientation: int) -> None:
    box = (width // 2 - 14, height // 2 - 9, width // 2 + 6, height // 2 + 17)  # within every crop of these
    row = encode(drawn(width, height, box, orientation), **WAYS[way])
    *_, across, down, full, tall = row["x:frame"].tolist()
    assert (full, tall) == (width, height)
    # a pixel of the tensor, and what rounding the size to whole pixels moves at the far edge
    blur = np.array([1 / across, 1 / down] * 2) + (max(width, height) * 0.02 if "letterbox" in way else 0)
    assert (np.abs(np.array(found(row, unit)) - box) <= blur).all()


def test_the_letterbox_of_a_detector_is_undone_by_its_exact_ratio() -> None:
    row = encode(drawn(640, 427, (0, 0, 9, 9)), **{
        "resize": {"to": "fit", "height": 416, "width": 416}, "pad": {"height": 416, "width": 416},
    })  # fmt: skip
    assert row["x:frame"].tolist() == [0, 0, 0.65, 0.65, 640, 427]
    assert row["mask"].sum() == 416 * 277


@pytest.mark.parametrize("way", WAYS)
def test_the_mask_covers_the_picture_and_nothing_else(way: str) -> None:
    row = encode(drawn(101, 83, (0, 0, 101, 83)), **WAYS[way])
    bright = np.squeeze(row["x"]) > 0.5
    if "crop" in WAYS[way]:
        assert row["mask"].all()  # what lies beyond belongs to the crop, as in transformers
    else:
        np.testing.assert_array_equal(row["mask"] == 1, bright)
    assert row["mask"].shape == bright.shape


@pytest.mark.parametrize(("rounding", "size"), [("down", (96, 63)), ("nearest", (96, 64)), ("half_up", (96, 64))])
def test_rounding(rounding: Any, size: tuple[int, int]) -> None:
    assert Fit(height=96, width=96, rounding=rounding).size(300, 199) == size


@given(st.integers(1, 500), st.integers(1, 500))
def test_no_side_vanishes(width: int, height: int) -> None:
    for spec in (
        Fit(height=8, width=8), Multiple(of=32), Shortest(edge=16, longest=20, multiple_of=16),
        Shortest(edge=16, longest=20, rounding="half_up", multiple_of=16),
    ):  # fmt: skip
        size = spec.size(width, height)
        assert min(size) >= 1
        if isinstance(spec, Fit):
            assert size[0] <= spec.width
            assert size[1] <= spec.height


def test_a_strip_that_transformers_cannot_pad_either_is_the_clients_fault() -> None:
    with pytest.raises(InvalidInput, match="32 x 1 pixels are too narrow for this model"):
        encode(
            drawn(32, 1, (0, 0, 1, 1)),
            resize={"to": "shortest", "edge": 16, "longest": 20},
            pad={"height": 20, "width": 20, "unit": "tensor"},
        )


@pytest.mark.parametrize(
    ("manifest", "key"),
    [
        ({"mode": "RGB", "mean": [0.5, 0.5]}, "mean: 2 numbers, but mode RGB has 3 channels"),
        ({"mode": "L", "std": [1, 1, 1]}, "std: 3 numbers, but mode L has 1 channels"),
        ({"mode": "L", "channels": "BGR"}, "channels: BGR needs mode RGB"),
        ({"mode": "RGB", "ink": {}}, "ink: needs mode L"),
        ({"mode": "L", "ink": {}, "crop": {"height": 9, "width": 9}}, "ink: needs mode L, and neither resize, crop"),
        ({"mode": "RGB", "dtype": "uint8", "mean": [1], "scale": 1}, "dtype: uint8 is what the graph normalises"),
        ({"pad": {"height": 9, "width": 9}}, "pad: 9 x 9 is too small for pictures of any size"),
        ({"pad": {"height": 9, "width": 9}, "resize": {"to": "exact", "height": 9, "width": 10}}, "up to 10 x 9"),
        ({"pad": {"height": 9, "width": 9}, "resize": {"to": "shortest", "edge": 9}}, "pad: 9 x 9 is too small"),
        ({"pad": {"height": 9, "multiple_of": 4}}, "pad: takes height and width, or multiple_of"),
        ({"pad": {"height": 9}}, "pad: takes height and width, or multiple_of"),
        ({"pad": {"multiple_of": 4, "value": 0.5}}, "value: 0.5 is no grey level"),
        ({"pad": {"multiple_of": 4, "fill": 1}}, "unknown key 'fill'; known keys: height, width, multiple_of"),
        ({"resize": {"to": "exact", "height": 9, "width": 9, "longest": 4}}, "unknown key 'longest'"),
        ({"resize": {"to": "longest", "edge": 9}}, "longest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_by_the_name_of_its_key(manifest: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Image.model_validate({"tensors": {"pixels": "x"}, **manifest})
    assert key in str(refusal.value)
