"""Manifest against graph: every input fed by something of its shape and type, every output there. Else BundleError."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from service import state
from service.bundle import Manifest
from service.errors import BundleError
from service.ports import Port
from service.types import Made, Shape


def check(manifest: Manifest, folder: Path, inputs: Mapping[str, Port], outputs: Mapping[str, Shape]) -> None:
    """Raises BundleError without the folder's name."""
    made = dict(parts(manifest, folder))
    unfed = {name: port for name, port in inputs.items() if name not in made}
    if pairs := state.pairs(unfed, outputs):
        held = ", ".join(f"{before!r} is handed on as {after!r}" for before, after in pairs[:3])
        raise BundleError(
            f"the graph keeps state between calls ({held}), and Braid answers each request by itself; "
            "export it over whole inputs, or give the state's start under constants"
        )
    if unfed:
        raise BundleError(f"no part feeds the graph's inputs {listed(unfed)}; a value under constants would")
    if unknown := made.keys() - inputs.keys():
        raise BundleError(f"the manifest names {listed(unknown)}, but the graph's inputs are {listed(inputs)}")
    if static := {port.shape[0] for port in inputs.values() if port.shape} - {None, 1}:
        raise BundleError(f"the graph's batch axis is {static.pop()}; it must be dynamic or 1")
    for name, (part, makes) in made.items():
        fits(name, part, makes, inputs[name])
    for name, output in manifest.outputs.items():
        for tensor in output.tensors():
            if tensor not in outputs:
                raise BundleError(f"output {name!r}: no tensor {tensor!r}; the graph has {listed(outputs)}")
        output.check({tensor: list(shape) for tensor, shape in outputs.items()})
    for tensor, values in manifest.prior.items():
        if tensor not in outputs:
            raise BundleError(f"prior: no tensor {tensor!r}; the graph has {listed(outputs)}")
        if (last := (outputs[tensor] or (None,))[-1]) not in (None, len(values)):
            raise BundleError(f"prior: {tensor!r} has {last} values, the manifest {len(values)}")


def parts(manifest: Manifest, folder: Path) -> Iterable[tuple[str, tuple[str, Made | None]]]:
    """Tensor -> the part that feeds it, and what that makes of it as far as it is known."""
    for part, spec in manifest.inputs.items():
        makes = spec.makes(folder)
        for tensor in spec.tensors.model_dump().values():
            if tensor:
                yield tensor, (f"part {part!r} ({spec.fixed})", makes.get(tensor))
    if manifest.missing.tensor:
        yield manifest.missing.tensor, ("missing", Made(np.bool_, (len(manifest.inputs),)))


def fits(name: str, part: str, made: Made | None, port: Port) -> None:
    if made is None:
        return
    if not (made.dtype is np.bool_ or np.can_cast(made.dtype, port.dtype, "same_kind")):
        kinds = f"{np.dtype(made.dtype)}, the graph takes {np.dtype(port.dtype)}"
        raise BundleError(f"{part}: {name!r} is made of {kinds}")
    if not port.shape:
        return
    wanted = port.shape[1:]
    if len(wanted) != len(made.shape) or any(
        fixed is not None and fixed != size for fixed, size in zip(wanted, made.shape, strict=True)
    ):
        raise BundleError(f"{part}: {name!r} is made {axes(made.shape)}, but the graph takes {axes(wanted)}")


def axes(shape: Shape) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape) or "a single number"


def listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
