"""The folder: manifest.yaml <-> Manifest, digests of its files, and the one example that proves it."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import yaml
from pydantic import Field, ValidationError, model_validator

from service import graph
from service.errors import BundleError
from service.files import LFS as LFS
from service.files import arrays as arrays
from service.files import check, digest, regular
from service.kinds import Input, Output
from service.types import Row, Spec

MANIFEST, GRAPH, CARD, EXAMPLE = "manifest.yaml", "model.onnx", "README.md", "example"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
REPLAYED = (f"{EXAMPLE}/row.npz", f"{EXAMPLE}/outputs.npz")
OUTPUT_TOLERANCE = 1e-4  # another CPU's convolutions are off by 1e-6
TEXT = 16 * 2**20  # bytes of a manifest or a card
Name = Annotated[str, Field(pattern=NAME)]
Vouch = Callable[[Path, bytes], None]


class Missing(Spec):
    """An absent part: `mask` tells the graph by `tensor` (batch, parts), 1 where there; `reject` is a 422.

    `blank`: zeros stand for it, among them its own mask, length or count, or what a text's `absent` says.
    """

    policy: Literal["mask", "reject", "blank"] = "reject"
    tensor: str | None = None

    @model_validator(mode="after")
    def names_its_tensor(self) -> "Missing":
        if (self.policy == "mask") != (self.tensor is not None):
            raise ValueError("policy mask names a tensor, the others none")
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
    needs: dict[Name, list[Name]] = Field({}, description="answer name -> parts, of which it takes one at least")
    batch: int | None = Field(None, gt=0, description="rows of one run at most; 1: the graph never sees several")
    constants: dict[str, bool | int | float | list[Any]] = Field(
        {}, description="input of the graph that no part feeds -> a number for all of it, or nested lists of its shape"
    )
    whole: list[str] = Field([], description="inputs and outputs without a batch axis; rows then run one at a time")
    wanted: list[str] = Field([], description="outputs of the graph that are computed, the others never are; all")
    prior: dict[str, list[float]] = Field({}, description="output tensor -> the answer with no part at all")
    variants: dict[Name, Variant] = Field({}, description="name -> another file of the graph, chosen by --variant")
    reference: str = Field("training", description="whose are the example's row and outputs, which ours must equal")
    sha256: dict[str, str] = Field({}, description="file -> digest; all files but the manifest and the card")

    @model_validator(mode="after")
    def needs_what_there_is(self) -> "Manifest":
        for name, parts in self.needs.items():
            if name not in self.outputs:
                raise ValueError(f"needs: no output {name!r}; there are {', '.join(self.outputs)}")
            if not parts or set(parts) - self.inputs.keys():
                raise ValueError(f"needs: {name}: one or some of {', '.join(self.inputs)}")
        return self

    def given(self, used: Collection[str]) -> dict[str, Output]:
        """The outputs that these parts are enough for."""
        if not self.needs:
            return self.outputs
        left_out = {name for name, parts in self.needs.items() if not any(part in used for part in parts)}
        return {name: output for name, output in self.outputs.items() if name not in left_out}

    @model_validator(mode="after")
    def blanks_can_be_told(self) -> "Manifest":
        for name, spec in self.inputs.items() if self.missing.policy == "blank" else ():
            given = spec.tensors.model_dump(exclude_none=True)
            if not given.keys() & {"mask", "length", "count"} and getattr(spec, "absent", None) is None:
                raise ValueError(f"missing: part {name!r} has no mask, length, count or absent that tells the graph")
        return self

    def graphs(self) -> list[str]:
        return [GRAPH, *(variant.file for variant in self.variants.values())]

    def files(self) -> list[str]:
        """All that the manifest names."""
        return self.graphs() + [file for spec in self.inputs.values() for file in spec.files()]

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
