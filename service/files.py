"""A bundle's files: regular ones, of this folder alone, with the digests that the manifest gives; .npz to arrays."""

import hashlib
import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from service.errors import BundleError
from service.types import Row

LFS = b"version https://git-lfs"


def check(folder: Path, file: str, expected: str | None) -> None:
    path = regular(folder, file)
    if expected is None:
        raise BundleError(f"{folder}: the manifest's sha256 has no digest of {file}")
    with path.open("rb") as stream:
        if stream.read(len(LFS)) == LFS:
            raise BundleError(f"{path}: a git-LFS pointer, not the file; run `git lfs pull`")
    if digest(path) != expected:
        raise BundleError(f"{path}: not the file that the manifest describes (sha256 differs)")


def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def regular(folder: Path, file: str) -> Path:
    """Of this folder, and of no other: whoever may write another name of a file decides what is loaded."""
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file() or path.is_symlink():
        raise BundleError(f"{folder}: {file} is not a regular file of the bundle")
    if path.stat().st_nlink > 1:
        raise BundleError(f"{path}: has another name elsewhere (a hard link); try: cp")
    if not os.access(path, os.R_OK, effective_ids=True):
        raise BundleError(f"{path}: this user may not read it; try: chmod a+r")
    return path


def arrays(path: Path) -> Row:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"{path}: not a readable .npz file") from error
