"""A local export of Hugging Face's tools to a bundle: one that answers as transformers' processors and the graph do."""

from collections.abc import Mapping
from pathlib import Path

from models.importers import bundles, graphs
from models.importers.bundles import Draft, Reference
from models.importers.huggingface import card, layout, parts, reference, similar, tasks, tokens
from models.importers.huggingface.layout import Export, Json, Say
from models.importers.huggingface.parts import TOKENIZER, Parts
from models.importers.huggingface.similar import Scale, Towers
from service.bundle import GRAPH, Bundle
from service.engine import Engine


def convert(
    folder: Path,
    to: Path,
    say: Say,
    *,
    variant: str | None = None,
    scale: Scale | None = None,
    pooling: str | None = None,
    force: bool = False,
) -> Bundle:
    """Raises BundleError, which names the file and the remedy; what can be done without is told to `say`."""
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        say(line)

    export = layout.find(folder, variant, pooling, told)
    engines = {name: Engine(graph, similar.CPU, threads=1) for name, graph in export.graphs.items()}
    ports = {name: port for engine in engines.values() for name, port in engine.inputs.items()}
    found = parts.parts(export, ports)
    agree(export, found)
    draft = Draft(
        {
            "inputs": found.manifest,
            **({"missing": {"policy": "mask", "tensor": found.present}} if found.present else {}),
        },
        found.files,
        place=lambda scratch: one(export, scratch),
        outputs=lambda shapes: tasks.outputs(export, found, shapes),
        reference=lambda example: referred(export, found, example),
        card=lambda made: card.write(made, export, said),
    )
    if len(engines) > 1 or similar.compares(found, list(engines["model"].outputs)):
        draft = compared(export, found, engines, draft, scale)
    return bundles.write(draft, to, force=force)


def one(export: Export, scratch: Path) -> Json:
    graphs.copy(export.graphs["model"], scratch, GRAPH)
    return {}


def compared(export: Export, found: Parts, engines: Mapping[str, Engine], draft: Draft, scale: Scale | None) -> Draft:
    """Of two towers, whether they come as one graph or as two."""
    made: list[Towers] = []

    def place(scratch: Path) -> Json:
        if "model" in engines:
            made.append(similar.cut(export, found, engines["model"], scratch))
        else:
            made.append(similar.copied(export, engines, scratch, scale))
        return {"towers": made[0].manifest}

    return draft._replace(place=place, outputs=lambda shapes: similar.outputs(export, made[0]))


def agree(export: Export, found: Parts) -> None:
    """Where transformers is installed, its tokens are the bundle's, whatever its files contradict each other in."""
    file = export.file(TOKENIZER)
    if file is None or TOKENIZER not in found.files:
        return
    try:
        content = tokens.agreed(file.parent, found.files[TOKENIZER].decode(), export.say)
    except Exception:  # not there, or whatever its classes meet in files of another version, of which `referred` tells
        return
    found.files[TOKENIZER] = content.encode()


def referred(export: Export, found: Parts, example: Mapping[str, bytes]) -> Reference:
    """By transformers' processors, where it is installed and reads these files; else by ours."""
    tokenizer = export.file(TOKENIZER)
    try:
        return reference.row(example, found.manifest, found.processors, (tokenizer or export.folder).parent)
    except ImportError:
        return Reference("Braid", {})
    except Exception as error:  # whatever its classes meet in files of another version
        export.say(f"transformers does not read these files ({type(error).__name__}): the example is of Braid's making")
        return Reference("Braid", {})
