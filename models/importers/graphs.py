"""A graph's file, and the files beside it that hold its weights, to the folder of a bundle."""

import shutil
from pathlib import Path

from service.bundle import LFS
from service.errors import BundleError
from service.graph import read


def copy(graph: Path, folder: Path, name: str) -> None:
    """The graph as `name`, and its weights."""
    weights(graph, folder)
    shutil.copyfile(graph, folder / name)


def weights(graph: Path, folder: Path) -> None:
    """Under the names that the graph knows them by; not with their modes: onnx writes 0600, which a container's user
    cannot read."""
    for file in check(graph):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(graph.parent / file, folder / file)


def check(graph: Path) -> list[str]:
    """The files of its weights. Raises BundleError unless all is there and can be read."""
    readable(graph)
    files = read(graph).files
    for file in files:
        there = graph.parent / file
        if not there.is_file():
            raise BundleError(f"{graph}: its weights are in {file}, which is not beside it; copy it there, too")
        readable(there)
    return files


def readable(file: Path) -> None:
    """Raises BundleError, with what to do."""
    try:
        with file.open("rb") as opened:
            start = opened.read(len(LFS))
    except PermissionError as error:
        mode = file.stat().st_mode & 0o777
        raise BundleError(f"{file}: not readable (mode {mode:04o}); run `chmod a+r {file}`") from error
    if start == LFS:
        raise BundleError(f"{file}: a git-LFS pointer, not the file; run `git lfs pull`")
    if not start:
        raise BundleError(f"{file}: empty")
