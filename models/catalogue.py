"""Which recipe uses which part of the toolbox: read from the recipes, so that it cannot say what is not so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from models.marks import markdown

RECIPES = Path(__file__).parent / "recipes"
BEGIN, END = "<!-- parts -->", "<!-- end of parts -->"
WHERE = {
    "text": "encoders",
    "image": "encoders",
    "audio": "encoders",
    "fusion": "fusion",
    "task": "heads",
    "detector": "detection",
    "without torch": "classic",
    "training": "table",
}  # group of parts -> folder


def used(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a .yaml says -> group and part, as a reader would name it."""
    tasks: dict[str, dict[str, Any]] = recipe.get("tasks", {})
    estimators = [(task, task["estimator"]["kind"]) for task in tasks.values() if "estimator" in task]
    for part in recipe.get("parts", {}).values():
        if estimators:
            yield (
                "without torch",
                {"text": "TF-IDF", "image": "statistics of fields", "audio": "statistics of bands"}[part["kind"]],
            )
        else:
            yield part["kind"], {"text": text, "image": image, "audio": audio}[part["kind"]](part)
    for task, kind in estimators:
        yield "without torch", f"{kind}, {'regression' if task['kind'] == 'regression' else 'classes'}"
    if any("estimator" not in task and task["kind"] not in ("embedding", "anomaly") for task in tasks.values()):
        yield "fusion", recipe.get("fusion", {}).get("kind", "gated")
    for task in tasks.values():
        yield "task", said(task)
    if recipe.get("training", {}).get("pretrain"):
        yield "training", "autoencoders before labels"
    if "detector" in recipe:
        stages = ("one stage", "two stages")[recipe["detector"].get("stages", 1) - 1]
        yield "detector", f"{stages}, with a context" if recipe["detector"].get("context") else stages
    if "sounds" in recipe:
        yield from used(recipe["sounds"])


def text(part: dict[str, Any]) -> str:
    encoder, tokens = part.get("encoder", {"kind": "cnn"}), part.get("tokens", {}).get("kind", "words")
    if encoder["kind"] in ("bag_of_words", "tfidf"):
        return f"{encoder['kind']} of {tokens}"
    if encoder["kind"] == "word2vec":
        return "word2vec of a file" if "file" in encoder else "word2vec, trained here"
    if encoder["kind"] == "bert":
        return "bert, frozen" if encoder.get("frozen", True) else "bert, trained on"
    return str(encoder["kind"])


def image(part: dict[str, Any]) -> str:
    encoder = part.get("encoder", {"kind": "cnn"})
    layers = {"resnet": 18, "vgg": 11}.get(encoder["kind"])
    name = f"{encoder['kind']} {encoder.get('layers', layers)}" if layers else str(encoder["kind"])
    return f"{name}, weights of a file" if "weights" in encoder else name


def audio(part: dict[str, Any]) -> str:
    features, encoder = part["input"]["features"]["kind"], part.get("encoder", {"kind": "cnn"})["kind"]
    if features == "waveform":
        return "waveform, cnn"
    bank = part.get("bank", {}).get("kind", "mel")
    return f"{features if features == 'mfcc' or bank == 'mel' else f'{bank} bank'}, {encoder}"


def said(task: dict[str, Any]) -> str:
    if task["kind"] == "classification" and len(task["labels"]) == 2:
        return "classification, one sigmoid"
    unit = task.get("unit") or task.get("head", {}).get("unit")
    return f"{task['kind']}, with a unit" if unit else str(task["kind"])


def matrix() -> dict[tuple[str, str], list[str]]:
    """Group and part -> names of the recipes that use it, by group and name."""
    found: dict[tuple[str, str], list[str]] = {}
    for file in sorted(RECIPES.rglob("*.yaml")):
        name = str(file.relative_to(RECIPES).with_suffix(""))
        for part in dict.fromkeys(used(yaml.safe_load(file.read_text(encoding="utf-8")))):
            found.setdefault(part, []).append(name)
    order = list(WHERE)
    return dict(sorted(found.items(), key=lambda each: (order.index(each[0][0]), each[0][1])))


def table() -> str:
    """Of Markdown: group, part, up to two recipes."""
    rows = [
        [f"[{group}]({WHERE[group]})", part, ", ".join(f"[{name}](recipes/{name}.yaml)" for name in names[:2])]
        for (group, part), names in matrix().items()
    ]
    return markdown([["of", "part", "used by"], *rows])
