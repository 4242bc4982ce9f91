"""A folder with a graph, its files and a complete manifest.yaml to a bundle: example and digests added, and proven."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from models.importers import media
from models.importers.draft import unknowns
from service import bundle
from service.bundle import MANIFEST, Bundle, Manifest, parse
from service.engine import first_line
from service.errors import BundleError, RequestError
from service.model import Model
from service.types import Row

SEALED = re.compile(r"^sha256:.*(?:\n[ ].*)*\n?", re.MULTILINE)


class Incomplete(BundleError):
    """Which lines of the manifest are to be completed."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("the manifest is to be completed")
        self.lines = lines


def finish(folder: Path, given: Mapping[str, Path]) -> Bundle:
    """`given`: files of the example, part -> file; what is not given is drawn by code. Comments stay.

    Raises Incomplete, and BundleError with what does not fit.
    """
    text = SEALED.sub("", (folder / MANIFEST).read_text(encoding="utf-8"))
    if lines := unknowns(text):
        raise Incomplete(lines)
    manifest = parse(text, folder)
    files = example(manifest, given)
    model = Model(Bundle(folder=folder, manifest=manifest))
    row, outputs = run(model, {part: content for part, (_, content) in files.items()})
    for old in (folder / bundle.EXAMPLE).glob("*"):
        old.unlink()
    written = bundle.write(folder, manifest, files, row, outputs)
    digests = yaml.safe_dump({"sha256": written.manifest.sha256}, sort_keys=False)
    (folder / MANIFEST).write_text(text.rstrip() + "\n" + digests, encoding="utf-8")
    made = bundle.read(folder)
    Model(made).prove()
    return made


def example(manifest: Manifest, given: Mapping[str, Path]) -> dict[str, tuple[str, bytes]]:
    """Part -> file ending and content. Raises BundleError."""
    if unknown := given.keys() - manifest.inputs.keys():
        raise BundleError(f"--example: no part {unknown.pop()!r}; there are {', '.join(manifest.inputs)}")
    return {
        part: (given[part].suffix[1:] or "bin", given[part].read_bytes()) if part in given else media.example(spec)
        for part, spec in manifest.inputs.items()
    }


def run(model: Model, parts: Mapping[str, bytes]) -> tuple[Row, Row]:
    """The encoded row, and the graph's outputs for it. Raises BundleError."""
    try:
        row = model.encode(parts, {})
    except RequestError as error:
        raise BundleError(f"the example: part {error.part!r}: {error.detail}") from error
    try:
        return row, model.run([row])[0]
    except Exception as error:  # onnxruntime's exceptions share no base class
        shapes = ", ".join(f"{name} {array.shape}" for name, array in row.items() if ":" not in name)
        raise BundleError(f"the graph fails on the example ({shapes}): {first_line(error)}") from error
