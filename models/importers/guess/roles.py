"""A graph's inputs to what each is for, by type, shape and name."""

import re
from collections.abc import Mapping

import numpy as np

from models.importers.guess.given import Role
from service.ports import Port
from service.types import Shape

SOUND = {"audio", "wave", "waveform", "wav", "speech", "mel", "mels", "spec", "spectrogram", "fbank", "sound", "signal"}
PRESENT = {"present", "presence", "modality", "modalities", "missing", "available"}
TYPES = {"type", "types", "segment", "segments"}
LENGTH = {"length", "lengths", "len", "lens"}
LONG = 400  # numbers of an axis that are samples, not bands
SMALL = 3  # pixels of a side that are more likely channels


def roles(ports: Mapping[str, Port], given: Mapping[str, Role]) -> dict[str, Role]:
    found = {name: given.get(name) or role(name, port) for name, port in ports.items()}
    parts = sum(some in found.values() for some in ("ids", "pixels", "samples", "features"))
    return {
        name: given[name] if name in given else settled(name, found[name], port, found, parts)
        for name, port in ports.items()
    }


def settled(name: str, named: Role, port: Port, found: Mapping[str, Role], parts: int) -> Role:
    """In the light of the other inputs, which make `parts` parts."""
    few = port.shape[1] if len(port.shape) == 2 else None
    if named in ("mask", "constant") and few == parts and parts > 1:
        return "present"
    if named == "present" and few not in (None, parts):
        return "constant"
    if named == "ids" and list(found.values()).count("ids") > 1 and not {"ids", "id"} & words(name):
        return "constant"
    if named == "samples" and "ids" in found.values() and not words(name) & SOUND:
        return "constant"
    return named


def role(name: str, port: Port) -> Role:
    """Of one input by itself."""
    rank, kind, said = len(port.shape), np.dtype(port.dtype).kind, words(name)
    if "mask" in said and rank in (2, 3):
        return "pixel_mask" if rank == 3 else "mask"
    if said & PRESENT and rank == 2:
        return "present"
    if rank == 1 and kind == "i" and said & LENGTH:
        return "length"
    if kind in "fu" and channels(port.shape) and not (said & SOUND):
        return "pixels"
    if kind == "f" and (rank == 3 or (rank == 4 and 1 in port.shape[1:2])):
        return "features"
    if rank != 2 or kind not in "fi":
        return "constant"
    if kind == "i":
        return "types" if said & TYPES else "positions" if said & {"position", "positions"} else "ids"
    return "samples" if said & SOUND or port.shape[1] is None or port.shape[1] >= LONG else "constant"


def channels(shape: Shape) -> tuple[str, int] | None:
    """Layout and number of channels of something that may be pictures; rank 3: without a batch axis."""
    pixels = shape[1:] if len(shape) == 4 else shape
    if len(pixels) != 3:
        return None
    first, height, last = pixels
    if first in (1, 3) and large(height) and large(last):
        return "chw", first
    if last in (1, 3) and large(height) and large(first):
        return "hwc", last
    return None


def large(side: int | None) -> bool:
    return side is None or side > SMALL


def words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
