"""Which bundles are served."""

import shutil
from pathlib import Path

import pytest

from service.bundle import Bundle
from service.errors import BundleError
from service.folders import find
from service.logs import Log
from service.metrics import Metrics
from service.registry import Registry
from service.settings import Settings


def names(*paths: Path) -> list[str]:
    return [bundle.manifest.name for bundle in find(Settings(bundles=paths))]


def test_a_folder_of_bundles_stands_for_all_of_them(bundle: Bundle, strict: Bundle, tmp_path: Path) -> None:
    for made in (strict, bundle):
        shutil.copytree(made.folder, tmp_path / made.manifest.name)
    (tmp_path / "notes").mkdir()
    assert names(tmp_path) == ["senses", "strict"]


def test_the_order_is_the_operators(bundle: Bundle, strict: Bundle) -> None:
    assert names(strict.folder, bundle.folder) == ["strict", "senses"]


def test_one_broken_bundle_stops_the_start(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx"):
        names(bundle.folder, tmp_path)


def test_two_of_one_name_are_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="same name"):
        names(bundle.folder, bundle.folder)


@pytest.mark.parametrize("paths", [[], [Path("/nowhere")]])
def test_nothing_to_serve_is_refused(paths: list[Path]) -> None:
    with pytest.raises(BundleError):
        names(*paths)


def test_an_empty_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.yaml"):
        names(tmp_path)


@pytest.mark.parametrize("batch", [1, 64])
def test_the_operators_batch_is_taken_as_it_is(bundle: Bundle, batch: int) -> None:
    registry = Registry([bundle], Settings(batch=batch, cache=None), Metrics(), Log("off"))
    registry.load()
    assert registry.get(None).batcher.size == batch


def test_a_graph_of_one_row_is_never_given_more(single: Bundle) -> None:
    registry = Registry([single], Settings(batch=64, cache=None), Metrics(), Log("off"))
    registry.load()
    assert registry.get(None).batcher.size == 1
