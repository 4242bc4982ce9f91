"""README names all that exists, and what it shows is what happens."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.bundle import Manifest
from service.errors import RequestError
from service.inputs import Input
from service.outputs import Output
from service.settings import Settings
from service.types import Spec
from tests import process
from tests.process import ROOT, Server, serve

README = (ROOT / "README.md").read_text()
DIGITS = ROOT / "models/bundles/digits"
PLACE = "127.0.0.1:8000"  # where README's server listens


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def examples() -> Iterator[tuple[str, str]]:
    """Command and the answer shown below it."""
    for block in blocks("console"):
        for example in block.split("$ ")[1:]:
            command, _, answer = example.replace("\\\n", "").partition("\n")
            yield command, answer


@pytest.fixture(scope="module")
def digits() -> Iterator[Server]:
    with serve(DIGITS) as running:
        yield running


def kinds(error: type[RequestError]) -> Iterator[type[RequestError]]:
    yield error
    for narrower in error.__subclasses__():
        yield from kinds(narrower)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_readme(name: str) -> None:
    assert f"`BRAID_{name.upper()}`" in README


@pytest.mark.parametrize("key", [field.alias or name for name, field in Manifest.model_fields.items()])
def test_every_key_of_a_manifest_is_in_readme(key: str) -> None:
    assert re.search(rf"^\| `.*`{key}`.* \||^\| `{key}`.* \|", README, re.MULTILINE)


def test_readme_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"BRAID_[A-Z_]+", README))
    assert named <= {f"BRAID_{name.upper()}" for name in Settings.model_fields} | {"BRAID_DATA"}


@pytest.mark.parametrize("error", list(kinds(RequestError)), ids=lambda error: error.code)
def test_every_error_is_in_readme_beside_its_status(error: type[RequestError]) -> None:
    assert any(line.startswith(f"| {error.status} ") and f"`{error.code}`" in line for line in README.splitlines())


def test_every_metric_is_in_readme_and_no_other(digits: Server) -> None:
    digits.predict(text=b"seven")
    exported = {family.name for family in text_string_to_metric_families(digits.client.get("/metrics").text)}
    named = {name.removesuffix("_total") for name in re.findall(r"^\| .*?`(braid_\w+)[{`]", README, re.MULTILINE)}
    named |= {name.removesuffix("_total") for name in re.findall(r"`(braid_\w+)\{", README)}
    assert {name for name in exported if not name.startswith("process_")} == named


def test_every_endpoint_is_in_readme(digits: Server) -> None:
    document = digits.client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path.replace('/digits', '/{model}')}`" in README


def test_every_query_option_is_in_readme(digits: Server) -> None:
    for option in digits.client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["parameters"]:
        assert f"`{option['name']}" in README


def alike(shown: Any, real: Any) -> None:
    """The same but for id and time; numbers within 1e-3."""
    if isinstance(shown, dict):
        assert isinstance(real, dict)
        assert list(shown) == list(real)
        for key in shown.keys() - {"id", "seconds"}:
            alike(shown[key], real[key])
    elif isinstance(shown, list):
        assert len(shown) == len(real)
        for one, other in zip(shown, real, strict=True):
            alike(one, other)
    else:
        assert shown == (pytest.approx(real, abs=1e-3) if isinstance(shown, float) else real)


def test_there_are_examples() -> None:
    assert len([command for command, _ in examples() if command.startswith("curl")]) >= 3


@pytest.mark.parametrize(("command", "answer"), list(examples()))
def test_an_example_of_readme_gives_the_answer_shown(digits: Server, command: str, answer: str) -> None:
    here = command.replace(PLACE, f"127.0.0.1:{digits.port}")
    assert here != command
    run = subprocess.run(["bash", "-c", here], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    alike(json.loads(answer), json.loads(run.stdout))


@pytest.mark.parametrize("code", blocks("js"))
def test_the_javascript_of_readme_runs(digits: Server, code: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    script = tmp_path / "example.mjs"
    script.write_text(code.replace(PLACE, f"127.0.0.1:{digits.port}"))
    run = subprocess.run([node, script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert run.stdout == "7\n"


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_of_readme_runs(digits: Server, code: str) -> None:
    here = code.replace(PLACE, f"127.0.0.1:{digits.port}")
    subprocess.run([sys.executable, "-c", here], cwd=ROOT, check=True, timeout=30)


def test_links_of_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_files_that_readme_names_exist() -> None:
    for path in re.findall(r"`((?:service|models|tests)/[\w./-]+)`", README):
        assert (ROOT / path).exists(), path


def test_the_bundle_in_the_repository_is_verified() -> None:
    run = process.braid("verify", DIGITS)
    assert run.returncode == 0, run.stdout
    assert sum(file.stat().st_size for file in DIGITS.rglob("*") if file.is_file()) <= 3 * 10**6
    assert (DIGITS / "README.md").is_file()


def specs(annotation: Any) -> Iterator[type[Spec]]:
    """All that a key of a manifest may hold, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
        for field in annotation.model_fields.values():
            yield from specs(field.annotation)
    for part in get_args(annotation):
        yield from specs(part)


FOLDERS = {"inputs": Input, "outputs": Output}
KINDS = {
    spec.model_fields["kind"].default: (folder, spec)
    for folder, union in FOLDERS.items()
    for spec in get_args(get_args(union)[0])
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_kind_is_in_its_readme(kind: str) -> None:
    folder, spec = KINDS[kind]
    readme = (ROOT / "service" / folder / "README.md").read_text()
    section = readme.split(f"\n## `{kind}`\n")[1].split("\n## ")[0]
    if folder == "outputs":
        section += readme.split("\n## ")[0]
    for part in specs(spec):
        for name, field in part.model_fields.items():
            if name not in ("kind", "to"):
                assert re.search(rf"\b{name}\b", section), f"{part.__name__}.{name}"
            for choice in get_args(field.annotation) if get_origin(field.annotation) is Literal else ():
                assert choice == kind or re.search(rf"\b{choice}\b", section), f"{part.__name__}.{name}: {choice}"
