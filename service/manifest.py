"""What a bundle says of itself: parts, graphs, outputs, digests; the manifest.yaml as one frozen model."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from service.kinds import Input, Output
from service.types import Spec

GRAPH = "model.onnx"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, Field(pattern=NAME)]


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


class Tower(Spec):
    """A part's own graph, which makes a vector of it without the others."""

    file: str
    outputs: dict[str, str] = Field(min_length=1, description="name in Braid -> the graph's output; others do not run")


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
    towers: dict[Name, Tower] = Field({}, description="part -> a graph of its own; then each part stands alone")
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

    @model_validator(mode="after")
    def each_part_has_its_tower(self) -> "Manifest":
        if self.towers and self.towers.keys() != self.inputs.keys():
            raise ValueError(f"towers: one each for {', '.join(self.inputs)}")
        files = [tower.file for tower in self.towers.values()]
        if len(set(files)) < len(files):
            raise ValueError("towers: each has a file of its own")
        if self.towers and (
            self.constants or self.whole or self.wanted or self.variants or self.missing.policy != "reject"
        ):
            raise ValueError("towers: neither constants, whole, wanted, variants nor missing go with them")
        return self

    @model_validator(mode="after")
    def blanks_can_be_told(self) -> "Manifest":
        for name, spec in self.inputs.items() if self.missing.policy == "blank" else ():
            given = spec.tensors.model_dump(exclude_none=True)
            if not given.keys() & {"mask", "length", "count"} and getattr(spec, "absent", None) is None:
                raise ValueError(f"missing: part {name!r} has no mask, length, count or absent that tells the graph")
        return self

    @property
    def demanded(self) -> list[str]:
        """Parts that a request must have."""
        return [] if self.towers or self.missing.policy != "reject" else list(self.inputs)

    def given(self, used: Collection[str]) -> dict[str, Output]:
        """The outputs that these parts are enough for."""
        if not self.needs:
            return self.outputs
        left_out = {name for name, parts in self.needs.items() if not any(part in used for part in parts)}
        return {name: output for name, output in self.outputs.items() if name not in left_out}

    def graphs(self) -> list[str]:
        """All files of graphs."""
        towers = [tower.file for tower in self.towers.values()]
        return towers or [GRAPH, *(variant.file for variant in self.variants.values())]

    def files(self) -> list[str]:
        """All that the manifest names."""
        return self.graphs() + [file for spec in self.inputs.values() for file in spec.files()]

    def labels(self) -> dict[str, list[str]]:
        """Output -> its labels, of those that have some of their own."""
        found = {name: getattr(output, "labels", None) for name, output in self.outputs.items()}
        return {name: list(labels) for name, labels in found.items() if labels}
