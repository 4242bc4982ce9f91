"""A graph's inputs and the processors' files to the parts of a manifest: which tensor is whose."""

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from models.importers.huggingface import audio, image, text
from models.importers.huggingface.layout import Export, Json
from service.errors import BundleError
from service.ports import Port

ORDER = ("text", "image", "audio")
PRESENT = "modality_mask"
TOKENIZER = "tokenizer.json"
ROLES = {  # graph's input -> its part and what it is there
    "input_ids": ("text", "ids"), "token_type_ids": ("text", "types"), "position_ids": ("text", "positions"),
    "pixel_values": ("image", "pixels"), "pixel_mask": ("image", "mask"),
    "input_values": ("audio", "features"), "input_features": ("audio", "features"), "is_longer": ("audio", "longer"),
}  # fmt: skip
ALONE = {4: ("image", "pixels"), 2: ("audio", "features")}  # a lone input's axes -> what it is
FILES = {  # part -> where its processor is described, the first that there is; nested: transformers 5
    "image": (("processor_config.json", "image_processor"), ("image_preprocessor_config.json", None),
              ("preprocessor_config.json", None)),
    "audio": (("processor_config.json", "feature_extractor"), ("processor_config.json", "audio_processor"),
              ("audio_preprocessor_config.json", None), ("preprocessor_config.json", None)),
}  # fmt: skip


class Parts(NamedTuple):
    manifest: dict[str, Json]  # part -> its spec, in order
    files: dict[str, bytes]  # tokenizer, filter bank
    processors: dict[str, tuple[str, Json]]  # part -> transformers' class and its JSON
    present: str | None


def parts(export: Export, ports: Mapping[str, Port]) -> Parts:
    """Raises BundleError where an input is nobody's, or a processor's file is missing or unknown."""
    bound = roles(ports)
    made = Parts({}, {}, {}, PRESENT if PRESENT in ports else None)
    for part in ORDER:
        tensors = {role: name for name, (owner, role) in bound.items() if owner == part}
        if not tensors:
            continue
        spec = {"text": texts, "image": images, "audio": sounds}[part](export, ports, tensors, made)
        made.manifest[part] = {**spec, "tensors": dict(sorted(tensors.items(), key=lambda item: item[0] == "mask"))}
    if not made.manifest:
        raise BundleError(f"the graph takes {', '.join(ports)}: neither text, picture nor sound")
    return made


def roles(ports: Mapping[str, Port]) -> dict[str, tuple[str, str]]:
    """Graph's input -> part and role; a single input of another name is told by its axes."""
    names = {base(name): name for name in ports}
    found: dict[str, tuple[str, str]] = {}
    for known, name in names.items():
        if known == "attention_mask":
            found[name] = ("text" if "input_ids" in names else "audio", "mask")
        elif known in ROLES:
            found[name] = ROLES[known]
        elif len(ports) == 1 and len(ports[name].shape) in ALONE:
            found[name] = ALONE[len(ports[name].shape)]
        elif known != PRESENT:
            why = (
                "it generates text" if known.startswith(("past_", "decoder_")) else "start a manifest by `import onnx`"
            )
            raise BundleError(f"the graph's input {name!r} is none that exports of Hugging Face have; {why}")
    return found


def base(name: str) -> str:
    """Without what TensorFlow's exporters add."""
    return name.removeprefix("serving_default_").partition(":")[0]


def texts(export: Export, ports: Mapping[str, Port], tensors: Mapping[str, str], made: Parts) -> Json:
    words = text.words(export, ports[tensors["ids"]].shape[1], positions="positions" in tensors)
    made.files[TOKENIZER] = words.tokenizer.encode()
    return words.manifest


def images(export: Export, ports: Mapping[str, Port], tensors: Mapping[str, str], made: Parts) -> Json:
    given, file = described(export, "image")
    kind = str(export.config.get("model_type", ""))
    spec = image.manifest(given, file, kind, export.say)
    made.processors["image"] = f"{image.processor(given, kind)}ImageProcessor", given
    shape = ports[tensors["pixels"]].shape
    if len(shape) != 4:
        raise BundleError(
            f"the graph's input {tensors['pixels']!r} has {len(shape)} axes; Braid gives it 4, one picture"
        )
    if "mask" in tensors:  # convolutions look into the padding, which no mask mends
        spec["alike"] = True
    return spec | ({"layout": "hwc"} if shape[3] == 3 and shape[1] != 3 else {})


def sounds(export: Export, ports: Mapping[str, Port], tensors: Mapping[str, str], made: Parts) -> Json:
    given, file = described(export, "audio")
    kind = str(export.config.get("model_type", ""))
    found = audio.sound(given, file, kind, export.say)
    made.processors["audio"] = f"{audio.extractor(given, kind)}FeatureExtractor", given
    if found.bank is not None:
        out = io.BytesIO()
        np.save(out, found.bank, allow_pickle=False)
        made.files[audio.MEL] = out.getvalue()
    if found.bank is not None:
        return found.manifest
    return found.manifest | heard(export, ports[tensors["features"]].shape[1], found.manifest, masked="mask" in tensors)


def heard(export: Export, size: int | None, manifest: Json, *, masked: bool) -> Json:
    """What the configuration of a network over samples says: how few it takes, and who may share a run."""
    features = {**manifest["features"], "least": least(export.config)}
    made: Json = {"features": features}
    if size is not None:  # a graph of a static length
        made |= {"features": features | {"samples": size}, "max_seconds": size / manifest["sample_rate"]}
    if masked:
        made["alike"] = export.config.get("feat_extract_norm") != "layer"  # a group norm takes padding for sound
    return made


def least(config: Json) -> int:
    """Samples of one frame after all convolutions."""
    samples = 1
    for kernel, stride in zip(config.get("conv_kernel", [])[::-1], config.get("conv_stride", [])[::-1], strict=True):
        samples = (samples - 1) * int(stride) + int(kernel)
    return samples


def described(export: Export, part: str) -> tuple[Json, str]:
    """The processor's JSON and the name of its file. Raises BundleError."""
    for name, key in FILES[part]:
        given = export.json(name)
        if key and given:
            given = given.get(key)
            name = f"{name}: {key}"
        if given and ("image_processor_type" not in given or part == "image"):
            return given, name
    names = dict.fromkeys(name for name, _ in reversed(FILES[part]))
    raise BundleError(f"{export.folder}: none of {', '.join(names)} describes how to prepare {part}; copy it there")
