"""Any graph to the start of a bundle: a manifest with each guess marked, the graph and its files beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.importers import graphs
from models.importers.draft import UNKNOWN, Draft, Origin
from models.importers.guess.answers import Graph, answers
from models.importers.guess.given import Given, Role
from models.importers.guess.measure import LENGTHS, Measured, bare, measure
from models.importers.guess.outcome import outputs
from models.importers.guess.parts import parts
from models.importers.guess.roles import channels, roles
from models.importers.place import free
from service import graph as graph_file
from service import state
from service.bundle import CARD, GRAPH, MANIFEST
from service.engine import Engine
from service.errors import BundleError
from service.ports import Port
from service.types import Shape

CARDS = """# {name}

From `{file}` by `python -m models import onnx`. What it is for, what it was trained on and whose it is must be said by
its own card.
{notes}"""


def start(file: Path, to: Path, given: Given, sets: Sequence[str], *, force: bool) -> Draft:
    """Writes the graph, its files and the manifest, which may have lines to complete. Raises BundleError."""
    graphs.check(file)
    graph_file.check(file, graph_file.read(file))
    name = free(to, force=force, source=file)
    engine = Engine(file, ("CPU",), threads=1)
    found = roles(engine.inputs, checked(given.roles, engine.inputs))
    stateless(engine, found, given)
    draft = Draft(name)
    files = parts(draft, engine.inputs, found, given)
    measured = measured_by(file, draft, found)
    axes(draft, engine, measured)
    answers(draft, facts(engine, found, measured), given)
    draft.put("reference", "Braid", Origin.GIVEN, "who made the example's row, by these steps")
    draft.assign(sets)
    to.mkdir(parents=True, exist_ok=True)
    graphs.copy(file, to, GRAPH)
    for target, content in files.items():
        (to / target).write_bytes(content)
    (to / MANIFEST).write_text(draft.text(), encoding="utf-8")
    (to / CARD).write_text(CARDS.format(name=name, file=file.name, notes=notes(draft)), encoding="utf-8")
    return draft


def notes(draft: Draft) -> str:
    guesses = [f"- {line}" for line in draft.listed(Origin.GUESS)]
    return "\n".join(["", "Guessed, because the graph does not say it:", "", *guesses, ""]) if guesses else ""


def checked(given: Mapping[str, Role], ports: Mapping[str, Port]) -> Mapping[str, Role]:
    if unknown := given.keys() - ports.keys():
        raise BundleError(f"--as {unknown.pop()}: the graph takes {', '.join(ports)}")
    return given


def stateless(engine: Engine, found: Mapping[str, Role], given: Given) -> None:
    """Raises BundleError."""
    spare = {name: port for name, port in engine.inputs.items() if found[name] in ("constant", "features", "present")}
    spare = {name: port for name, port in spare.items() if name not in given.constants and name not in given.roles}
    if pairs := state.pairs(spare, engine.outputs):
        held = ", ".join(f"{before!r} is handed on as {after!r}" for before, after in pairs[:3])
        raise BundleError(f"the graph keeps state between calls ({held}), and Braid answers each request by itself")


def measured_by(file: Path, draft: Draft, found: Mapping[str, Role]) -> Measured:
    constants: dict[str, Any] = draft.document().get("constants", {})
    if UNKNOWN in constants.values():
        return Measured({}, None, [], "constants are to be completed")
    engine = Engine(file, ("CPU",), threads=1, constants=constants)
    return measure(engine, found)


def axes(draft: Draft, engine: Engine, measured: Measured) -> None:
    """Tensors without a batch axis, and rows that must not meet."""
    whole = [name for name, port in engine.inputs.items() if bare(port)]
    whole += measured.unbatched if measured.outputs else engine.outputs if whole else []
    if whole:
        draft.put("whole", whole, Origin.MEASURED, "they have no batch axis")
    elif measured.together is False:
        draft.put("batch", 1, Origin.MEASURED, "rows that run together are not what they are alone")


def facts(engine: Engine, found: Mapping[str, Role], measured: Measured) -> Graph:
    by_role = {role: name for name, role in found.items()}
    pixels = by_role.get("pixels")
    sides = LENGTHS["pixels"], LENGTHS["pixels"]
    if pixels:
        sides = size(engine.inputs[pixels].shape)
    return Graph(outputs(engine.outputs, measured), engine.metadata, pixels, sides, by_role.get("mask"))


def size(shape: Shape) -> tuple[int, int]:
    """Height and width, or those of the random pictures."""
    layout, _ = channels(shape) or ("chw", 3)
    height, width = shape[-2:] if layout == "chw" else shape[-3:-1]
    return height or LENGTHS["pixels"], width or LENGTHS["pixels"]
