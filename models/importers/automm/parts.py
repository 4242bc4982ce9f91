"""An AutoMM model's configuration to the part of a manifest: its validation transforms, its tokenizer, its columns."""

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer

from models.importers.automm.predictor import Json, Predictor, section
from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given
from models.importers.guess.picture import NORMS, colours
from models.importers.huggingface.text import normalized
from service.errors import BundleError
from service.ports import Port

UNBOUNDED = 1e6  # AutoMM's infinity
CONFIG = "config.yaml"


def picture(draft: Draft, name: str, predictor: Predictor, ports: dict[str, Port], given: Given) -> None:
    """timm_image: PIL, torchvision's Resize and CenterCrop, ToTensor, Normalize (data/process_image.py)."""
    said, pixels, count = section(predictor.model, name), f"{name}_image", f"{name}_image_valid_num"
    if int(said.get("image_chan_num") or 3) != 3:
        raise BundleError(f"{CONFIG}: model.{name}.image_chan_num: {said['image_chan_num']}; Braid's pictures have 3")
    if pixels not in ports or len(ports[pixels].shape) != 5:
        raise BundleError(
            f"the graph has no input {pixels!r} of (batch, pictures, 3, side, side): is it AutoMM's export?"
        )
    _, slots, _, side, _ = ports[pixels].shape
    if not (side and slots):
        raise BundleError(f"the graph's {pixels!r} has no fixed side; export it by MultiModalPredictor.export_onnx")
    place = "inputs.image"
    draft.put(f"{place}.kind", "image", Origin.FILE, f"{CONFIG}: {name}")
    draft.put(f"{place}.depth", "clip", Origin.FILE, "AutoMM reads pictures by Pillow")
    draft.put(
        f"{place}.alpha", "drop", Origin.FILE, "and converts them to RGB; unlike it Braid turns them upright (EXIF)"
    )
    for key, value in transforms(said, side, name).items():
        draft.put(f"{place}.{key}", value, Origin.FILE, "val_transforms")
    normalization(draft, place, predictor, name, given)
    draft.put(f"{place}.slots", slots, Origin.GRAPH, "pictures of a row; one is sent, the others count as missing")
    tensors = {"pixels": pixels} | ({"count": count} if count in ports else {})
    draft.put(f"{place}.tensors", tensors, Origin.GRAPH)


def transforms(said: Json, side: int, name: str) -> Json:
    """Raises BundleError on a step that is none of validation's."""
    made: Json = {}
    steps = said.get("val_transforms", said.get("val_transform_types"))
    if not isinstance(steps, list):
        raise BundleError(f"{CONFIG}: model.{name}.val_transforms: no list")
    for step in steps:
        if step == "resize_to_square" and not made:
            made["resize"] = {"to": "exact", "height": side, "width": side, "resample": "bicubic"}
        elif step == "resize_shorter_side" and not made:
            made["resize"] = {"to": "shortest", "edge": side, "resample": "bicubic"}
        elif step == "center_crop" and "crop" not in made:
            made["crop"] = {"height": side, "width": side, "rounding": "half_even"}
        else:
            raise BundleError(f"{CONFIG}: model.{name}.val_transforms: {step!r} there is none that Braid knows")
    return made


def normalization(draft: Draft, place: str, predictor: Predictor, name: str, given: Given) -> None:
    """timm's numbers stand beside the weights that `dump_model` writes, and nowhere else."""
    file = predictor.file(name, "config.json")
    said = json_of(file) if file else {}
    found = section(said, "pretrained_cfg") or said
    if given.norm or given.mean or given.std:
        colours(draft, place, given if given.norm else given.model_copy(update={"scale": NORMS["unit"]["scale"]}))
        return
    draft.put(f"{place}.scale", NORMS["unit"]["scale"], Origin.FILE, "ToTensor")
    for key in ("mean", "std"):
        if found.get(key):
            draft.put(f"{place}.{key}", [float(number) for number in found[key]], Origin.FILE, f"{name}/config.json")
        else:
            checkpoint = section(predictor.model, name).get("checkpoint_name")
            why = (
                f"timm's of {checkpoint}: predictor.dump_model('FOLDER') writes {name}/config.json, which holds them; "
                "copy it into the predictor's folder, or --norm imagenet, inception or clip"
            )
            draft.ask(f"{place}.{key}", why)


def text(draft: Draft, name: str, predictor: Predictor, ports: dict[str, Port]) -> dict[str, bytes]:
    """hf_text: its tokenizer without lengths of its own, one column of text (data/process_text.py)."""
    said = section(predictor.model, name)
    file = predictor.file(name, "tokenizer.json")
    if file is None:
        raise BundleError(
            f"{predictor.folder / name}: no tokenizer.json; where transformers is installed write it by "
            f"AutoTokenizer.from_pretrained({name!r}).save_pretrained({name!r})"
        )
    about = json_of(predictor.file(name, "tokenizer_config.json"))
    content = normalized(of_one_segment(json_of(file)), about)
    special(content, about, json_of(predictor.file(name, "special_tokens_map.json")), file)
    ids, length, types = (f"{name}_text_{end}" for end in ("token_ids", "valid_length", "segment_ids"))
    if ids not in ports or length not in ports:
        raise BundleError(f"the graph has no inputs {ids!r} and {length!r}: is it AutoMM's export?")
    place = "inputs.text"
    draft.put(f"{place}.kind", "text", Origin.FILE, f"{CONFIG}: {name}")
    draft.put(f"{place}.tokenizer", "tokenizer.json", Origin.FILE, f"{name}/tokenizer.json")
    most = longest(said, json_of(predictor.file(name, "config.json")), about)
    draft.put(f"{place}.max_tokens", most, Origin.FILE, "max_text_len, and no more than the model takes")
    tensors = {"ids": ids, "length": length} | ({"types": types} if types in ports else {})
    draft.put(f"{place}.tensors", tensors, Origin.GRAPH)
    return {"tokenizer.json": content.encode()}


def of_one_segment(content: Json) -> Json:
    """AutoMM's segment of the only column is 0 throughout, whatever types the tokenizer gives."""
    processor = content.get("post_processor")
    if not isinstance(processor, dict) or processor.get("type") != "TemplateProcessing":
        return content
    single = [{kind: {**said, "type_id": 0} for kind, said in piece.items()} for piece in processor["single"]]
    return {**content, "post_processor": {**processor, "single": single}}


def longest(said: Json, config: Json, about: Json) -> int:
    """get_text_token_max_len."""
    relative = config.get("relative_attention") or "relative" in str(config.get("position_embedding_type", ""))
    usual: Any = None if relative else config.get("max_position_embeddings")
    usual = usual if usual is not None else about.get("model_max_length")
    given = said.get("max_text_len")
    if not given or given <= 0:
        given = usual
    if given is None or given > UNBOUNDED:
        raise BundleError(f"{CONFIG}: no max_text_len, and neither config.json nor tokenizer_config.json says more")
    return int(min(given, usual or given))


def special(content: str, about: Json, more: Json, file: Path) -> None:
    """AutoMM puts cls in front and sep, or eos, behind by itself; so must the tokenizer. Raises BundleError."""
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises nothing narrower
        raise BundleError(f"{file}: not one that the library tokenizers {tokenizers.__version__} reads") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cls, sep, bos, eos = (token_id(tokenizer, about, more, key) for key in ("cls", "sep", "bos", "eos"))
    front, back = (bos, eos) if cls is None or sep is None else (cls, sep)
    expected = [token for token in (front, back) if token is not None]
    if (found := tokenizer.encode("").ids) != expected:
        raise BundleError(f"{file}: puts tokens {found} around a text, where AutoMM puts {expected}")


def token_id(tokenizer: Tokenizer, about: Json, more: Json, key: str) -> int | None:
    token = about.get(f"{key}_token") or more.get(f"{key}_token")
    token = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(token) if token else None


def json_of(file: Path | None) -> Json:
    """Nothing, where there is no such file. Raises BundleError."""
    if file is None:
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(f"{file}: not a readable JSON object") from error
