"""A variant is kept only if it is smaller, near enough and not slower; a refusal leaves the bundle as it was."""

import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from models import __main__, parity
from models.quantize import Refused, quantize, registered
from models.variant import BOUNDS, Device, Kind, Order
from service import bundle
from service.bundle import Bundle
from service.errors import BundleError
from service.model import Model
from service.types import Row
from tests.process import braid, serve

DIGITS = Path(__file__).parents[2] / "models" / "bundles" / "digits"
LOOSE = 0.9  # the tests are of the command, whatever network the bundle holds


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DIGITS, tmp_path / "digits"))


def equal(models: Sequence[Model], row: Row, size: int) -> list[float]:
    """In place of a clock, so that no noise decides."""
    return [1e-3 for _ in models]


def slower_in_batches(models: Sequence[Model], row: Row, size: int) -> list[float]:
    return [1e-3, 1e-3 if size == 1 else 2e-3]


def never(models: Sequence[Model], row: Row, size: int) -> list[float]:
    raise AssertionError("measured")


def order(folder: Path, kind: Kind = Kind.INT8, bound: float = LOOSE) -> Order:
    return Order(folder=folder, kind=kind, bound=bound)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def screen() -> Console:
    return Console(file=io.StringIO(), width=200)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_both_variants_are_added_and_are_what_the_bundle_computes(digits: Path) -> None:
    before = contents(digits)
    for kind in Kind:
        quantize(order(digits, kind), screen(), equal)
    for kind in Kind:
        assert braid("verify", digits, "--variant", kind).returncode == 0
        assert bundle.read(digits, kind).graph.stat().st_size < len(before["model.onnx"])
    after = contents(digits)
    assert after.keys() - before.keys() == {"model.fp16.onnx", "model.int8.onnx"}
    assert {file for file in before if after[file] != before[file]} == {"manifest.yaml"}


def test_the_manifest_gains_the_variant_and_keeps_the_rest(digits: Path) -> None:
    text = (digits / "manifest.yaml").read_text()
    again = registered(registered(text, order(digits), b"graph"), order(digits, bound=0.25), b"new graph")
    was, now = yaml.safe_load(text), yaml.safe_load(again)
    assert now.pop("variants") == {"int8": {"file": "model.int8.onnx", "tolerance": 0.25}}
    assert now["sha256"].pop("model.int8.onnx")
    assert now == was


def test_a_variant_is_served(digits: Path) -> None:
    quantize(order(digits), screen(), equal)
    with serve(digits, BRAID_VARIANT="int8") as server:
        assert server.client.get("/v1/models/digits").json()["variant"] == "int8"
        answer = server.predict(text=b"seven").raise_for_status().json()
    assert answer["outputs"]["digit"]["label"] == "7"


@pytest.mark.parametrize("kind", Kind)
def test_what_is_off_is_refused(digits: Path, kind: Kind) -> None:
    before = contents(digits)
    with pytest.raises(Refused, match=r"off by .* allowed is 1e-09; nothing written"):
        quantize(order(digits, kind, 1e-9), screen(), equal)
    assert contents(digits) == before


def test_what_is_slower_at_any_batch_size_is_refused(digits: Path) -> None:
    before = contents(digits)
    with pytest.raises(Refused, match=r"2\.00 times the original's CPU time in batches of 16; nothing written$"):
        quantize(order(digits), screen(), slower_in_batches)
    assert contents(digits) == before


def test_a_slower_float16_points_to_gpus(digits: Path) -> None:
    with pytest.raises(Refused, match="float16 is for GPUs: --for cuda"):
        quantize(order(digits, Kind.FP16), screen(), slower_in_batches)


def test_for_cuda_cpu_time_decides_nothing_and_the_table_says_so(digits: Path) -> None:
    console = screen()
    cuda = Order(folder=digits, kind=Kind.FP16, bound=LOOSE, device=Device.CUDA)
    quantize(cuda, console, never)
    assert "not measured on CUDA" in shown(console)
    assert "fp16" in bundle.read(digits).manifest.variants


def test_a_graph_with_nothing_to_quantize_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "senses"))
    before = contents(folder)
    with pytest.raises(Refused, match="no smaller"):
        quantize(order(folder, bound=1e9), screen(), equal)
    assert contents(folder) == before


def test_a_damaged_bundle_gets_no_variant(digits: Path) -> None:
    (digits / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="sha256"):
        quantize(order(digits), screen(), never)


def test_labelled_examples_give_an_accuracy(digits: Path, tmp_path: Path) -> None:
    for label, text in (("7", b"seven"), ("2", b"two"), ("3", b"eight")):  # the last is a wrong label
        (tmp_path / "said" / label / "first").mkdir(parents=True)
        (tmp_path / "said" / label / "first" / "text.txt").write_bytes(text)
    console = screen()
    given = Order(folder=digits, kind=Kind.INT8, bound=LOOSE, examples=tmp_path / "said")
    quantize(given, console, equal)
    assert "accuracy on 3 labelled" in shown(console)
    assert "66.7%" in shown(console)


def test_an_unknown_label_is_named(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "said" / "eleven" / "first").mkdir(parents=True)
    given = Order(folder=digits, kind=Kind.INT8, bound=LOOSE, examples=tmp_path / "said")
    with pytest.raises(ValueError, match="no label 'eleven'"):
        quantize(given, screen(), never)


def test_the_examples_are_every_subset_in_the_range_of_the_bundles_own() -> None:
    model = Model(bundle.read(DIGITS))
    rows, again = parity.examples(model), parity.examples(model)
    _, original, _ = model.bundle.example()
    assert {tuple(row["present"]) for row in rows} == set(np.ndindex(2, 2, 2)) - {(0, 0, 0)}
    assert len(rows) == 7 * (1 + parity.PERTURBED)
    for row, same in zip(rows, again, strict=True):
        assert row.keys() == same.keys()
        for name in row.keys() - {"present"}:
            values = original[name]
            assert np.array_equal(row[name], same[name])
            assert row[name].dtype == values.dtype
            assert row[name].shape == values.shape
            assert values.min() <= row[name].min() <= row[name].max() <= values.max()
            assert "mask" not in name or np.array_equal(row[name], values)


def test_a_model_that_needs_all_parts_is_asked_for_all_parts(strict: Bundle) -> None:
    model = Model(strict)
    assert all(row.keys() >= model.engine.inputs.keys() for row in parity.examples(model))


def test_the_clock_measures_each_model() -> None:
    model = Model(bundle.read(DIGITS))
    _, row, _ = model.bundle.example()
    assert all(0 < each < 10 for each in parity.interleaved([model, model], row, 2))


def test_a_refusal_is_one_line_and_exit_code_2(
    digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["models", "quantize", str(digits), "--for", "cuda", "--bound", "1e-6"])
    with pytest.raises(SystemExit) as stopped:
        __main__.main()
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: fp16 is off by")


def test_the_bounds_are_those_that_the_documents_state() -> None:
    assert BOUNDS == {Kind.FP16: 0.01, Kind.INT8: 0.15}
