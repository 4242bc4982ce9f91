"""What each stage of a request costs, on a bundle's own example; decides no test, so its name is not test_*.

    pytest tests/bench/stages.py [--bundle FOLDER]

Run it on a quiet machine; `--benchmark-autosave` and `--benchmark-compare` show what a change of the code did.
"""

from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest

from service import bundle
from service.bench import target
from service.bench.requests import Subset, example, requests
from service.collate import Collate
from service.limits import DEFAULTS
from service.model import Model
from service.ports import Port
from service.types import Parts, Row
from service.web import uploads

pytest.importorskip("pytest_benchmark", reason="pip install .[bench]")
CROWD = 16  # rows of a batch


class Benchmark(Protocol):
    """pytest-benchmark's fixture, which has no types."""

    def __call__(self, function: Any, *arguments: Any) -> Any: ...


@pytest.fixture(scope="module")
def model(pytestconfig: pytest.Config) -> Model:
    return Model(bundle.read(pytestconfig.getoption("--bundle")))


@pytest.fixture(scope="module")
def parts(model: Model) -> Parts:
    return model.bundle.example()[0]


@pytest.fixture(scope="module")
def row(model: Model, parts: Parts) -> Row:
    return model.encode(parts, {})


@pytest.fixture(scope="module")
def answer(model: Model, row: Row) -> Row:
    return model.run([row])[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`part` stands for each part of the bundle's example."""
    if "part" in metafunc.fixturenames:
        folder: Path = metafunc.config.getoption("--bundle")
        metafunc.parametrize("part", sorted(bundle.read(folder).example()[0]))


def test_form(benchmark: Benchmark, model: Model) -> None:
    """A multipart body to parts."""
    samples = example(model.bundle.folder)
    request = next(requests(target.parse("http://127.0.0.1"), samples, [Subset(tuple(samples))]))
    head, body = request.pieces[0], b"".join(request.pieces[1:])
    boundary = head.split(b"boundary=")[1].split(b"\r\n")[0].decode()
    found, _ = benchmark(uploads.from_form, body, boundary, model.manifest.inputs, DEFAULTS)
    assert found.keys() == samples.keys()


def test_encode(benchmark: Benchmark, model: Model, parts: Parts, part: str) -> None:
    """One part's bytes to its tensors."""
    spec = model.manifest.inputs[part]
    assert benchmark(spec.load(model.bundle.folder), parts[part])


def test_encode_all(benchmark: Benchmark, model: Model, parts: Parts) -> None:
    """Parts to a row."""
    assert benchmark(model.encode, parts, {})


@pytest.mark.parametrize("rows", [1, CROWD])
def test_collate(benchmark: Benchmark, row: Row, rows: int) -> None:
    """Rows to a batch."""
    ports = {name: Port(array.dtype, (None, *array.shape)) for name, array in row.items()}
    assert benchmark(Collate(ports, ()).feed, [row] * rows)


@pytest.mark.parametrize("rows", [1, CROWD])
def test_run(benchmark: Benchmark, model: Model, row: Row, rows: int) -> None:
    """Rows to rows: collate, graph, and taking the batch apart."""
    assert len(benchmark(model.run, [row] * rows)) == rows


def test_decode(benchmark: Benchmark, model: Model, parts: Parts, answer: Row) -> None:
    """A row to what is answered."""
    assert benchmark(model.decode, answer, parts)


def test_json(benchmark: Benchmark, model: Model, parts: Parts, answer: Row) -> None:
    """What is answered to bytes."""
    assert benchmark(orjson.dumps, model.decode(answer, parts))
