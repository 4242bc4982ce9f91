"""An image processor's JSON to the manifest of a picture; what the JSON leaves out is in the table, by class."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.importers.huggingface.layout import Json, Say
from service.errors import BundleError

SIZES = ("size", "crop_size", "crop_pct", "resample", "pad_size")
NUMBERS = ("rescale_factor", "image_mean", "image_std")
NEAREST, LANCZOS, BILINEAR, BICUBIC = range(4)
RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers
IMAGENET: Json = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
HALF: Json = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
CLIP: Json = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711),
}  # fmt: skip
IGNORED = {  # what neither changes the numbers of one picture nor needs to be told
    "image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "_valid_processor_keys",
    "data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "default_to_square",
    "do_convert_rgb", "do_reduce_labels", "reduce_labels", "do_convert_annotations", "format", "num_channels",
    "pad_and_return_pixel_mask", "image_seq_length", "model_input_names", "backend",
}  # fmt: skip
USUAL: Json = {
    "do_resize": True, "size": None, "resample": BICUBIC, "do_center_crop": False, "crop_size": None,
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_pad": False, "pad_size": None,
    "image_mean": None, "image_std": None,
}  # fmt: skip


def square(size: int) -> Json:
    return {"height": size, "width": size}


def shortest(size: int, resample: int, colours: Json, crop: int) -> Json:
    return {
        "size": {"shortest_edge": size}, "resample": resample, "do_center_crop": True, "crop_size": square(crop),
        **colours,
    }  # fmt: skip


DETR: Json = {
    "size": {"shortest_edge": 800, "longest_edge": 1333}, "max_size": 1333, "resample": BILINEAR, "do_pad": True,
    **IMAGENET,
}  # fmt: skip
VILT: Json = {"size_divisor": 32, "do_pad": True}
PROCESSORS: dict[str, Json] = {  # transformers' class without ImageProcessor -> its defaults, where not the USUAL ones
    "Beit": {"size": square(224), "crop_size": square(224), **HALF},
    "Bit": shortest(224, BICUBIC, CLIP, 224),
    "Blip": {"size": square(384), **CLIP},
    "BridgeTower": {
        "size": {"shortest_edge": 288}, "do_center_crop": True, "crop_size": {"shortest_edge": 288}, **CLIP, **VILT,
    },
    "CLIP": shortest(224, BICUBIC, CLIP, 224),
    "ChineseCLIP": shortest(224, BICUBIC, CLIP, 224),
    "ConditionalDetr": DETR,
    "ConvNext": {"size": {"shortest_edge": 384}, "crop_pct": 224 / 256, **HALF},
    "DeformableDetr": DETR,
    "DeiT": {"size": square(256), "do_center_crop": True, "crop_size": square(224), **HALF},
    "Detr": DETR,
    "EfficientNet": {
        "size": square(346), "crop_size": square(289), "rescale_offset": False, "include_top": True, **HALF,
    },
    "GLPN": {"size_divisor": 32, "resample": BILINEAR, "do_normalize": False},
    "Levit": shortest(224, BICUBIC, IMAGENET, 224),
    "MobileNetV1": shortest(256, BILINEAR, HALF, 224),
    "MobileNetV2": shortest(256, BILINEAR, HALF, 224),
    "MobileViT": {**shortest(224, BICUBIC, HALF, 256), "do_normalize": False, "do_flip_channel_order": True},
    "PoolFormer": {**shortest(224, BICUBIC, IMAGENET, 224), "crop_pct": 0.9},
    "Pvt": {"size": square(224), **IMAGENET},
    "RTDetr": {"size": square(640), "resample": BILINEAR, "do_normalize": False, **IMAGENET},
    "Segformer": {"size": square(512), "resample": BILINEAR, **IMAGENET},
    "Siglip": {"size": square(224), **HALF},
    "ViT": {"size": square(224), "resample": BILINEAR, **HALF},
    "Vilt": {"size": {"shortest_edge": 384}, **HALF, **VILT},
    "Yolos": DETR,
}  # fmt: skip
SQUARE = {"Beit", "Blip", "DeiT", "EfficientNet", "Pvt", "Segformer", "ViT"}  # where `size: 224` is height and width
MODELS = {  # config.json's model_type -> processor, for files from before processors said their class
    "align": "EfficientNet", "altclip": "CLIP", "beit": "Beit", "bit": "Bit", "blip": "Blip", "blip-2": "Blip",
    "bridgetower": "BridgeTower", "chinese_clip": "ChineseCLIP", "clip": "CLIP", "clipseg": "ViT",
    "conditional_detr": "ConditionalDetr", "convnext": "ConvNext", "convnextv2": "ConvNext", "cvt": "ConvNext",
    "d_fine": "RTDetr", "data2vec-vision": "Beit", "deformable_detr": "DeformableDetr", "deit": "DeiT",
    "detr": "Detr", "dinov2": "Bit", "dinov2_with_registers": "Bit", "efficientnet": "EfficientNet",
    "focalnet": "Bit", "glpn": "GLPN", "groupvit": "CLIP", "hiera": "Bit", "ijepa": "ViT", "levit": "Levit",
    "mobilenet_v1": "MobileNetV1", "mobilenet_v2": "MobileNetV2", "mobilevit": "MobileViT",
    "mobilevitv2": "MobileViT", "poolformer": "PoolFormer", "pvt": "Pvt", "pvt_v2": "Pvt", "regnet": "ConvNext",
    "resnet": "ConvNext", "rt_detr": "RTDetr", "rt_detr_v2": "RTDetr", "segformer": "Segformer", "siglip": "Siglip",
    "swiftformer": "ViT", "swin": "ViT", "swinv2": "ViT", "table-transformer": "Detr", "vilt": "Vilt", "vit": "ViT",
    "vit_mae": "ViT", "vit_msn": "ViT", "xclip": "CLIP", "yolos": "Yolos",
}  # fmt: skip


def manifest(given: Json, file: str, model_type: str, say: Say) -> Json:
    """Raises BundleError for a class or a step that cannot be expressed; says which keys are not known."""
    name = processor(given, model_type)
    if name not in PROCESSORS:
        raise BundleError(
            f"{file}: image processor {name or 'of no name'!r} is not among those that Braid knows: "
            f"{', '.join(PROCESSORS)}; write the manifest by hand (`python -m models import onnx` starts one)"
        )
    defaults = {**USUAL, **PROCESSORS[name]}
    if unknown := sorted(given.keys() - defaults.keys() - IGNORED - {"max_size"}):
        say(f"{file}: unknown keys, ignored: {', '.join(unknown)}")
    return steps(name, {**defaults, **{key: value for key, value in given.items() if value is not None}}, file)


def processor(given: Json, model_type: str) -> str:
    """The class without what its name ends with: ImageProcessor, ImageProcessorFast, FeatureExtractor, ..."""
    name = str(given.get("image_processor_type") or given.get("feature_extractor_type") or MODELS.get(model_type, ""))
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(ending)
    return name


def steps(name: str, said: Json, file: str) -> Json:
    made: Json = {"kind": "image", "depth": "clip", "alpha": "drop"}
    try:
        if said["do_resize"]:
            made |= RESIZES.get(name, usual)(name, said)
        if said["do_center_crop"]:
            made["crop"] = sides(said["crop_size"])
        if said["do_pad"] and said["pad_size"]:
            made["pad"] = {**sides(said["pad_size"]), "unit": "tensor"}
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{file}: {name}: {shown(said, SIZES)}: one of these does not fit; compare the model's repository"
        ) from error
    try:
        return made | normalization(name, said)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{file}: {name}: {shown(said, NUMBERS)}: not all of these are numbers") from error


def normalization(name: str, said: Json) -> Json:
    made: Json = {}
    if said["do_rescale"]:
        made["scale"] = float(said["rescale_factor"])
        if said.get("rescale_offset"):
            made["offset"] = -1.0
    if said["do_normalize"] and name != "MobileViT":  # which has the key, but no such step
        made |= {"mean": numbers(said["image_mean"]), "std": numbers(said["image_std"])}
    if said.get("include_top"):  # EfficientNet: divided by std whether normalised or not
        made |= {"std_twice": True} if "std" in made else {"std": numbers(said["image_std"])}
    if said.get("do_flip_channel_order"):
        made["channels"] = "BGR"
    return made


def shown(said: Json, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {json.dumps(said[key], default=str)}" for key in keys if key in said)


def usual(name: str, said: Json) -> Json:
    size = sized(name, said)
    match sorted(size):
        case ["height", "width"]:
            resize = {"to": "exact", **sides(size)}
        case ["shortest_edge"]:
            resize = {"to": "shortest", "edge": size["shortest_edge"]}
        case ["longest_edge", "shortest_edge"]:
            resize = {"to": "shortest", "edge": size["shortest_edge"], "longest": size["longest_edge"]}
        case ["max_height", "max_width"]:
            resize = {"to": "fit", "height": size["max_height"], "width": size["max_width"]}
        case _:
            raise ValueError(size)
    return resized(resize, said)


def yolos(name: str, said: Json) -> Json:
    found: Json = usual(name, said)
    if found["resize"]["to"] == "shortest":
        found["resize"]["multiple_of"] = 16
    return found


def convnext(name: str, said: Json) -> Json:
    edge = sized(name, said)["shortest_edge"]
    if edge >= 384:
        return resized({"to": "exact", **square(edge)}, said)
    return resized({"to": "shortest", "edge": int(edge / said["crop_pct"])}, said) | {"crop": square(edge)}


def levit(name: str, said: Json) -> Json:
    size = sized(name, said)
    return usual(name, {**said, "size": {"shortest_edge": int(256 / 224 * size["shortest_edge"])}})


def poolformer(name: str, said: Json) -> Json:
    size, share = sized(name, said), said["crop_pct"]
    if "shortest_edge" in size or size["height"] == size["width"]:
        size = {"shortest_edge": int(size.get("shortest_edge", size.get("height")) / share)}
    else:
        size = {side: int(length / share) for side, length in size.items()}
    return usual(name, {**said, "size": size})


def vilt(name: str, said: Json) -> Json:
    edge = sized(name, said)["shortest_edge"]
    resize = {
        "to": "shortest", "edge": edge, "longest": int(1333 / 800 * edge), "rounding": "half_up",
        "multiple_of": said["size_divisor"],
    }  # fmt: skip
    return resized(resize, said)


def glpn(name: str, said: Json) -> Json:
    return resized({"to": "multiple", "of": said["size_divisor"]}, said)


RESIZES: Mapping[str, Callable[[str, Json], Json]] = {
    "BridgeTower": vilt,
    "ConvNext": convnext,
    "GLPN": glpn,
    "Levit": levit,
    "PoolFormer": poolformer,
    "Vilt": vilt,
    "Yolos": yolos,
}


def resized(resize: Json, said: Json) -> Json:
    return {"resize": {**resize, "resample": dict(enumerate(RESAMPLE))[said["resample"]]}}


def sized(name: str, said: Json) -> Json:
    """`size` as a dictionary; what a lone number means depends on the class."""
    size: Any = said["size"]
    if isinstance(size, dict):
        return {key: value for key, value in size.items() if value is not None}
    if isinstance(size, list | tuple):
        return {"height": size[0], "width": size[1]}
    if name in SQUARE:
        return square(int(size))
    edges = {"shortest_edge": int(size)}
    return edges | {"longest_edge": said["max_size"]} if "max_size" in said else edges


def sides(size: Any) -> Json:
    """Height and width of a crop or a padding: a number is a square."""
    if isinstance(size, list | tuple):
        return {"height": size[0], "width": size[1]}
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        return {"height": size["height"], "width": size["width"]} if edge is None else square(edge)
    return square(int(size))


def numbers(values: Any) -> list[float]:
    return [float(value) for value in values] if isinstance(values, list | tuple) else [float(values)]
