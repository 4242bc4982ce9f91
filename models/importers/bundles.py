"""A manifest, graphs and files to a bundle, proven before it stands where it is to stand."""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from models.importers import media
from service import bundle
from service.bundle import CARD, GRAPH, MANIFEST, NAME, Bundle, Manifest, explain
from service.engine import Engine, first_line
from service.errors import BundleError, RequestError
from service.model import Model
from service.types import Row

Shapes = Mapping[str, tuple[int, ...]]  # of what a graph gives for one row, without the batch axis


class Reference(NamedTuple):
    """Who made a row, and the row; tensors that are not in it are taken from ours."""

    name: str
    row: Row


class Draft(NamedTuple):
    manifest: dict[str, Any]  # inputs, missing and the like; without outputs, name, reference and digests
    files: Mapping[str, bytes]
    place: Callable[[Path], dict[str, Any]]  # puts the graphs beside the files in a folder; more of the manifest
    outputs: Callable[[Shapes], dict[str, Any]]  # shapes of what the graphs give a row -> `outputs`
    reference: Callable[[Mapping[str, bytes]], Reference]  # parts -> what another implementation makes of them
    card: Callable[[Manifest], str]


def write(draft: Draft, to: Path, *, force: bool = False) -> Bundle:
    """Raises BundleError, which says what does not fit."""
    name = to.resolve().name
    if not re.match(NAME, name):
        raise BundleError(f"{to}: {name!r} cannot be a model's name; take letters, digits, dots and dashes")
    if to.exists() and any(to.iterdir()) and not (force and (to / MANIFEST).is_file()):
        raise BundleError(f"{to}: not empty; --force writes over a bundle that is there")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{name}-") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        for target, content in draft.files.items():
            (folder / target).write_bytes(content)
        try:
            proven(draft, {"schema": 1, "name": name, **draft.manifest, **draft.place(folder)}, folder)
        except BundleError as error:  # of a folder that will be gone
            raise BundleError(str(error).removeprefix(f"{folder}: ")) from error
        if to.exists():
            shutil.rmtree(to)
        folder.rename(to)
    return bundle.read(to)


def proven(draft: Draft, said: dict[str, Any], folder: Path) -> None:
    """Adds example, manifest and card, and replays the example."""
    towers = said.get("towers")
    first = next(iter(towers.values()))["outputs"] if towers else Engine(folder / GRAPH, ("CPU",), threads=1).outputs
    anything = {"outputs": {"any": {"kind": "embedding", "tensor": next(iter(first))}}}
    model = Model(Bundle(folder=folder, manifest=checked({**said, **anything})))
    files = {part: media.example(spec) for part, spec in model.manifest.inputs.items()}
    parts = {part: content for part, (_, content) in files.items()}
    try:
        row = model.encode(parts, {})
    except RequestError as error:
        raise BundleError(f"the example: part {error.part!r}: {error.detail}") from error
    reference = draft.reference(parts)
    row = {**row, **reference.row}
    outputs = run(model, row)
    shapes = {name: array.shape for name, array in outputs.items()}
    manifest = checked({**said, "outputs": draft.outputs(shapes), "reference": reference.name})
    for output in manifest.outputs.values():
        output.check({name: [None, *shape] for name, shape in shapes.items()})
    Model(bundle.write(folder, manifest, files, row, outputs)).prove()
    (folder / CARD).write_text(draft.card(manifest), encoding="utf-8")


def checked(said: dict[str, Any]) -> Manifest:
    try:
        return Manifest.model_validate(said)
    except ValidationError as error:
        raise BundleError(f"{MANIFEST}: {explain(error)}") from error


def run(model: Model, row: Row) -> Row:
    try:
        return model.run([row])[0]
    except Exception as error:  # onnxruntime's exceptions share no base class
        shapes = ", ".join(f"{name} {array.shape}" for name, array in row.items() if name in model.engine.inputs)
        raise BundleError(f"the graph fails on the example ({shapes}): {first_line(error)}") from error
