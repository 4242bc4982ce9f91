"""The folder: what is wrong with it is said in one line that names the file, the key or the tensor."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from service import bundle as bundles
from service.bundle import Bundle
from service.errors import BundleError
from tests import senses

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """To be broken."""
    return Path(shutil.copytree(bundle.folder, tmp_path / "copy"))


def edit(folder: Path, change: Edit) -> None:
    file = folder / bundles.MANIFEST
    document = yaml.safe_load(file.read_text())
    change(document)
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def refused(folder: Path) -> str:
    """The one line that says why."""
    with pytest.raises(BundleError) as refusal:
        bundles.read(folder).example()
    line = str(refusal.value)
    assert "\n" not in line
    return line


def test_what_is_written_is_what_is_read(bundle: Bundle) -> None:
    again = bundles.read(bundle.folder)
    assert again == bundle
    parts, row, outputs = again.example()
    assert parts["text"] == b"a white noise"
    assert parts.keys() == {"text", "image", "audio"}
    assert row["ids"].tolist() == [1, 9, 10]
    np.testing.assert_allclose(outputs["measures"], [3, 0.2, 0.25], rtol=1e-6)


def test_the_manifest_that_is_written_says_no_more_than_the_one_given(bundle: Bundle) -> None:
    written = yaml.safe_load((bundle.folder / bundles.MANIFEST).read_text())
    digests = written.pop("sha256")
    assert written == senses.manifest()
    assert set(digests) == {
        "model.onnx", "tokenizer.json", "example/text.txt", "example/image.png", "example/audio.wav",
        "example/row.npz", "example/outputs.npz",
    }  # fmt: skip


@pytest.mark.parametrize(
    "file", ["model.onnx", "tokenizer.json", "example/image.png", "example/row.npz", "example/outputs.npz"]
)
def test_a_tampered_file_is_named(copy: Path, file: str) -> None:
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    assert file in refused(copy)


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "example/audio.wav", "example/row.npz"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    assert file in refused(copy)


def test_a_wrong_digest_is_named(copy: Path) -> None:
    edit(copy, lambda m: m["sha256"].update({"model.onnx": "0" * 64}))
    assert "model.onnx" in refused(copy)


def test_a_file_without_a_digest_is_named(copy: Path) -> None:
    edit(copy, lambda m: m["sha256"].pop("tokenizer.json"))
    assert "no digest of tokenizer.json" in refused(copy)


@pytest.mark.parametrize("file", ["model.onnx", "manifest.yaml", "tokenizer.json", "README.md"])
def test_a_git_lfs_pointer_is_named_as_such(copy: Path, file: str) -> None:
    (copy / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    line = refused(copy)
    assert "git lfs pull" in line
    assert file in line


@pytest.mark.parametrize("file", ["../model.onnx", "/etc/passwd", "link.onnx"])
def test_files_outside_the_folder_are_refused(copy: Path, file: str) -> None:
    shutil.copy(copy / "model.onnx", copy.parent / "model.onnx")
    (copy / "link.onnx").symlink_to(copy / "model.onnx")
    edit(copy, lambda m: m["sha256"].update({file: "0" * 64}))
    assert "not a regular file of the bundle" in refused(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(colour="red"), ["'colour'", "known keys: schema, name, version, inputs"]),
        (lambda m: m["inputs"]["image"].update(sacle=1), ["inputs.image", "'sacle'", "scale"]),
        (lambda m: m["inputs"]["text"]["tensors"].update(id="x"), ["inputs.text", "tensors", "'id'", "ids, mask"]),
        (lambda m: m["inputs"]["audio"]["features"].update(hop=1), ["features", "'hop'"]),
        (lambda m: m["outputs"]["sense"].update(label=[]), ["outputs.sense", "'label'", "labels"]),
        (lambda m: m.pop("name"), ["name"]),
        (lambda m: m.update(schema=2), ["schema"]),
        (lambda m: m.update(name="../etc"), ["name"]),
        (lambda m: m["inputs"]["text"].update(kind="smell"), ["inputs.text", "smell"]),
        (lambda m: m["inputs"]["image"].update(std=[0]), ["inputs.image", "std"]),
        (lambda m: m["missing"].pop("tensor"), ["missing", "tensor"]),
        (lambda m: m.update(missing={"policy": "reject", "tensor": "present"}), ["missing", "tensor"]),
        (lambda m: m.update(inputs={}), ["inputs"]),
        (lambda m: m.update(needs={"smell": ["text"]}), ["needs", "'smell'", "sense"]),
        (lambda m: m.update(needs={"sense": ["smell"]}), ["needs: sense", "text, image, audio"]),
        (lambda m: m.update(needs={"sense": []}), ["needs: sense"]),
        (lambda m: m["inputs"].update({"a b": m["inputs"]["text"]}), ["inputs", "a b"]),
    ],
)
def test_a_wrong_manifest_names_the_key_and_those_that_exist(copy: Path, change: Edit, words: list[str]) -> None:
    edit(copy, change)
    line = refused(copy)
    for word in ["manifest.yaml", *words]:
        assert word in line


@pytest.mark.parametrize("text", [b"a: [", b"- a", b"", b"a: \xff", b"\x00", b"!!python/object:os.system {}"])
def test_a_manifest_that_is_no_manifest_is_named(copy: Path, text: bytes) -> None:
    (copy / bundles.MANIFEST).write_bytes(text)
    assert "manifest.yaml" in refused(copy)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "no manifest.yaml" in refused(tmp_path)
    assert "no such folder" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["manifest.yaml", "model.onnx", "tokenizer.json", "example/row.npz", "README.md"])
@pytest.mark.parametrize("how", ["symbolic link", "hard link", "pipe"])
def test_nothing_but_regular_files_is_read(copy: Path, file: str, how: str) -> None:
    """A name elsewhere would let whoever may write there decide what is loaded; a pipe would never end."""
    path, elsewhere = copy / file, copy.parent / "elsewhere"
    if file == "README.md":
        path.write_text("# Senses")
    path.rename(elsewhere)
    if how == "pipe":
        os.mkfifo(path)
    else:
        (path.symlink_to if how == "symbolic link" else path.hardlink_to)(elsewhere)
    assert file in refused(copy)


def test_a_folder_inside_that_leads_elsewhere_is_refused_and_the_bundles_own_may_be_a_link(copy: Path) -> None:
    (copy.parent / "link").symlink_to(copy)
    assert bundles.read(copy.parent / "link").manifest.name == "senses"
    (copy / "example").rename(copy.parent / "elsewhere")
    (copy / "example").symlink_to(copy.parent / "elsewhere")
    assert "example/" in refused(copy)


def test_a_file_of_the_example_that_has_no_digest_is_not_read(copy: Path) -> None:
    (copy / "example" / "text.zzz").write_bytes(b"poison")
    assert bundles.read(copy).example().parts["text"] == b"a white noise"


@pytest.mark.parametrize("file", ["example/row.npz", "example/outputs.npz"])
def test_what_proves_the_bundle_needs_a_digest(copy: Path, file: str) -> None:
    edit(copy, lambda m: m["sha256"].pop(file))
    assert f"no digest of {file}" in refused(copy)


def resealed(folder: Path, file: str, data: bytes) -> None:
    """Another file, with a digest that fits."""
    (folder / file).write_bytes(data)
    edit(folder, lambda m: m["sha256"].update({file: hashlib.sha256(data).hexdigest()}))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY", b"text"])
def test_an_example_that_is_no_npz_is_named(copy: Path, data: bytes) -> None:
    resealed(copy, "example/row.npz", data)
    assert "example/row.npz" in refused(copy)


def test_pickles_are_never_loaded(copy: Path) -> None:
    np.savez(copy / "evil.npz", allow_pickle=True, ids=np.array([{"a": print}], object))
    resealed(copy, "example/row.npz", (copy / "evil.npz").read_bytes())
    assert "example/row.npz" in refused(copy)


def test_an_example_needs_a_part(copy: Path) -> None:
    for name in ("text.txt", "image.png", "audio.wav"):
        (copy / "example" / name).unlink()
        edit(copy, lambda m, name=name: m["sha256"].pop(f"example/{name}"))  # type: ignore[misc]  # mypy#12557
    assert "example/: no file is named after a part (text, image, audio)" in refused(copy)


def test_the_card_comes_along(copy: Path) -> None:
    (copy / "README.md").write_text("# Senses")
    assert bundles.read(copy).card == "# Senses"
