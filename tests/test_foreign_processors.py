"""JSON of transformers' image processors, of both generations, to manifests that make the same pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.importers.huggingface import audio, image
from service.errors import BundleError
from service.inputs.image import Image
from tests import test_foreign_picture as pictures
from tests.test_foreign_picture import FAMILIES, PICTURES, theirs

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
transformers.logging.set_verbosity_error()
quiet = pictures.quiet
KNOWN = [name for name, (kind, _, _) in FAMILIES.items() if kind.removesuffix("ImageProcessorPil") in image.PROCESSORS]


def manifest(given: dict[str, Any], model_type: str = "") -> dict[str, Any]:
    said: list[str] = []
    made = image.manifest(given, "preprocessor_config.json", model_type, said.append)
    assert not said
    return made


def pixels(spec: dict[str, Any], data: bytes) -> Any:
    return Image.model_validate({**spec, "tensors": {"pixels": "x"}}).load(Path())(data)["x"]


@pytest.mark.parametrize("family", KNOWN)
def test_what_transformers_saves_becomes_the_same_pixels(family: str) -> None:
    name, options, _ = FAMILIES[family]
    given = json.loads(getattr(transformers, name)(**options).to_json_string())
    spec = manifest(given)
    for kind in ("wide", "tall", "large", "rgba", "turned"):
        data = PICTURES[kind]()
        try:
            expected = theirs(data, name, options)["pixel_values"]
        except (ValueError, ZeroDivisionError):  # it rounds a thin picture down to a side of nothing
            continue
        np.testing.assert_array_equal(pixels(spec, data), expected)


@pytest.mark.parametrize("name", image.PROCESSORS)
def test_the_table_has_the_defaults_of_transformers(name: str) -> None:
    """What an old file leaves out is the class's."""
    kind = getattr(transformers, f"{name}ImageProcessorPil")
    for key, value in {**image.USUAL, **image.PROCESSORS[name]}.items():
        if key == "max_size":  # stands in its constructor
            continue
        default = getattr(kind, key, None)
        default = tuple(default) if isinstance(default, list) else default
        assert (default or None) == (value or None), key


OLD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [  # class, what transformers 4 wrote, what 5 calls it
    ("CLIP", {"size": 48, "crop_size": 40}, {"size": {"shortest_edge": 48}, "crop_size": pictures.middle(40)}),
    ("ViT", {"size": 48}, {"size": pictures.middle(48)}),
    ("ConvNext", {"size": 48, "crop_pct": 0.9}, {"size": {"shortest_edge": 48}, "crop_pct": 0.9}),
    ("Detr", {"size": 60, "max_size": 90}, {"size": {"shortest_edge": 60, "longest_edge": 90}}),
    ("Detr", {"size": 60}, {"size": {"shortest_edge": 60, "longest_edge": 1333}}),
    ("Yolos", {"size": 60, "max_size": 90}, {"size": {"shortest_edge": 60, "longest_edge": 90}}),
    ("Levit", {"size": 40, "crop_size": 40}, {"size": {"shortest_edge": 40}, "crop_size": pictures.middle(40)}),
    ("Bit", {"size": 40, "crop_size": 32}, {"size": {"shortest_edge": 40}, "crop_size": pictures.middle(32)}),
    ("DeiT", {"size": 50, "crop_size": 45}, {"size": pictures.middle(50), "crop_size": pictures.middle(45)}),
    ("PoolFormer", {"size": 40, "crop_size": 40}, {"size": {"shortest_edge": 40}, "crop_size": pictures.middle(40)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new"), OLD, ids=str)
@pytest.mark.parametrize("key", ["feature_extractor_type", "image_processor_type"])
def test_lone_numbers_of_transformers_4_mean_what_the_class_says(
    name: str, old: dict[str, Any], new: dict[str, Any], key: str
) -> None:
    given = {key: f"{name}FeatureExtractor", **old}
    data = PICTURES["large"]()
    expected = theirs(data, f"{name}ImageProcessorPil", new)["pixel_values"]
    np.testing.assert_array_equal(pixels(manifest(given), data), expected)


ODD: list[tuple[str, dict[str, Any]]] = [  # class, steps that it has without being asked, or has not though asked
    ("MobileViT", {"do_normalize": True, "image_mean": [0.4] * 3, "image_std": [0.2] * 3}),
    ("EfficientNet", {"do_normalize": False, "include_top": True}),
    ("EfficientNet", {"do_rescale": False, "rescale_offset": True}),
]


@pytest.mark.parametrize(("name", "options"), ODD, ids=str)
def test_classes_do_what_they_do_whatever_their_keys_say(name: str, options: dict[str, Any]) -> None:
    data = PICTURES["large"]()
    expected = theirs(data, f"{name}ImageProcessorPil", options)["pixel_values"]
    given = {"image_processor_type": f"{name}ImageProcessor", **options}
    np.testing.assert_array_equal(pixels(manifest(given), data), expected)


def test_models_have_the_processors_that_transformers_gives_them() -> None:
    auto = transformers.models.auto
    pictures = auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    sounds = auto.feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING_NAMES
    shared = image.MODELS.keys() & pictures.keys()
    assert len(shared) > 40
    for kind in shared:
        assert pictures[kind]["pil"] == f"{image.MODELS[kind]}ImageProcessorPil"
    for kind, name in audio.MODELS.items():
        assert sounds[kind] == f"{name}FeatureExtractor"


def test_an_extractor_from_before_they_had_names_is_read_by_the_model() -> None:
    given = {"do_normalize": True, "feature_size": 1, "sampling_rate": 16000, "return_attention_mask": False}
    named = {**given, "feature_extractor_type": "Wav2Vec2FeatureExtractor"}
    found = [audio.sound(one, "p.json", "hubert", pytest.fail).manifest for one in (given, named)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("key", "value"), [("resample", 9), ("size", "large"), ("rescale_factor", "a lot"), ("image_mean", ["x", 1, 2])]
)
def test_a_value_that_cannot_be_is_named(key: str, value: Any) -> None:
    given = {"image_processor_type": "CLIPImageProcessor", key: value}
    with pytest.raises(BundleError, match=f"p.json: CLIP: .*{key} .*{json.dumps(value)[1:-1] or value}"):
        image.manifest(given, "p.json", "", pytest.fail)


def test_a_file_from_before_processors_had_names_is_read_by_the_model() -> None:
    given = {"do_normalize": True, "do_resize": True, "size": 48}
    named = {**given, "image_processor_type": "ViTImageProcessor"}
    assert manifest(given, "vit") == manifest(named)


def test_unknown_keys_are_named_and_unknown_classes_refused() -> None:
    said: list[str] = []
    image.manifest({"image_processor_type": "ViTImageProcessorFast", "do_magic": 1}, "p.json", "", said.append)
    assert said == ["p.json: unknown keys, ignored: do_magic"]
    with pytest.raises(BundleError, match=r"p.json: image processor 'Perceiver' is not among those .* CLIP"):
        image.manifest({"image_processor_type": "PerceiverImageProcessor"}, "p.json", "", said.append)
    given = {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 3, "width": 3}}
    with pytest.raises(BundleError, match=r'p.json: ConvNext: size \{"height": 3, "width": 3\}.* does not fit'):
        image.manifest(given, "p.json", "", said.append)
