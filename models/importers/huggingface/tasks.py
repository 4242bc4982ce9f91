"""What a model is for, by its configuration and its graph's outputs, to the outputs of a manifest."""

from collections.abc import Mapping
from typing import Any

from models.importers.bundles import Shapes
from models.importers.huggingface.layout import Export, Json
from models.importers.huggingface.pooling import vector
from service.errors import BundleError

SIGMOID = {  # detectors whose classes do not exclude each other -> how many of all (box, class) pairs they keep
    "conditional_detr": 100, "dab-detr": 100, "d_fine": None, "deformable_detr": 100, "rt_detr": None,
    "rt_detr_v2": None,
}  # fmt: skip
WEIGHTS = ("attention_weights", "modality_weights")  # a number a part, of a fused model
REFUSED = {  # end of an architecture's name -> what it does
    "ForTokenClassification": "labels single tokens", "ForQuestionAnswering": "marks answers in a text",
    "ForMaskedLM": "fills in words", "ForCausalLM": "generates text", "ForConditionalGeneration": "generates text",
    "ForCTC": "transcribes", "ForSemanticSegmentation": "labels single pixels", "ForDepthEstimation": "measures depth",
    "ForInstanceSegmentation": "outlines things", "ForUniversalSegmentation": "outlines things",
    "ForAudioFrameClassification": "labels single frames", "ForMultipleChoice": "chooses among several texts",
}  # fmt: skip


def outputs(export: Export, parts: Mapping[str, Json], found: Shapes) -> Json:
    """`parts` as the manifest has them, `found` what the graph gives for one row, without batch axis. The main output
    stands first and is named after its task.

    Raises BundleError.
    """
    refuse(export)
    made: Json = {}
    if "pred_boxes" in found and "logits" in found:
        made["detection"] = detection(export, parts, found)
    elif "logits" in found:
        made |= scores(export, found["logits"])
    if not made or "embedding" in found:
        made["embedding"] = vector(export, parts, found)
    if weights := next((name for name in WEIGHTS if found.get(name) == (len(parts),)), None):
        made["weights"] = {"kind": "weights", "tensor": weights}
    return made


def refuse(export: Export) -> None:
    for name in export.config.get("architectures") or []:
        for ending, what in REFUSED.items():
            if str(name).endswith(ending) and not encoder(export):
                raise BundleError(f"config.json: {name} {what}, which no answer of Braid can say")


def encoder(export: Export) -> bool:
    """Only the encoder of a model that has a decoder, too: its vectors are what it is for."""
    return next(iter(export.graphs.values())).stem.startswith(("encoder_model", "audio_model", "vision_model"))


def scores(export: Export, shape: tuple[int, ...]) -> Json:
    """Classification, multilabel or regression, as transformers' loss decides it."""
    if len(shape) != 1:
        raise BundleError(f"output 'logits' is {shape} for one row; Braid answers for all of it, not for each token")
    names = labels(export.config, shape[0])
    problem = export.config.get("problem_type")
    if problem == "regression" or (problem is None and len(names) == 1):
        return {"regression": {"kind": "regression", "tensor": "logits", **({"names": names} if names[1:] else {})}}
    if problem == "multi_label_classification":
        return {"multilabel": {"kind": "multilabel", "tensor": "logits", "labels": names}}
    return {"classification": {"kind": "classification", "tensor": "logits", "labels": names, "activation": "softmax"}}


def labels(config: Json, count: int) -> list[str]:
    """In the order of their numbers. Raises BundleError where there is not one for each of the graph's classes."""
    given: Mapping[Any, str] = config.get("id2label") or {}
    try:
        names = [str(name) for _, name in sorted((int(number), name) for number, name in given.items())]
    except ValueError as error:
        raise BundleError("config.json: id2label: its keys are not numbers") from error
    if not names:  # transformers leaves out its own default
        names = [f"LABEL_{number}" for number in range(count)]
    if count != len(names):
        raise BundleError(
            f"config.json: id2label names {len(names)} labels, but the graph gives {count}; mend id2label"
        )
    return names


def detection(export: Export, parts: Mapping[str, Json], found: Shapes) -> Json:
    """Boxes are shares of the upright picture; transformers' post_process_object_detection does not clip them."""
    kind = str(export.config.get("model_type"))
    boxes, classes = found["logits"]
    made: Json = {
        "kind": "detection", "pixels": parts["image"]["tensors"]["pixels"], "boxes": "pred_boxes", "scores": "logits",
        "format": "cxcywh", "unit": "picture", "clip": False,
    }  # fmt: skip
    if kind in SIGMOID:
        kept = SIGMOID[kind] or boxes
        return {**made, "labels": labels(export.config, classes), "activation": "sigmoid", "each": "pair", "most": kept}
    names = labels(export.config, classes - 1)
    return {**made, "labels": names, "activation": "softmax", "background": -1, "most": boxes}
