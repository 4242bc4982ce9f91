"""Kinds of inputs and outputs that an installed package brings: served like ours, and refused by name where broken."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import ROOT, Server, braid, serve

README = (ROOT / "service/inputs/README.md").read_text()


def block(language: str) -> str:
    """What the page shows is what is installed here."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(found)


PACKAGE = {"pyproject.toml": block("toml"), "braid_series.py": block("python")}
WRITE = """
import sys; from pathlib import Path
from tests import wild
node = wild.helper.make_node
nodes = [node("ReduceMean", ["values"], ["mean"], axes=[1])]
made = wild.graph(nodes, {"values": (wild.FLOAT, ["n", 3])}, {"mean": (wild.FLOAT, ["n", 1])})
parts = {"marks": {"kind": "series", "count": 3, "tensors": {"values": "values"}}}
outputs = {"result": {"kind": "grade", "tensor": "mean", "passes": 4}}
wild.write(Path(sys.argv[1]), made, {"inputs": parts, "outputs": outputs}, {"marks": ("txt", b"3 4 5")})
"""


def installed(folder: Path, files: dict[str, str]) -> str:
    """A real package, by pip, in a path of its own; with what the serving process needs on its path."""
    source, target = folder / "source", folder / "installed"
    source.mkdir(parents=True)
    for name, text in files.items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, source], check=True)
    return os.pathsep.join([str(ROOT), str(target)])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return installed(tmp_path_factory.mktemp("package"), PACKAGE)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, path: str) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "graded"
    subprocess.run([sys.executable, "-c", WRITE, folder], env=os.environ | {"PYTHONPATH": path}, cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def server(graded: Path, path: str) -> Iterator[Server]:
    with serve(graded, PYTHONPATH=path) as running:
        yield running


def test_a_kind_of_another_package_is_served(server: Server) -> None:
    answer = server.predict(marks=b"4 5 6").raise_for_status().json()
    assert answer["outputs"] == {"result": {"grade": "pass", "value": 5.0}}
    assert server.predict(marks=b"1 2 3").json()["outputs"]["result"]["grade"] == "fail"


def test_it_stands_in_the_description_and_in_the_document_of_the_api(server: Server) -> None:
    described = server.client.get("/v1/models/graded").json()
    assert described["inputs"]["marks"]["kind"] == "series"
    assert described["outputs"]["result"]["kind"] == "grade"
    body = server.client.get("/openapi.json").json()["paths"]["/v1/models/graded/predict"]["post"]["requestBody"]
    marks = body["content"]["multipart/form-data"]["schema"]["properties"]["marks"]
    assert marks == {"type": "string", "format": "binary"}


def test_its_refusals_are_the_clients_fault_and_its_bugs_cost_one_request(server: Server) -> None:
    short = server.predict(marks=b"4 5")
    assert (short.status_code, short.json()["part"]) == (422, "marks")
    assert short.json()["detail"] == "part 'marks': 2 numbers, this model takes 3"
    broken = server.predict(marks=b"secret words here")
    assert (broken.status_code, broken.json()["code"]) == (422, "invalid_input")
    assert "secret" not in broken.text


def test_its_keys_and_shapes_are_checked_like_ours(graded: Path, path: str) -> None:
    manifest = (graded / "manifest.yaml").read_text()
    try:
        (graded / "manifest.yaml").write_text(manifest.replace("count: 3", "cuont: 3"))
        assert "inputs.marks" in (said := braid("verify", graded, PYTHONPATH=path).stderr)
        assert "unknown key 'cuont'; known keys: kind, count, tensors" in said
        (graded / "manifest.yaml").write_text(manifest.replace("count: 3", "count: 4"))
        assert "'values' is made 4, but the graph takes 3" in braid("verify", graded, PYTHONPATH=path).stderr
    finally:
        (graded / "manifest.yaml").write_text(manifest)


def test_a_kind_that_is_not_installed_is_named_with_those_that_are(graded: Path) -> None:
    run = braid("verify", graded)
    assert run.returncode == 2
    assert "'series'" in run.stderr
    assert "'text', 'image', 'audio'" in run.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nowhere_to_be_found", "could not be loaded: ModuleNotFoundError"),
        ("class Series: pass", "is not a Spec whose kind is the Literal 'series'"),
        ("from service.types import Spec\nclass Series(Spec): kind: str = 'other'", "is not a Spec whose kind is"),
        ("from service.types import Spec\nclass Series(Spec): kind: str = 'series'", "is not a Spec whose kind is"),
    ],
)
def test_a_broken_package_is_named_by_bundles_that_need_it_and_hurts_no_other(
    graded: Path, tmp_path: Path, code: str, words: str
) -> None:
    path = installed(tmp_path, PACKAGE | {"braid_series.py": code})
    run = braid("verify", graded, PYTHONPATH=path)
    assert run.returncode == 2
    assert f"plug-in braid_series:Series of braid-series 1.2 {words}" in run.stderr
    assert braid("verify", ROOT / "models/bundles/digits", PYTHONPATH=path).returncode == 0


def test_a_package_cannot_take_the_place_of_another_or_of_ours(graded: Path, path: str, tmp_path: Path) -> None:
    other = PACKAGE["pyproject.toml"].replace("braid-series", "rival")
    rival = installed(tmp_path / "rival", PACKAGE | {"pyproject.toml": other})
    run = braid("verify", graded, PYTHONPATH=f"{path}{os.pathsep}{rival}")
    assert run.returncode == 2
    assert "several packages bring this kind" in run.stderr
    assert "braid-series 1.2" in run.stderr
    assert "rival 1.2" in run.stderr
    ours = PACKAGE["pyproject.toml"].replace("series =", "image =")
    taken = installed(tmp_path / "image", PACKAGE | {"pyproject.toml": ours})
    run = braid("verify", ROOT / "models/bundles/digits", PYTHONPATH=taken)
    assert run.returncode == 0
    assert "plug-in braid_series:Series of braid-series 1.2 is not used: Braid has a kind of this name" in run.stderr
