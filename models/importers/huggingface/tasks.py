"""What a model is for, by its configuration and its graph's outputs, to the outputs of a manifest."""

from collections.abc import Mapping
from typing import Any

from models.importers.bundles import Shapes
from models.importers.huggingface.layout import Export, Json
from models.importers.huggingface.parts import Parts, base
from models.importers.huggingface.pooling import vector
from service.errors import BundleError

PAIRS = {  # processor whose post_process_object_detection takes a sigmoid -> pairs of box and class that it keeps
    "ConditionalDetrImageProcessor": 100, "DeformableDetrImageProcessor": 100,
    "RTDetrImageProcessor": None,  # as many as there are boxes
}  # fmt: skip
WEIGHTS = ("attention_weights", "modality_weights")  # a number a part, of a fused model
REFUSED = {  # end of an architecture's name -> what it does
    "ForTokenClassification": "labels single tokens", "ForQuestionAnswering": "marks answers in a text",
    "ForMaskedLM": "fills in words", "ForCausalLM": "generates text", "ForConditionalGeneration": "generates text",
    "ForCTC": "transcribes", "ForSemanticSegmentation": "labels single pixels", "ForDepthEstimation": "measures depth",
    "ForInstanceSegmentation": "outlines things", "ForUniversalSegmentation": "outlines things",
    "ForAudioFrameClassification": "labels single frames", "ForMultipleChoice": "chooses among several texts",
}  # fmt: skip


def outputs(export: Export, parts: Parts, shapes: Shapes) -> Json:
    """`shapes`: what the graph gives for one row, without batch axis. The main output stands first and is named after
    its task. Raises BundleError.
    """
    names = named(export, shapes)
    found = {known: shapes[name] for known, name in names.items()}
    made: Json = {}
    if "pred_boxes" in found and "logits" in found:
        made["detection"] = detection(export, parts, found)
    elif "logits" in found:
        made |= scores(export, found["logits"])
    if not made or "embedding" in found:
        made["embedding"] = vector(export, parts.manifest, found)
    if weights := next((name for name in WEIGHTS if found.get(name) == (len(parts.manifest),)), None):
        made["weights"] = {"kind": "weights", "tensor": weights}
    return {task: {key: graphs(value, names) for key, value in output.items()} for task, output in made.items()}


def named(export: Export, shapes: Shapes) -> dict[str, str]:
    """transformers' name of an output -> the graph's; a lone row of numbers of a model with labels is its logits."""
    if len(shapes) == 1 and "id2label" in export.config:
        ((name, shape),) = shapes.items()
        if len(shape) == 1:
            return {"logits": name}
    return {base(name): name for name in shapes}


def graphs(value: Any, names: Mapping[str, str]) -> Any:
    """The graph's name where the value is one of transformers'."""
    return names.get(value, value) if isinstance(value, str) else value


def refuse(config: Json) -> None:
    """Of what there are logits, but for no task of Braid."""
    for name in config.get("architectures") or []:
        for ending, what in REFUSED.items():
            if str(name).endswith(ending):
                raise BundleError(f"config.json: {name} {what}, which no answer of Braid can say")


def scores(export: Export, shape: tuple[int, ...]) -> Json:
    """Classification, multilabel or regression, as transformers' loss decides it."""
    refuse(export.config)
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
    except (AttributeError, ValueError) as error:
        raise BundleError("config.json: id2label: its keys are not numbers; mend it") from error
    if not names:  # transformers leaves out its own default
        names = [f"LABEL_{number}" for number in range(count)]
    if count != len(names):
        raise BundleError(
            f"config.json: id2label names {len(names)} labels, but the graph gives {count}; mend id2label"
        )
    return names


def detection(export: Export, parts: Parts, found: Shapes) -> Json:
    """Boxes are shares of the upright picture; transformers' post_process_object_detection does not clip them."""
    kind, _ = parts.processors["image"]
    pixels = parts.manifest["image"]["tensors"]["pixels"]
    boxes, classes = found["logits"]
    made: Json = {
        "kind": "detection", "pixels": pixels, "boxes": "pred_boxes", "scores": "logits", "format": "cxcywh",
        "unit": "picture", "clip": False,
    }  # fmt: skip
    if kind in PAIRS:
        kept = PAIRS[kind] or boxes
        return {**made, "labels": labels(export.config, classes), "activation": "sigmoid", "each": "pair", "most": kept}
    names = labels(export.config, classes - 1)
    return {**made, "labels": names, "activation": "softmax", "background": -1, "most": boxes}
