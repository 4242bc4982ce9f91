"""A graph run on random inputs: what its outputs look like, and whether rows depend on each other."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from models.importers.guess.given import Role
from models.importers.guess.roles import channels
from service.engine import Engine, first_line
from service.ports import Port
from service.types import Array

ROWS = 3
SAME = 1e-3  # largest difference of a row alone and in company, relative to max(1, |x|)
LENGTHS: dict[Role, int] = {"pixels": 224, "pixel_mask": 224, "samples": 16_000, "features": 200}  # of free axes
TOKENS, WORDS = 12, 50


class Measured(NamedTuple):
    """`outputs`: of several rows, one after the other; `why`: it did not run."""

    outputs: dict[str, list[Array]]
    together: bool | None
    unbatched: list[str]
    why: str = ""


def measure(engine: Engine, roles: Mapping[str, Role]) -> Measured:
    """The engine feeds the constants itself."""
    ports = engine.inputs
    generator = np.random.default_rng(11)
    feeds = [{name: drawn(port, roles[name], generator) for name, port in ports.items()} for _ in range(ROWS)]
    try:
        alone = [dict(zip(engine.outputs, engine(feed), strict=True)) for feed in feeds]
    except Exception as error:  # onnxruntime's exceptions share no base class
        return Measured({}, None, [], first_line(error))
    none = any(map(bare, ports.values()))
    unbatched = [name for name, array in alone[0].items() if none or array.shape[:1] != (1,) or loose(name, alone)]
    outputs = {name: [each[name] if name in unbatched else each[name][0] for each in alone] for name in engine.outputs}
    fixed = any(port.shape and port.shape[0] == 1 for port in ports.values())
    return Measured(outputs, None if fixed or unbatched else independent(engine, feeds, alone), unbatched)


def bare(port: Port) -> bool:
    """A picture without a batch axis, as torchvision's detectors take it."""
    return len(port.shape) == 3 and channels(port.shape) is not None


def loose(name: str, alone: list[dict[str, Array]]) -> bool:
    """The first axis follows the content."""
    return len({each[name].shape[0] for each in alone}) > 1


def independent(engine: Engine, feeds: list[dict[str, Array]], alone: list[dict[str, Array]]) -> bool:
    """Rows in one run are what they are alone."""
    try:
        arrays = engine({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    except Exception:  # it takes one row only, whatever its axis says
        return False
    for name, array in zip(engine.outputs, arrays, strict=True):
        expected = np.concatenate([each[name] for each in alone])
        if array.shape != expected.shape:
            return False
        if array.dtype.kind == "f" and not np.allclose(array, expected, rtol=SAME, atol=SAME, equal_nan=True):
            return False
    return True


def drawn(port: Port, role: Role, generator: np.random.Generator) -> Array:
    """One row of something like what it will be fed, with its batch axis."""
    long = LENGTHS.get(role, TOKENS)
    shape = [1 if i == 0 and size is None else size or long for i, size in enumerate(port.shape)]
    kind = np.dtype(port.dtype).kind
    if role in ("mask", "pixel_mask", "present"):
        return np.ones(shape, port.dtype)
    if role == "length":
        return np.full(shape, TOKENS, port.dtype)
    if role == "positions":
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(port.dtype)
    if kind == "u":
        return generator.integers(0, 256, shape).astype(port.dtype)
    if kind in "ib":
        return generator.integers(0, 2 if role == "types" or kind == "b" else WORDS, shape).astype(port.dtype)
    return generator.normal(0, 1, shape).astype(port.dtype)
