"""A graph's input for pictures to an image part: layout and size are the graph's, resizing and colours a guess."""

import json
from typing import Any

import numpy as np

from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given
from models.importers.guess.roles import channels
from models.importers.huggingface import image
from models.importers.huggingface.image import CLIP, HALF, IMAGENET
from service.errors import BundleError
from service.ports import Port

LEVEL = 1 / 255
NORMS: dict[str, dict[str, Any]] = {  # --norm -> keys of the manifest
    "imagenet": {"scale": LEVEL, "mean": list(IMAGENET["image_mean"]), "std": list(IMAGENET["image_std"])},
    "inception": {"scale": LEVEL, "mean": list(HALF["image_mean"]), "std": list(HALF["image_std"])},
    "clip": {"scale": LEVEL, "mean": list(CLIP["image_mean"]), "std": list(CLIP["image_std"])},
    "unit": {"scale": LEVEL},
    "none": {},
}
RESIZES = ("exact", "crop", "crop:EDGE", "letterbox", "letterbox:corner", "none")


def picture(draft: Draft, place: str, port: Port, given: Given) -> None:
    """Raises BundleError where an option makes no sense."""
    layout, depth = channels(port.shape) or ("chw", 3)
    draft.put(f"{place}.kind", "image", Origin.GRAPH, f"{np.dtype(port.dtype)}, {layout}")
    if given.preprocessor and "image_processor_type" in (said := read(given)):
        for key, value in image.manifest(said, str(given.preprocessor), "", lambda line: None).items():
            draft.put(f"{place}.{key}", value, Origin.FILE, given.preprocessor.name)
        draft.put(f"{place}.layout", layout, Origin.GRAPH)
        return
    draft.put(f"{place}.depth", "clip", Origin.GUESS, "of 16-bit pictures, as Pillow does")
    draft.put(f"{place}.alpha", "drop", Origin.GUESS, "transparency, as Pillow's convert does; or white")
    if depth == 1:
        draft.put(f"{place}.mode", "L", Origin.GRAPH, "one channel")
    else:
        why = "" if given.channels else "BGR where OpenCV read the pictures of training; --channels"
        draft.put(f"{place}.channels", given.channels or "RGB", Origin.GIVEN if given.channels else Origin.GUESS, why)
    pixels = port.shape[1:] if len(port.shape) == 4 else port.shape
    size(draft, place, pixels[1:] if layout == "chw" else pixels[:2], given)
    draft.put(f"{place}.layout", layout, Origin.GRAPH)
    if port.dtype is np.uint8:
        draft.put(f"{place}.dtype", "uint8", Origin.GRAPH, "it normalises by itself")
    else:
        colours(draft, place, given)


def read(given: Given) -> dict[str, Any]:
    """Raises BundleError."""
    assert given.preprocessor
    try:
        return dict(json.loads(given.preprocessor.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BundleError(f"{given.preprocessor}: not a readable JSON file") from error


def size(draft: Draft, place: str, sides: tuple[int | None, ...], given: Given) -> None:
    how, _, more = (given.resize or "exact").partition(":")
    origin, why = (Origin.GIVEN, "") if given.resize else (Origin.GUESS, f"of {', '.join(RESIZES)}; --resize")
    height, width = sides
    if how == "none":
        return
    if height is None or width is None:
        if given.resize:
            raise BundleError(f"--resize {given.resize}: the graph takes any size; --set {place}.resize=... says which")
        draft.ask(
            f"{place}.resize", "the graph takes any size: {to: exact, height: H, width: W}, or as in training; --set"
        )
        return
    exact = {"height": height, "width": width}
    if how == "exact":
        draft.put(f"{place}.resize", {"to": "exact", **exact, "resample": "bilinear"}, origin, why)
    elif how == "crop":
        edge = int(more) if more.isdigit() else min(height, width)
        draft.put(f"{place}.resize", {"to": "shortest", "edge": edge, "resample": "bicubic"}, origin)
        draft.put(f"{place}.crop", exact, origin)
    elif how == "letterbox":
        draft.put(f"{place}.resize", {"to": "fit", **exact, "resample": "bilinear"}, origin)
        where = {} if more == "corner" else {"position": "middle"}
        draft.put(f"{place}.pad", {**exact, "value": 114, **where}, origin)
    else:
        raise BundleError(f"--resize {given.resize}: it is one of {', '.join(RESIZES)}")


def colours(draft: Draft, place: str, given: Given) -> None:
    if given.norm:
        if given.norm not in NORMS:
            raise BundleError(f"--norm {given.norm}: it is one of {', '.join(NORMS)}")
        for key, value in NORMS[given.norm].items():
            draft.put(f"{place}.{key}", value, Origin.GIVEN, given.norm)
        return
    asked = {
        "scale": "of the grey levels: 0.00392156862745098 is 1 / 255, 1.0 leaves them; or --norm " + ", ".join(NORMS),
        "mean": "taken off after scale, one number or one a channel; [0.0]: nothing",
        "std": "divided by after that; [1.0]: nothing",
    }
    values: dict[str, Any] = {"scale": given.scale, "mean": given.mean, "std": given.std}
    whole = given.scale is not None  # who says one of them leaves the others at nothing
    for key, why in asked.items():
        if values[key] is not None:
            draft.put(f"{place}.{key}", values[key], Origin.GIVEN)
        elif not whole:
            draft.ask(f"{place}.{key}", why)
