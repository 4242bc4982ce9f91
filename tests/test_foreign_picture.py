"""Pictures become what transformers' PIL processors make of them, bit by bit, through manifests of their numbers."""

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from service.collate import Collate
from service.inputs.image import Image
from service.ports import Port
from service.types import Row

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
image_utils = pytest.importorskip("transformers.image_utils")
Pixels = NDArray[Any]
IMAGENET: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF: dict[str, Any] = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
CLIP: dict[str, Any] = {
    "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip


def square(size: int, resample: str = "bicubic") -> dict[str, Any]:
    return {"to": "exact", "height": size, "width": size, "resample": resample}


def shortest(edge: int, resample: str = "bicubic", **more: Any) -> dict[str, Any]:
    return {"to": "shortest", "edge": edge, "resample": resample, **more}


def middle(size: int) -> dict[str, int]:
    return {"height": size, "width": size}


FAMILIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # processor, its options, our manifest
    "clip": ("CLIPImageProcessorPil", {"size": {"shortest_edge": 48}, "crop_size": 48},
             {"resize": shortest(48), "crop": middle(48), **CLIP}),
    "clip-larger-crop": ("CLIPImageProcessorPil",
                         {"size": {"shortest_edge": 31}, "crop_size": {"height": 48, "width": 37}},
                         {"resize": shortest(31), "crop": {"height": 48, "width": 37}, **CLIP}),
    "siglip": ("SiglipImageProcessorPil", {"size": {"height": 48, "width": 48}}, {"resize": square(48), **HALF}),
    "vit": ("ViTImageProcessorPil", {"size": {"height": 48, "width": 40}},
            {"resize": {"to": "exact", "height": 48, "width": 40, "resample": "bilinear"}, **HALF}),
    "blip": ("BlipImageProcessorPil", {"size": {"height": 48, "width": 48}}, {"resize": square(48), **CLIP}),
    "beit": ("BeitImageProcessorPil", {"size": {"height": 32, "width": 32}}, {"resize": square(32), **HALF}),
    "deit": ("DeiTImageProcessorPil", {"size": {"height": 50, "width": 50}, "crop_size": {"height": 45, "width": 45}},
             {"resize": square(50), "crop": middle(45), **HALF}),
    "bit": ("BitImageProcessorPil", {"size": {"shortest_edge": 52}, "crop_size": {"height": 44, "width": 44}},
            {"resize": shortest(52), "crop": middle(44), **CLIP}),
    "convnext": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 45}},
                 {"resize": shortest(int(45 / (224 / 256))), "crop": middle(45), **HALF}),
    "convnext-384": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}, {"resize": square(384), **HALF}),
    "resnet": ("ConvNextImageProcessorPil",
               {"size": {"shortest_edge": 32}, "crop_pct": 0.95, "resample": 2, "image_mean": IMAGENET["mean"],
                "image_std": IMAGENET["std"]},
               {"resize": shortest(int(32 / 0.95), "bilinear"), "crop": middle(32), **IMAGENET}),
    "levit": ("LevitImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}},
              {"resize": shortest(int(256 / 224 * 40)), "crop": middle(40), **IMAGENET}),
    "poolformer": ("PoolFormerImageProcessorPil",
                   {"size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}},
                   {"resize": shortest(int(40 / 0.9)), "crop": middle(40), **IMAGENET}),
    "efficientnet": ("EfficientNetImageProcessorPil", {"size": {"height": 40, "width": 40}},
                     {"resize": square(40), "std_twice": True, **HALF}),
    "efficientnet-offset": ("EfficientNetImageProcessorPil",
                            {"size": {"height": 40, "width": 40}, "rescale_offset": True, "rescale_factor": 1 / 127.5,
                             "include_top": False, "do_center_crop": True, "crop_size": {"height": 32, "width": 32},
                             "image_mean": IMAGENET["mean"], "image_std": IMAGENET["std"]},
                            {"resize": square(40), "crop": middle(32), "scale": 1 / 127.5, "offset": -1, **IMAGENET}),
    "mobilevit": ("MobileViTImageProcessorPil",
                  {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_normalize": False},
                  {"resize": shortest(36), "crop": middle(32), "channels": "BGR"}),
    "detr": ("DetrImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}},
             {"resize": shortest(60, "bilinear", longest=100), **IMAGENET}),
    "detr-exact-edge": ("DetrImageProcessorPil", {"size": {"shortest_edge": 41, "longest_edge": 70}},
                        {"resize": shortest(41, "bilinear", longest=70), **IMAGENET}),
    "detr-fit": ("DetrImageProcessorPil", {"size": {"max_height": 70, "max_width": 49}},
                 {"resize": {"to": "fit", "height": 70, "width": 49}, **IMAGENET}),
    "detr-padded": ("DetrImageProcessorPil",
                    {"size": {"shortest_edge": 60, "longest_edge": 100}, "pad_size": {"height": 104, "width": 112}},
                    {"resize": shortest(60, "bilinear", longest=100),
                     "pad": {"height": 104, "width": 112, "unit": "tensor"}, **IMAGENET}),
    "conditional-detr": ("ConditionalDetrImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}},
                         {"resize": shortest(60, "bilinear", longest=100), **IMAGENET}),
    "deformable-detr": ("DeformableDetrImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}},
                        {"resize": shortest(60, "bilinear", longest=100), **IMAGENET}),
    "yolos": ("YolosImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}},
              {"resize": shortest(60, "bilinear", longest=100, multiple_of=16), **IMAGENET}),
    "rt-detr": ("RTDetrImageProcessorPil", {"size": {"height": 64, "width": 64}}, {"resize": square(64, "bilinear")}),
    "vilt": ("ViltImageProcessorPil", {"size": {"shortest_edge": 64}, "size_divisor": 32},
             {"resize": shortest(64, longest=int(1333 / 800 * 64), rounding="half_up", multiple_of=32), **HALF}),
    "bridgetower": ("BridgeTowerImageProcessorPil", {"size": {"shortest_edge": 64}, "crop_size": {"shortest_edge": 64}},
                    {"resize": shortest(64, longest=int(1333 / 800 * 64), rounding="half_up", multiple_of=32),
                     "crop": middle(64), **CLIP}),
    "owlvit": ("OwlViTImageProcessorPil", {"size": {"height": 48, "width": 48}}, {"resize": square(48), **CLIP}),
    "grounding-dino": ("GroundingDinoImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}},
                       {"resize": shortest(60, "bilinear", longest=100), **IMAGENET}),
    "glpn": ("GLPNImageProcessorPil", {"size_divisor": 8}, {"resize": {"to": "multiple", "of": 8}}),
    "mobilenet": ("MobileNetV2ImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": 32},
                  {"resize": shortest(40, "bilinear"), "crop": middle(32), **HALF}),
    "segformer": ("SegformerImageProcessorPil", {"size": {"height": 32, "width": 32}},
                  {"resize": square(32, "bilinear"), **IMAGENET}),
    "chinese-clip": ("ChineseCLIPImageProcessorPil", {"size": {"shortest_edge": 48}, "crop_size": middle(48)},
                     {"resize": shortest(48), "crop": middle(48), **CLIP}),
    "layoutlmv3": ("LayoutLMv3ImageProcessorPil", {"size": {"height": 48, "width": 48}, "apply_ocr": False},
                   {"resize": square(48, "bilinear"), **HALF}),
    "grey-levels": ("CLIPImageProcessorPil", {"do_rescale": False, "do_normalize": False, "size": {"shortest_edge": 32},
                                              "crop_size": 32},
                    {"resize": shortest(32), "crop": middle(32), "scale": 1}),
}  # fmt: skip


def noise(width: int, height: int, mode: str = "RGB") -> Pillow.Image:
    """Smooth colours and noise: smooth ones alone hide a wrong filter, noise alone hides a shift."""
    random = np.random.default_rng(width * height)
    y, x = np.mgrid[:height, :width]
    colours = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], -1)
    return Pillow.fromarray((0.7 * colours + random.integers(0, 77, colours.shape)).astype(np.uint8)).convert(mode)


def saved(picture: Pillow.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def rotated() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return saved(noise(97, 61), "JPEG", exif=exif, quality=90)


def translucent() -> Pillow.Image:
    picture = noise(83, 47, "RGBA")
    picture.putalpha(Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (47, 83), np.uint8)))
    return picture


PICTURES: dict[str, Callable[[], bytes]] = {
    "wide": lambda: saved(noise(301, 41)),
    "tall": lambda: saved(noise(41, 117)),
    "square": lambda: saved(noise(64, 64)),
    "small": lambda: saved(noise(9, 13)),
    "large": lambda: saved(noise(640, 427), "JPEG", quality=85),
    "grey": lambda: saved(noise(77, 51, "L")),
    "grey-jpeg": lambda: saved(noise(77, 51, "L"), "JPEG"),
    "rgba": lambda: saved(translucent()),
    "la": lambda: saved(translucent().convert("LA")),
    "palette": lambda: saved(noise(70, 90).quantize(64)),
    "gif": lambda: saved(noise(70, 90).quantize(64), "GIF"),
    "one-bit": lambda: saved(noise(50, 40, "1")),
    "sixteen-bit": lambda: saved(Pillow.fromarray(np.random.default_rng(2).integers(0, 65536, (40, 60), np.uint16))),
    "cmyk": lambda: saved(noise(60, 44, "CMYK"), "JPEG"),
    "webp": lambda: saved(noise(60, 81), "WEBP", quality=80),
    "turned": rotated,
    "clear palette": lambda: saved(noise(70, 90).quantize(64), transparency=3),
    "clear gif": lambda: saved(noise(70, 90).quantize(64), "GIF", transparency=3),
    "clear colour": lambda: saved(noise(70, 90), transparency=(10, 20, 30)),
    "sixteen-bit as large as the limit": lambda: saved(Pillow.new("I;16", (64, 64), 65535)),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' deprecations are not ours
        yield


def ours(data: bytes, **manifest: Any) -> Row:
    spec = {"scale": 1 / 255, "alpha": "drop", "depth": "clip", "tensors": {"pixels": "x", "mask": "mask"}, **manifest}
    return Image.model_validate(spec).load(Path())(data)


def theirs(data: bytes, processor: str, options: dict[str, Any]) -> dict[str, Pixels]:
    """load_image is how transformers' pipelines read files."""
    picture = image_utils.load_image(Pillow.open(io.BytesIO(data)))
    picture.info.clear()  # a palette's transparent colour would outlive the conversion, and be laid on white
    made = getattr(transformers, processor)(**options)(picture, return_tensors="np")
    return {name: made[name][0] for name in made}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_those_of_transformers(family: str, kind: str) -> None:
    processor, options, manifest = FAMILIES[family]
    data = PICTURES[kind]()
    try:
        expected = theirs(data, processor, options)
    except (ValueError, ZeroDivisionError):  # it rounds a thin picture down to a side of nothing
        assert family in ("yolos", "vilt", "bridgetower")
        assert min(ours(data, **manifest)["x"].shape) > 0
        return
    row = ours(data, **manifest)
    assert row["x"].dtype == np.float32
    np.testing.assert_array_equal(row["x"], expected["pixel_values"])
    if "pixel_mask" in expected:
        np.testing.assert_array_equal(row["mask"], expected["pixel_mask"])


# -- a wrong step is seen ---------------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("clip", {"resize": shortest(48, "bilinear")}), ("clip", {"resize": shortest(48, "lanczos")}),
    ("clip", {"resize": shortest(48, "nearest")}), ("clip", {"resize": square(48)}), ("clip", {"resize": shortest(49)}),
    ("clip", {"mean": IMAGENET["mean"]}), ("clip", {"mean": CLIP["mean"][::-1]}), ("clip", {"std": IMAGENET["std"]}),
    ("clip", {"scale": 1}), ("clip", {"scale": 1 / 256}), ("clip", {"channels": "BGR"}), ("clip", {"mode": "L"}),
    ("clip", {"crop": None}), ("clip", {"layout": "hwc"}), ("clip", {"offset": 0.001}), ("clip", {"std_twice": True}),
    ("mobilevit", {"channels": "RGB"}), ("efficientnet", {"std_twice": False}), ("efficientnet-offset", {"offset": 0}),
    ("convnext", {"resize": shortest(45)}), ("yolos", {"resize": shortest(60, "bilinear", longest=100)}),
    ("detr", {"resize": shortest(60, "bilinear")}), ("detr-padded", {"pad": {**middle(112), "unit": "tensor"}}),
    ("detr-padded", {"pad": {"height": 104, "width": 112, "unit": "pixels"}}),
    ("detr-padded", {"pad": {"height": 104, "width": 112, "unit": "tensor", "position": "middle"}}),
    ("vilt", {"resize": shortest(64, longest=int(1333 / 800 * 64), multiple_of=16)}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "wrong"), WRONG, ids=str)
def test_a_wrong_step_is_seen(family: str, wrong: dict[str, Any]) -> None:
    processor, options, manifest = FAMILIES[family]
    data = saved(noise(211, 97))
    if wrong == {"mode": "L"}:
        wrong = {"mode": "L", "mean": [0.5], "std": [0.25]}
    found = ours(data, **{**manifest, **wrong})["x"]
    expected = theirs(data, processor, options)["pixel_values"]
    assert found.shape != expected.shape or np.abs(found - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [("rgba", {"alpha": "white"}), ("la", {"alpha": "white"}), ("sixteen-bit", {"depth": "scale"})],
    ids=str,
)
def test_a_wrong_reading_is_seen(kind: str, wrong: dict[str, Any]) -> None:
    data = PICTURES[kind]()
    processor, options, manifest = FAMILIES["vit"]
    expected = theirs(data, processor, options)["pixel_values"]
    assert np.abs(ours(data, **manifest, **wrong)["x"] - expected).max() > 1e-2


# -- company and layouts ----------------------------------------------------------------------------------------------


def test_pictures_of_several_sizes_are_padded_as_a_batch_of_transformers(tmp_path: Path) -> None:
    datas = [saved(noise(120, 80)), saved(noise(80, 120))]
    spec = {"resize": shortest(60, "bilinear", longest=100), **IMAGENET}
    pictures = [image_utils.load_image(Pillow.open(io.BytesIO(data))) for data in datas]
    made = transformers.DetrImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 100})
    expected = made(pictures, return_tensors="np")
    rows = [ours(data, **spec) for data in datas]
    ports = {"x": Port(np.float32, (None, 3, None, None)), "mask": Port(np.int64, (None, None, None))}
    masked = Image.model_validate({"tensors": {"pixels": "x", "mask": "mask"}}).masks()
    collate = Collate(ports, masked)
    assert collate.groups(rows) == [[0, 1]]
    feed = collate.feed(rows)
    np.testing.assert_array_equal(feed["x"], expected["pixel_values"])
    np.testing.assert_array_equal(feed["mask"], expected["pixel_mask"])
    assert feed["mask"].dtype == np.int64


@pytest.mark.parametrize("layout", ["chw", "hwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_a_letterbox_of_yolox(layout: str, dtype: str) -> None:
    picture, ratio = noise(211, 97), min(64 / 97, 96 / 211)
    small = np.asarray(picture.resize((int(211 * ratio), int(97 * ratio)), Pillow.Resampling.BILINEAR))
    expected = np.full((64, 96, 3), 114, np.uint8)
    expected[: small.shape[0], : small.shape[1]] = small
    expected = expected[..., ::-1]
    row = ours(
        saved(picture), resize={"to": "fit", "height": 64, "width": 96}, pad={"height": 64, "width": 96, "value": 114},
        channels="BGR", scale=1, layout=layout, dtype=dtype,
    )  # fmt: skip
    np.testing.assert_array_equal(row["x"], expected if layout == "hwc" else expected.transpose(2, 0, 1))
    assert row["x"].dtype == np.dtype(dtype)
    assert row["x"].flags.c_contiguous
    np.testing.assert_array_equal(np.argwhere(row["mask"]).max(0) + 1, small.shape[:2])
