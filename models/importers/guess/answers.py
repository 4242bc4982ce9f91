"""A graph's outputs to the `outputs` of a manifest: by their names, shapes and numbers on random inputs."""

from collections.abc import Mapping
from typing import NamedTuple

from models.importers.draft import Draft, Origin
from models.importers.guess import boxes
from models.importers.guess.given import Given
from models.importers.guess.labels import named
from models.importers.guess.outcome import Output, activation, probabilities, shown
from models.importers.guess.roles import words
from service.errors import BundleError

SCORES = {"logits", "logit", "prob", "probs", "probability", "probabilities", "score", "scores", "softmax", "class"}
VECTORS = {"embedding", "embeddings", "embed", "embeds", "feature", "features", "pooled", "pooler", "vector", "hidden"}


class Graph(NamedTuple):
    outputs: list[Output]
    metadata: Mapping[str, str]
    pixels: str | None  # the input that holds the picture
    sides: tuple[int, int]  # its height and width, or those of the random pictures
    mask: str | None  # the one that is 1 on tokens


def answers(draft: Draft, graph: Graph, given: Given) -> None:
    """Adds `outputs`. Raises BundleError where an option fits none."""
    labels = named(given, graph.metadata)
    if given.task in (None, "detection") and graph.pixels:
        found = boxes.find(graph.outputs, graph.sides, sure=detects(given, graph.metadata))
        if found:
            boxes.put(draft, graph.pixels, found, labels, given)
            return
    if given.task == "detection":
        raise BundleError(
            "--task detection: no boxes among the graph's outputs; --set outputs.detection.boxes=... names them"
        )
    main = chosen(graph.outputs, given)
    task, why = (given.task, "") if given.task else guessed(main, labels)
    place = f"outputs.{task}"
    draft.put(f"{place}.kind", task, Origin.GUESS if why else Origin.GIVEN, why)
    draft.put(f"{place}.tensor", main.name, Origin.GRAPH, f"{shown(main.shape)} a row{others(main, graph.outputs)}")
    if task in ("classification", "multilabel"):
        classes(draft, place, main, labels, given)
    elif task == "embedding":
        vector(draft, place, main, graph.mask, given)
    elif task == "regression" and main.shape != (1,) and main.shape:
        count = main.shape[-1]
        draft.put(f"{place}.names", labels, Origin.FILE) if labels else draft.ask(
            f"{place}.names", f"of {count} values"
        )
    elif task == "anomaly":
        draft.ask(f"{place}.threshold", "over which it is one")


def detects(given: Given, metadata: Mapping[str, str]) -> bool:
    return given.task == "detection" or metadata.get("task") == "detect"


def chosen(found: list[Output], given: Given) -> Output:
    """The output that answers: the one that was named, or with scores, or with a vector, or the first."""
    if given.output:
        for output in found:
            if output.name == given.output:
                return output
        raise BundleError(f"--output {given.output}: the graph gives {', '.join(output.name for output in found)}")
    for wanted in (SCORES, VECTORS):
        for output in found:
            if words(output.name) & wanted and len(output.shape) <= 2:
                return output
    return next((output for output in found if len(output.shape) == 1), found[0])


def guessed(main: Output, labels: list[str]) -> tuple[str, str]:
    """Task and why."""
    size = main.shape[-1] if main.shape else 1
    if len(main.shape) > 1:
        return "embedding", "a vector for each token or place; --task says otherwise"
    if labels:
        return "classification", "there are labels; --task multilabel if they do not exclude each other"
    if size == 1:
        return "regression", "one number; --task says otherwise"
    if probabilities(main) == "sum":
        return "classification", "they sum to 1 on random inputs"
    if words(main.name) & VECTORS or not words(main.name) & SCORES:
        return "embedding", "a vector; --labels or --task says otherwise"
    return "classification", "by its name; --task says otherwise"


def classes(draft: Draft, place: str, main: Output, labels: list[str], given: Given) -> None:
    count = main.shape[-1] if main.shape else None
    if labels:
        if count not in (None, len(labels)):
            raise BundleError(f"--labels: {len(labels)} of them, but output {main.name!r} has {count} classes")
        draft.put(f"{place}.labels", labels, Origin.FILE, given.labels.name if given.labels else "the graph's metadata")
    else:
        draft.ask(f"{place}.labels", f"a list of {count or 'all'} names in the order of the classes; --labels FILE")
    activation(draft, f"{place}.activation", main, given, "softmax" if place.endswith("classification") else "sigmoid")


def vector(draft: Draft, place: str, main: Output, mask: str | None, given: Given) -> None:
    if len(main.shape) == 2:
        if given.pooling:
            draft.put(f"{place}.pooling", given.pooling, Origin.GIVEN)
        else:
            draft.ask(f"{place}.pooling", "mean, cls, max or last of its rows; --pooling")
        if mask:
            draft.put(f"{place}.mask", mask, Origin.GRAPH)
    draft.put(f"{place}.normalize", False, Origin.GUESS, "true: to length 1")


def others(main: Output, found: list[Output]) -> str:
    rest = [output.name for output in found if output is not main]
    return f"; not used: {', '.join(rest)}" if rest else ""
