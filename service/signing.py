"""Whose a manifest is: Ed25519 signatures of its bytes, and so of all files whose digests it holds (RFC 8032).

Keys are PEM and signatures base64, so that openssl (genpkey, pkeyutl -rawin) makes and checks them, too.
"""

import base64
import binascii
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from service.errors import BundleError, SettingsError

ENDING = ".sig"
BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
GROUP_OR_OTHERS = 0o077
WRITABLE = 0o022


def make(file: Path) -> Path:
    """A new key, which only this user may read; the public one beside it is returned. Raises SettingsError."""
    key, public = Ed25519PrivateKey.generate(), file.with_name(f"{file.name}.pub")
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as private:
            private.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from error
    return public


def private(file: Path) -> Ed25519PrivateKey:
    """The key in that file. Raises SettingsError."""
    try:
        mode, text = file.stat().st_mode, file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    if mode & GROUP_OR_OTHERS:
        raise SettingsError(f"{file}: other users of this machine may read or change it; try: chmod 600 {file}")
    try:
        key = load_pem_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{file}: not an unencrypted private key (PEM)") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{file}: not an Ed25519 key; `braid signing-key FILE` makes one")
    return key


def sign(path: Path, key: Ed25519PrivateKey) -> Path:
    """Writes the signature of what `path` holds beside it."""
    file = path.with_name(path.name + ENDING)
    file.write_bytes(base64.b64encode(key.sign(path.read_bytes())) + b"\n")
    return file


def signers(file: Path) -> tuple[Ed25519PublicKey, ...]:
    """The public keys in a file, one or several. Raises SettingsError."""
    try:
        mode, text = file.stat().st_mode, file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    if mode & WRITABLE:
        raise SettingsError(f"{file}: other users of this machine may change it; try: chmod go-w {file}")
    found = []
    for block in BLOCK.findall(text):
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SettingsError(f"{file}: a public key in it cannot be read") from error
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(f"{file}: a public key in it is not an Ed25519 key")
        found.append(key)
    if not found:
        raise SettingsError(f"{file}: no public key in it (PEM); `braid signing-key FILE` makes a pair")
    return tuple(found)


def verify(path: Path, data: bytes, signers: Sequence[Ed25519PublicKey]) -> None:
    """`data` is what `path` holds; its signature lies beside it. Raises BundleError."""
    file = path.with_name(path.name + ENDING)
    try:
        signature = base64.b64decode(file.read_bytes().strip(), validate=True)
    except FileNotFoundError as error:
        raise BundleError(f"{file}: no such file; only signed bundles are served here (`braid sign`)") from error
    except (OSError, binascii.Error) as error:
        raise BundleError(f"{file}: not a signature") from error
    for signer in signers:
        try:
            signer.verify(signature, data)
        except InvalidSignature:
            continue
        return
    raise BundleError(f"{path}: changed after it was signed, or signed by nobody who is trusted here")
