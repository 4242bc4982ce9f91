"""Where a bundle is to stand: a folder that is not there yet, or an older bundle that may be written over."""

import re
import shutil
from pathlib import Path

from service.bundle import MANIFEST, NAME
from service.errors import BundleError


def free(to: Path, *, force: bool, source: Path | None = None) -> str:
    """The model's name, which is the folder's; an older bundle there goes if `force`. Raises BundleError."""
    name = to.resolve().name
    if not re.match(NAME, name):
        raise BundleError(f"{to}: {name!r} cannot be a model's name; take letters, digits, dots and dashes")
    if source and source.resolve().is_relative_to(to.resolve()):
        raise BundleError(f"{source}: lies in {to}, which is to be written; give another folder")
    if to.exists() and any(to.iterdir()):
        if not (force and (to / MANIFEST).is_file()):
            raise BundleError(f"{to}: not empty; --force writes over a bundle that is there")
        shutil.rmtree(to)
    return name
