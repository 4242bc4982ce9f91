"""The command line: what is wrong is one line and exit code 2; --help teaches."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from service import cli
from service.bundle import Bundle
from tests import process, senses

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def braid(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process: a start costs a second. What comes as far as serving has a process of its own."""

    def run(*arguments: str | Path, **settings: str) -> "CompletedProcess[str]":
        monkeypatch.setattr("sys.argv", ["braid", *map(str, arguments)])
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        for name in settings:
            monkeypatch.delenv(name)
        assert isinstance(code, int)
        return CompletedProcess(arguments, code, *capfd.readouterr())

    return run


def line(braid: Run, *arguments: str | Path, **settings: str) -> str:
    """The one line on standard error."""
    run = braid(*arguments, **settings)
    assert run.returncode == 2, run
    assert run.stderr.startswith("braid: ")
    assert run.stderr.count("\n") == 1
    assert run.stdout == ""
    return run.stderr


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """To be broken."""
    return Path(shutil.copytree(bundle.folder, tmp_path / "copy"))


def test_help_teaches_by_example(braid: Run) -> None:
    overview = braid("--help")
    assert overview.returncode == 0
    for command in ("serve", "verify", "predict", "bench"):
        assert command in overview.stdout
        help_ = braid(command, "--help")
        assert help_.returncode == 0
        assert f"braid {command} " in help_.stdout


def test_without_a_command_there_is_help(braid: Run) -> None:
    run = braid()
    assert "serve" in run.stdout + run.stderr


def test_the_version_is_printed(braid: Run) -> None:
    assert braid("--version").stdout.startswith("braid 0.")


@pytest.mark.parametrize("command", ["serve", "verify", "predict"])
def test_a_wrong_path_is_named(braid: Run, command: str, tmp_path: Path) -> None:
    assert f"{tmp_path}/nowhere: no such folder" in line(braid, command, tmp_path / "nowhere")


def test_serving_nothing_says_what_to_try(braid: Run) -> None:
    assert "braid serve models/bundles/digits" in line(braid, "serve")


def test_a_broken_bundle_is_named(braid: Run, copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"tampered")
    for command in ("serve", "verify", "predict"):
        assert "model.onnx" in line(braid, command, copy)


def test_a_bundle_that_does_not_replay_stops_the_server(tampered: Path) -> None:
    run = process.braid("serve", tampered, "--port", "0", BRAID_LOG="off")
    assert run.returncode == 2
    assert run.stderr.splitlines() == [run.stderr.strip()]
    assert "tensor 'pixels' of the example differs by" in run.stderr


def test_a_taken_port_is_named(braid: Run, bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in line(braid, "serve", bundle.folder, "--port", str(port), BRAID_LOG="off")


def test_an_unknown_variable_is_named(braid: Run, bundle: Bundle) -> None:
    assert "BRAID_PROT: no such setting" in line(braid, "serve", bundle.folder, BRAID_PROT="1")


def test_an_impossible_setting_is_named(braid: Run, bundle: Bundle) -> None:
    assert "BRAID_PORT (--port)" in line(braid, "serve", bundle.folder, BRAID_PORT="http")
    assert "BRAID_LOG (--log)" in line(braid, "serve", bundle.folder, "--log", "loud")


def test_a_provider_that_is_not_there_is_named(bundle: Bundle) -> None:
    assert "'Abacus'" in line(
        process.braid, "serve", bundle.folder, "--port", "0", "--providers", "Abacus", BRAID_LOG="off"
    )


def test_two_bundles_of_one_name_are_refused(braid: Run, bundle: Bundle, copy: Path) -> None:
    assert "same name: senses" in line(braid, "serve", bundle.folder, copy)


def test_verify_is_exact_on_the_machine_that_wrote(braid: Run, bundle: Bundle) -> None:
    run = braid("verify", bundle.folder)
    assert run.returncode == 0
    assert run.stdout.splitlines()[-1] == f"{bundle.folder}: verified against training"
    assert run.stdout.count("0.000e+00") == 9


@pytest.fixture
def tampered(copy: Path) -> Path:
    """Whose manifest normalises otherwise than training did."""
    manifest = copy / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("scale: 0.00392156862745098", "scale: 0.004"))
    return copy


def test_verify_exits_with_1_where_the_numbers_are_others(braid: Run, tampered: Path) -> None:
    run = braid("verify", tampered)
    assert run.returncode == 1
    assert any(line.split()[0] == "pixels" and "over" in line for line in run.stdout.splitlines())
    assert "NOT what training computed" in run.stdout


def test_predict_prints_the_answer(braid: Run, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "white.png").write_bytes(senses.png(255))
    run = braid("predict", bundle.folder, "--text", "a b c", "--image", tmp_path / "white.png", "--top-k", "1")
    assert run.returncode == 0
    answer = json.loads(run.stdout)
    assert answer["outputs"]["sense"] == {"label": "tokens", "score": 3, "top": [{"label": "tokens", "score": 3}]}
    assert answer["parts"]["audio"] == {"used": False}


def test_predict_takes_parts_of_any_name(braid: Run, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(senses.wav(0.5))
    run = braid("predict", bundle.folder, "--part", f"audio={tmp_path / 'a.wav'}")
    assert json.loads(run.stdout)["parts"]["audio"]["used"]


def test_predict_says_what_is_wrong_with_a_part(braid: Run, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    assert "part image: not a PNG" in line(braid, "predict", bundle.folder, "--image", tmp_path / "a.png")
    assert "nothing.png" in line(braid, "predict", bundle.folder, "--image", tmp_path / "nothing.png")
    assert "text, image, audio" in line(braid, "predict", bundle.folder)
    assert "text, image, audio" in line(braid, "predict", bundle.folder, "--part", f"smell={tmp_path / 'a.png'}")
