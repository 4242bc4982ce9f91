"""The folders given at the start to bundles: all of them, or the one of a name. A name never becomes a path."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from service.bundle import MANIFEST, Bundle, Vouch, named, read
from service.errors import BundleError, UnknownModel
from service.settings import Settings


def find(settings: Settings) -> list[Bundle]:
    """All bundles, in the operator's order. Raises BundleError."""
    if not settings.bundles:
        raise BundleError("no bundle given; try: braid serve models/bundles/digits")
    found = [taken(settings, folder) for folder in folders(settings.bundles)]
    names = [bundle.manifest.name for bundle in found]
    if len(set(names)) < len(names):
        raise BundleError("two bundles have the same name: " + ", ".join(names))
    return found


def find_one(settings: Settings, name: str) -> Bundle:
    """Others may be broken meanwhile. Raises UnknownModel, BundleError."""
    found = [folder for folder in folders(settings.bundles) if (about := named(folder)) and about[0] == name]
    if not found:
        raise UnknownModel("no bundle of this name is in the folders that were given at the start")
    if len(found) > 1:
        raise BundleError(f"two bundles have the same name: {found[0]}, {found[1]}")
    return taken(settings, found[0])


def taken(settings: Settings, folder: Path) -> Bundle:
    """The bundle there, if it is as the settings demand. Raises BundleError, SettingsError."""
    return read(folder, settings.variant, vouch=vouch(settings.require_signature), most=settings.bundle_bytes)


def vouch(file: Path | None) -> Vouch | None:
    """By the public keys in that file. Raises SettingsError."""
    if file is None:
        return None
    from service import signing  # only here: who asks for no signatures never pays for it

    return partial(signing.verify, signers=signing.signers(file))


def versions(settings: Settings) -> dict[str, str]:
    """Name -> version of all that lies there, as far as it has a manifest."""
    return dict(filter(None, (named(folder) for folder in folders(settings.bundles))))


def folders(paths: Sequence[Path]) -> Iterator[Path]:
    """A folder without a manifest stands for the bundles in it, but for those whose name begins with a dot.

    Links to folders are followed here and now: what they lead to later is another bundle.
    """
    for path in paths:
        inside = [] if (path / MANIFEST).exists() else sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))
        for folder in [one for one in inside if not one.name.startswith(".")] or [path]:
            yield folder.resolve()
