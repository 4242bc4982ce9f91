"""Only bundles that somebody trusted has signed: whatever of a bundle is loaded, its signature covers."""

import ctypes
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from service import bundle as bundles
from service import folders, signing
from service.bundle import Bundle
from service.errors import BundleError, SettingsError
from service.model import Model
from tests import senses
from tests.process import braid, serve
from tests.test_swap import put, reload, seen

IN_OPEN = 0x20  # inotify(7)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "release"
    assert braid("signing-key", file).returncode == 0
    return file


@pytest.fixture
def public(key: Path) -> Path:
    return key.with_name("release.pub")


@pytest.fixture
def signed(bundle: Bundle, key: Path, tmp_path: Path) -> Path:
    """With a model card."""
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "signed"))
    (folder / "README.md").write_text("# Senses\n")
    run = braid("sign", folder, "--key", key)
    assert run.returncode == 0, run.stderr
    assert "signs 8 files" in run.stdout
    return folder


def refused(folder: Path, public: Path) -> str:
    """The one line that says why."""
    with pytest.raises(BundleError) as refusal:
        bundles.read(folder, vouch=folders.vouch(public))
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_what_is_signed_is_served_and_verified(signed: Path, public: Path) -> None:
    assert bundles.read(signed, vouch=folders.vouch(public)).card == "# Senses\n"
    assert braid("verify", signed, "--require-signature", public).returncode == 0
    with serve(signed, BRAID_REQUIRE_SIGNATURE=str(public)) as server:
        assert server.predict(text=b"a b").status_code == 200
        assert server.client.get("/v1/models/senses").json()["card"] == "# Senses\n"


def test_what_nobody_has_signed_stops_the_start(bundle: Bundle, public: Path) -> None:
    run = braid("serve", bundle.folder, "--port", "0", "--require-signature", public)
    assert run.returncode == 2
    assert "manifest.yaml.sig: no such file" in run.stderr
    assert "braid sign" in run.stderr
    assert braid("verify", bundle.folder, "--require-signature", public).returncode == 2


@pytest.mark.parametrize(
    "file",
    ["manifest.yaml", "model.onnx", "tokenizer.json", "README.md", "example/text.txt", "example/row.npz",
     "example/outputs.npz", "example/audio.wav"],
)  # fmt: skip
def test_a_file_that_was_changed_after_signing_is_named(signed: Path, public: Path, file: str) -> None:
    with (signed / file).open("ab") as stream:
        stream.write(b" ")
    assert file in refused(signed, public)


def test_a_digest_that_fits_is_no_way_around(signed: Path, public: Path) -> None:
    manifest = bundles.read(signed).manifest
    (signed / "example" / "text.txt").write_bytes(b"a white noise ")
    bundles.seal(signed, manifest, manifest.sha256)
    bundles.read(signed)
    assert "manifest.yaml: changed after it was signed" in refused(signed, public)


def test_another_key_is_nobody_unless_it_is_trusted_too(signed: Path, public: Path, tmp_path: Path) -> None:
    other = signing.make(tmp_path / "other")
    assert "signed by nobody who is trusted here" in refused(signed, other)
    both = tmp_path / "both"
    both.write_bytes(b"# of last year\n" + other.read_bytes() + b"# of this year\n" + public.read_bytes())
    assert bundles.read(signed, vouch=folders.vouch(both))


@pytest.mark.parametrize("data", [b"", b"!", b"AAAA", b"\xff" * 100, b"A" * 88])
def test_what_is_no_signature_is_refused(signed: Path, public: Path, data: bytes) -> None:
    (signed / "manifest.yaml.sig").write_bytes(data)
    assert "manifest.yaml" in refused(signed, public)


def test_nothing_of_an_unsigned_manifest_is_parsed(signed: Path, public: Path) -> None:
    (signed / "manifest.yaml").write_text("a: [")
    assert "changed after it was signed" in refused(signed, public)


def test_a_card_that_came_after_the_signature_is_not_shown(
    bundle: Bundle, key: Path, public: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "bare"))
    assert braid("sign", folder, "--key", key).returncode == 0
    (folder / "README.md").write_text("# Trust me")
    assert bundles.read(folder).card == "# Trust me"
    assert bundles.read(folder, vouch=folders.vouch(public)).card == ""


def test_signing_again_needs_no_other_manifest(signed: Path, key: Path) -> None:
    before = (signed / "manifest.yaml").read_bytes()
    assert braid("sign", signed, "--key", key).returncode == 0
    assert (signed / "manifest.yaml").read_bytes() == before


def test_a_reload_takes_no_version_that_is_not_signed(key: Path, public: Path, folder: Path, tmp_path: Path) -> None:
    versions = {version: senses.write(tmp_path / f"{version}", version=version).folder for version in (1, 2)}
    assert braid("sign", versions[1], "--key", key).returncode == 0
    (tmp_path / "bundles").mkdir()
    put(versions[1], tmp_path / "bundles" / "senses")
    with serve(tmp_path / "bundles", BRAID_REQUIRE_SIGNATURE=str(public)) as server:
        put(versions[2], tmp_path / "bundles" / "senses")
        assert "manifest.yaml.sig: no such file" in reload(server)["error"]
        assert seen(server) == {"1"}
        braid("sign", tmp_path / "bundles" / "senses", "--key", key)
        assert reload(server)["event"] == "changed"
        assert seen(server) == {"2"}


@contextmanager
def opened(folder: Path) -> Iterator[set[str]]:
    """Files of the folder that are opened meanwhile, by whatever library (inotify)."""
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    places = {libc.inotify_add_watch(watch, bytes(place), IN_OPEN): place for place in (folder, folder / "example")}
    found: set[str] = set()
    try:
        yield found
        events = os.read(watch, 2**20)
    finally:
        os.close(watch)
    while events:
        place, _, _, size = struct.unpack_from("iIII", events)
        name = events[16 : 16 + size].rstrip(b"\0").decode()
        events = events[16 + size :]
        if name:
            found.add(str((places[place] / name).relative_to(folder)))


def test_whatever_is_opened_is_covered(signed: Path, public: Path) -> None:
    for more in ("tokenizer_config.json", "model.onnx.data", "example/text.md", "custom.so"):
        (signed / more).write_text("not read")
    with opened(signed) as found:
        bundle = bundles.read(signed, vouch=folders.vouch(public))
        model = Model(bundle)
        model.prove()
        model.run([model.example.row])
    assert {"model.onnx", "tokenizer.json", "example/row.npz", "README.md"} <= found
    assert found - {"example"} <= bundle.manifest.sha256.keys() | {"manifest.yaml", "manifest.yaml.sig"}


def test_keys_that_others_may_use_are_refused(signed: Path, public: Path, tmp_path: Path) -> None:
    signing.make(tmp_path / "mine")
    (tmp_path / "mine").chmod(0o640)
    run = braid("sign", signed, "--key", tmp_path / "mine")
    assert run.returncode == 2
    assert "chmod 600" in run.stderr
    loose = Path(shutil.copy(public, tmp_path / "loose"))
    loose.chmod(0o666)
    with pytest.raises(SettingsError, match="chmod go-w"):
        signing.signers(loose)


def test_a_new_key_is_this_users_alone_and_replaces_none(tmp_path: Path) -> None:
    file = tmp_path / "key"
    signing.make(file)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    run = braid("signing-key", file)
    assert run.returncode == 2
    assert "exists" in run.stderr
    assert file.read_bytes() == before


PEM = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("text", [b"", b"no key", PEM % b"AAAA", b"\xff" * 50])
def test_files_that_hold_no_keys_are_named(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(text)
    file.chmod(0o600)
    for read in (signing.signers, signing.private):
        with pytest.raises(SettingsError, match=str(file)):
            read(file)
    for read in (signing.signers, signing.private):
        with pytest.raises(SettingsError, match="No such file"):
            read(tmp_path / "none")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_openssl_makes_the_same_keys_and_signatures(signed: Path, public: Path, tmp_path: Path) -> None:
    def openssl(*words: str | Path) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=tmp_path)

    manifest, raw = signed / "manifest.yaml", tmp_path / "raw"
    openssl("base64", "-d", "-A", "-in", signed / "manifest.yaml.sig", "-out", raw)
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", manifest, "-sigfile", raw)
    openssl("genpkey", "-algorithm", "ed25519", "-out", "key")
    openssl("pkey", "-in", "key", "-pubout", "-out", "key.pub")
    (tmp_path / "key").chmod(0o600)
    signing.sign(manifest, signing.private(tmp_path / "key"))
    assert bundles.read(signed, vouch=folders.vouch(tmp_path / "key.pub"))
    openssl("genpkey", "-algorithm", "rsa", "-out", "rsa")
    openssl("pkey", "-in", "rsa", "-pubout", "-out", "rsa.pub")
    (tmp_path / "rsa").chmod(0o600)
    for read, file in ((signing.private, "rsa"), (signing.signers, "rsa.pub")):
        with pytest.raises(SettingsError, match="not an Ed25519 key"):
            read(tmp_path / file)


def test_a_bundle_that_is_too_large_is_refused_before_it_is_read(bundle: Bundle) -> None:
    size = sum(file.stat().st_size for file in bundle.folder.rglob("*") if file.is_file())
    run = braid("serve", bundle.folder, "--port", "0", BRAID_BUNDLE_BYTES=str(size // 2))
    assert run.returncode == 2
    assert "BRAID_BUNDLE_BYTES allows" in run.stderr


def test_nothing_of_a_manifest_can_name_a_library(bundle: Bundle, tmp_path: Path) -> None:
    """Nor does anything register one with onnxruntime."""
    for word in ("custom_ops", "libraries", "session_options", "plugins"):
        folder = Path(shutil.copytree(bundle.folder, tmp_path / word))
        document = yaml.safe_load((folder / "manifest.yaml").read_text())
        (folder / "manifest.yaml").write_text(yaml.safe_dump({**document, word: ["custom.so"]}))
        with pytest.raises(BundleError, match=f"unknown key '{word}'"):
            bundles.read(folder)
    sources = (file.read_text() for file in Path(bundles.__file__).parent.rglob("*.py"))
    assert not [text for text in sources if "register_custom_ops" in text]
