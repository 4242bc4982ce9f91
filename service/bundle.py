"""The folder: manifest.yaml <-> Manifest, digests of its files, and the one example that proves it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import yaml
from pydantic import Field, ValidationError

from service import graph
from service.errors import BundleError
from service.files import LFS as LFS
from service.files import arrays as arrays
from service.files import check, digest, regular
from service.manifest import GRAPH as GRAPH  # who reads a bundle finds its manifest here, too
from service.manifest import NAME as NAME
from service.manifest import Manifest as Manifest
from service.types import Row, Spec

MANIFEST, CARD, EXAMPLE = "manifest.yaml", "README.md", "example"
REPLAYED = (f"{EXAMPLE}/row.npz", f"{EXAMPLE}/outputs.npz")
OUTPUT_TOLERANCE = 1e-4  # another CPU's convolutions are off by 1e-6
TEXT = 16 * 2**20  # bytes of a manifest or a card
Vouch = Callable[[Path, bytes], None]


class Example(NamedTuple):
    """Raw parts, the encoded row, the graph's outputs for it."""

    parts: dict[str, bytes]
    row: Row
    outputs: Row


class Bundle(Spec):
    """A folder whose manifest is valid and whose digests are right; nothing of it has run yet."""

    folder: Path
    manifest: Manifest
    card: str = ""
    variant: str | None = None
    digest: str = Field("", description="of the manifest, and so of all that it has digests of")
    created: int = Field(0, description="seconds since 1970: when the manifest was last changed")

    @property
    def graph(self) -> Path:
        return self.folder / (self.manifest.variants[self.variant].file if self.variant else GRAPH)

    @property
    def graphs(self) -> list[Path]:
        """Those that run."""
        return [self.folder / file for file in self.manifest.graphs()] if self.manifest.towers else [self.graph]

    @property
    def tolerance(self) -> float:
        """Largest difference of an output of the example, relative to max(1, |x|)."""
        return self.manifest.variants[self.variant].tolerance if self.variant else OUTPUT_TOLERANCE

    def example_files(self) -> dict[str, Path]:
        """Part -> its file; of those that have a digest."""
        files = [self.folder / file for file in sorted(self.manifest.sha256) if file.startswith(f"{EXAMPLE}/")]
        return {file.stem: file for file in files if file.stem in self.manifest.inputs}

    def example(self) -> Example:
        """Raises BundleError."""
        folder = self.folder / EXAMPLE
        try:
            parts = {part: file.read_bytes() for part, file in self.example_files().items()}
        except OSError as error:
            raise BundleError(f"{folder}: {error.strerror}") from error
        if not parts:
            raise BundleError(f"{EXAMPLE}/: no file is named after a part ({', '.join(self.manifest.inputs)})")
        return Example(parts, arrays(folder / "row.npz"), arrays(folder / "outputs.npz"))

    def intact(self) -> None:
        """Raises BundleError unless the folder still holds what was read."""
        path = self.folder / MANIFEST
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != self.digest:
            raise BundleError(f"{path}: no longer that of the bundle that is served")
        for file, expected in self.manifest.sha256.items():
            check(self.folder, file, expected)


def read(folder: Path, variant: str | None = None, *, vouch: Vouch | None = None, most: int | None = None) -> Bundle:
    """`vouch` raises BundleError unless it knows who signed the manifest; `most` is bytes of all files together.

    Raises BundleError, which names the file and what to do.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; a bundle is a folder with a {MANIFEST}")
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{folder}: no {MANIFEST} in it; is it a bundle?")
    data = text(folder, MANIFEST)
    if vouch:
        vouch(folder / MANIFEST, data)
    manifest = parse(data, folder)
    if variant and variant not in manifest.variants:
        have = ", ".join(manifest.variants) or "none"
        raise BundleError(f"{folder}: no variant {variant!r}; it has {have}")
    files = dict.fromkeys([*manifest.files(), *REPLAYED, *manifest.sha256])
    if most is not None and (size := sum(regular(folder, file).stat().st_size for file in files)) > most:
        raise BundleError(f"{folder}: {size} bytes; BRAID_BUNDLE_BYTES allows {most}")
    for file in files:
        check(folder, file, manifest.sha256.get(file))
    for file in weights(folder, manifest):
        if file not in manifest.sha256:
            check(folder, file, None)
    return Bundle(
        folder=folder,
        manifest=manifest,
        card=card(folder, manifest, signed=vouch is not None),
        variant=variant,
        digest=hashlib.sha256(data).hexdigest(),
        created=int((folder / MANIFEST).stat().st_mtime),
    )


def text(folder: Path, file: str) -> bytes:
    """What people may have written. Raises BundleError."""
    path = regular(folder, file)
    if path.stat().st_size > TEXT:
        raise BundleError(f"{path}: more than {TEXT} bytes")
    if (data := path.read_bytes()).startswith(LFS):
        raise BundleError(f"{path}: a git-LFS pointer, not the file; run `git lfs pull`")
    return data


def card(folder: Path, manifest: Manifest, *, signed: bool) -> str:
    """Nothing, where who signed the bundle did not see it."""
    if not (folder / CARD).exists() or (signed and CARD not in manifest.sha256):
        return ""
    return text(folder, CARD).decode(errors="replace")


def parse(text: str | bytes, folder: Path) -> Manifest:
    try:
        return Manifest.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise BundleError(f"{folder / MANIFEST}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST}: {explain(error)}") from error


def named(folder: Path) -> tuple[str, str] | None:
    """Name and version that its manifest gives, if it is one."""
    try:
        manifest = parse((regular(folder, MANIFEST)).read_bytes(), folder)
    except (BundleError, OSError):
        return None
    return manifest.name, manifest.version


def explain(error: ValidationError) -> str:
    """The first complaint in one line: where, what."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(key) for key in first["loc"])
    return f"{where}: {first['msg']}".removeprefix(": ").replace("Value error, ", "")


def weights(folder: Path, manifest: Manifest) -> list[str]:
    """Files beside the graphs that hold numbers of them. Raises BundleError on a graph that cannot be served."""
    found: dict[str, int] = {}
    for name in manifest.graphs():
        made = graph.read(folder / name)
        graph.check(folder / name, made)
        for one in made.external:
            file = (PurePosixPath(name).parent / one.file).as_posix()
            found[file] = max(found.get(file, 0), one.end)
    for file, end in found.items():
        if (size := regular(folder, file).stat().st_size) < end:
            raise BundleError(f"{folder / file}: ends after {size} bytes; the graph's weights need {end}")
    return list(found)


def write(folder: Path, manifest: Manifest, parts: Mapping[str, tuple[str, bytes]], row: Row, outputs: Row) -> Bundle:
    """Adds the example and the manifest with all digests to a folder that already holds the graph and its files.

    `parts`: part name -> (file ending, bytes) of the example; `row` its encoding, `outputs` what training computed.
    """
    example = folder / EXAMPLE
    example.mkdir(parents=True, exist_ok=True)
    for name, (ending, data) in parts.items():
        (example / f"{name}.{ending}").write_bytes(data)
    np.savez_compressed(example / "row.npz", allow_pickle=False, **row)
    np.savez_compressed(example / "outputs.npz", allow_pickle=False, **outputs)
    files = sorted(
        {*manifest.files(), *weights(folder, manifest), *(str(file.relative_to(folder)) for file in example.iterdir())}
    )
    seal(folder, manifest, files)
    return read(folder)


def seal(folder: Path, manifest: Manifest, files: Iterable[str]) -> None:
    """Writes the manifest, with the digests of these files."""
    sealed = manifest.model_copy(update={"sha256": {file: digest(folder / file) for file in files}})
    written = yaml.safe_dump(sealed.model_dump(by_alias=True, exclude_unset=True), sort_keys=False, allow_unicode=True)
    (folder / MANIFEST).write_text(written)
