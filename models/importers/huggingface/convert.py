"""A local export of Hugging Face's tools to a bundle: one that answers as transformers' processors and the graph do."""

from collections.abc import Mapping
from pathlib import Path

from models.importers import bundles
from models.importers.bundles import Draft, Reference
from models.importers.huggingface import card, layout, parts, reference, tasks
from models.importers.huggingface.layout import Export, Json, Say
from service.bundle import GRAPH, Bundle
from service.engine import Engine


def convert(folder: Path, to: Path, say: Say, *, variant: str | None = None, force: bool = False) -> Bundle:
    """Raises BundleError, which names the file and the remedy; what can be done without is told to `say`."""
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        say(line)

    export = layout.find(folder, variant, told)
    graph = export.graphs["model"]
    engine = Engine(graph, ("CPU",), threads=1)
    found = parts.parts(export, engine.inputs)
    manifest: Json = {"inputs": found.manifest}
    if found.present:
        manifest["missing"] = {"policy": "mask", "tensor": found.present}
    draft = Draft(
        manifest,
        lambda shapes: tasks.outputs(export, found.manifest, shapes),
        {GRAPH: graph},
        found.files,
        lambda example: referred(export, found, example),
        lambda made: card.write(made, export, said),
    )
    return bundles.write(draft, to, force=force)


def referred(export: Export, found: parts.Parts, example: Mapping[str, bytes]) -> Reference:
    tokenizer = export.file("tokenizer.json")
    return reference.row(example, found.manifest, found.processors, (tokenizer or export.folder).parent)
