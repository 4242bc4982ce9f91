"""All seeds and all that fuzzing has found, replayed; and, where atheris is, half a minute of it."""

import subprocess
from pathlib import Path

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, seeds
from tests.process import ROOT

PYTHON = ROOT / ".venv/fuzz/bin/python"


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_ever_found_stays_mended(target: str) -> None:
    for seed in seeds(target):
        TARGETS[target](seed)


def test_the_corpus_is_small_and_of_known_targets() -> None:
    files = [file for file in CORPUS.rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} <= TARGETS.keys()
    assert sum(file.stat().st_size for file in files) < 500_000


@pytest.mark.skipif(not PYTHON.exists(), reason="make .venv/fuzz/ready")
def test_half_a_minute_of_fuzzing_finds_nothing(tmp_path: Path) -> None:
    command = [str(PYTHON), "-m", "tests.fuzz.run", "--seconds", "30", "--keep", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert not list(tmp_path.iterdir())
