"""The folder: manifest.yaml <-> Manifest, digests of its files, and the one example that proves it."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import yaml
from pydantic import Field, ValidationError, model_validator

from service.errors import BundleError
from service.inputs import Input
from service.outputs import Output
from service.types import Row, Spec

MANIFEST, GRAPH, CARD, EXAMPLE = "manifest.yaml", "model.onnx", "README.md", "example"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
REPLAYED = (f"{EXAMPLE}/row.npz", f"{EXAMPLE}/outputs.npz")
OUTPUT_TOLERANCE = 1e-4  # another CPU's convolutions are off by 1e-6
LFS = b"version https://git-lfs"
Name = Annotated[str, Field(pattern=NAME)]


class Missing(Spec):
    """An absent part: `mask` tells the graph by `tensor` (batch, parts), 1 where there; `reject` is a 422."""

    policy: Literal["mask", "reject"] = "reject"
    tensor: str | None = None

    @model_validator(mode="after")
    def names_its_tensor(self) -> "Missing":
        if (self.policy == "mask") != (self.tensor is not None):
            raise ValueError("policy mask names a tensor, policy reject none")
        return self


class Variant(Spec):
    """The same graph in other numbers, such as float16 or int8; `python -m models quantize` writes them."""

    file: str
    tolerance: float = Field(
        gt=0, description="largest difference of an output of the example, relative to max(1, |x|)"
    )


class Manifest(Spec):
    schema_: Literal[1] = Field(alias="schema")
    name: Name
    version: str = "1"
    inputs: dict[Name, Input] = Field(min_length=1, description="part name -> how its bytes become tensors")
    missing: Missing = Missing()
    outputs: dict[Name, Output] = Field(min_length=1, description="answer name -> what the tensor means")
    prior: dict[str, list[float]] = Field({}, description="output tensor -> the answer with no part at all")
    variants: dict[Name, Variant] = Field({}, description="name -> another file of the graph, chosen by --variant")
    sha256: dict[str, str] = Field({}, description="file -> digest; all files but the manifest and the card")

    def files(self) -> list[str]:
        """All that the manifest names."""
        graphs = [GRAPH, *(variant.file for variant in self.variants.values())]
        return graphs + [file for spec in self.inputs.values() for file in spec.files()]

    def labels(self) -> dict[str, list[str]]:
        """Output -> its labels, of those that have some of their own."""
        found = {name: getattr(output, "labels", None) for name, output in self.outputs.items()}
        return {name: list(labels) for name, labels in found.items() if labels}


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
        for file, digest in self.manifest.sha256.items():
            check(self.folder, file, digest)


def read(folder: Path, variant: str | None = None) -> Bundle:
    """Raises BundleError, which names the file and what to do."""
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; a bundle is a folder with a {MANIFEST}")
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{folder}: no {MANIFEST} in it; is it a bundle?")
    regular(folder, MANIFEST)
    data = (folder / MANIFEST).read_bytes()
    manifest = parse(data, folder)
    if variant and variant not in manifest.variants:
        have = ", ".join(manifest.variants) or "none"
        raise BundleError(f"{folder}: no variant {variant!r}; it has {have}")
    for file in dict.fromkeys([*manifest.files(), *REPLAYED, *manifest.sha256]):
        check(folder, file, manifest.sha256.get(file))
    return Bundle(
        folder=folder,
        manifest=manifest,
        card=(folder / CARD).read_text() if (folder / CARD).exists() and regular(folder, CARD) else "",
        variant=variant,
        digest=hashlib.sha256(data).hexdigest(),
        created=int((folder / MANIFEST).stat().st_mtime),
    )


def parse(text: str | bytes, folder: Path) -> Manifest:
    try:
        return Manifest.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise BundleError(f"{folder / MANIFEST}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST}: {explain(error)}") from error


def named(folder: Path) -> str | None:
    """The name that its manifest gives, if it is one."""
    try:
        return parse((regular(folder, MANIFEST)).read_bytes(), folder).name
    except (BundleError, OSError):
        return None


def explain(error: ValidationError) -> str:
    """The first complaint in one line: where, what."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(key) for key in first["loc"])
    return f"{where}: {first['msg']}".removeprefix(": ").replace("Value error, ", "")


def check(folder: Path, file: str, digest: str | None) -> None:
    path = regular(folder, file)
    if digest is None:
        raise BundleError(f"{folder / MANIFEST}: sha256: no digest of {file}")
    with path.open("rb") as stream:
        if stream.read(len(LFS)) == LFS:
            raise BundleError(f"{path}: a git-LFS pointer, not the file; run `git lfs pull`")
        stream.seek(0)
        if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
            raise BundleError(f"{path}: not the file that the manifest describes (sha256 differs)")


def regular(folder: Path, file: str) -> Path:
    """Of this folder, and of no other: whoever may write another name of a file decides what is loaded."""
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file() or path.is_symlink():
        raise BundleError(f"{folder}: {file} is not a regular file of the bundle")
    if path.stat().st_nlink > 1:
        raise BundleError(f"{path}: has another name elsewhere (a hard link); try: cp")
    return path


def arrays(path: Path) -> Row:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"{path}: not a readable .npz file") from error


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
    files = sorted({*manifest.files(), *(str(file.relative_to(folder)) for file in example.iterdir())})
    digests = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}
    manifest = manifest.model_copy(update={"sha256": digests})
    text = yaml.safe_dump(manifest.model_dump(by_alias=True, exclude_unset=True), sort_keys=False, allow_unicode=True)
    (folder / MANIFEST).write_text(text)
    return read(folder)
