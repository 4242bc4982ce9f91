"""The tables of the worked examples, and their recipes trained small."""

import csv
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from models import made
from models.classic import command as classic
from models.made.digits import UNHEARD
from models.options import bars, console
from models.table import command, compare
from tests.models.conftest import flac, tone
from tests.models.test_table_run import run
from tests.process import ROOT, braid

RECIPES = ROOT / "models" / "recipes"
pytest.importorskip("skl2onnx")


def small(name: str, folder: Path, change: dict[str, object]) -> Path:
    held = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(held | change, sort_keys=False))
    return file


def test_triage_is_trained_and_says_what_it_is(tmp_path: Path) -> None:
    table = made.make("triage", tmp_path, tmp_path / "table", 200)
    file = small("triage", tmp_path, {"training": {"epochs": 2, "batch": 32}})
    command.train(file, table, tmp_path / "run", bars(), console, resume=False, threads=1, skip=False)
    found = command.evaluate(tmp_path / "run", console)
    assert {"mAP", "ECE"} <= found.scores["signs"]["note+skin+recording"].keys()
    assert {"MAE", "coverage"} <= found.scores["severity"]["note+skin+recording"].keys()
    assert command.export(tmp_path / "run", tmp_path / "bundle") <= 1e-5
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "Synthetic data, no medical device" in card
    assert "severity-values.svg" in card


def test_a_made_table_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made.make("triage", tmp_path, tmp_path / name, 40)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert files == sorted(file.name for file in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


@pytest.fixture
def digits(data: Path, tmp_path: Path) -> Path:
    """A table of buzzing digits, of one speaker to train on and the one who is kept for the test."""
    folder = tmp_path / "data" / "digits"
    folder.mkdir(parents=True)
    for file in (data / "digits").iterdir():
        shutil.copyfile(file, folder / file.name)
    lines = ["file,digit,speaker,index"]
    with zipfile.ZipFile(folder / "fsdd_dev_4speakers.zip", "w") as archive:
        for pitch, speaker in ((150.0, "ann"), (160.0, UNHEARD)):
            for digit in range(10):
                for take in (0, 5):
                    name = f"{digit}_{speaker}_{take}.flac"
                    archive.writestr(name, flac(tone(digit, pitch)))
                    lines.append(f"{name},{digit},{speaker},{take}")
        archive.writestr("index.csv", "\n".join(lines))
    return made.make("digits", tmp_path / "data", tmp_path / "table", 200)


def test_the_table_of_digits_keeps_a_speaker_for_the_test(digits: Path) -> None:
    with digits.open(encoding="utf-8", newline="") as file:
        held = list(csv.DictReader(file))
    assert {row["digit"] for row in held if row["split"] == "train"} == set("0123456789")
    assert {row["split"] for row in held} == {"train", "valid", "test"}


def test_classic_digits_is_trained_and_exported(digits: Path, tmp_path: Path) -> None:
    held = yaml.safe_load((RECIPES / "classic-digits.yaml").read_text())
    held["parts"]["text"]["features"] = {"smallest": 2, "largest": 3, "features": 200}
    file = small("classic-digits", tmp_path, {"parts": held["parts"]})
    classic.train(file, digits, tmp_path / "run", bars(), console, resume=False, threads=1, skip=False)
    found = classic.evaluate(tmp_path / "run", console)
    assert found.scores["digit"]["text+image+audio"]["accuracy"] > 0.5
    assert classic.export(tmp_path / "run", tmp_path / "bundle") <= 1e-5


def test_compare_trains_each_recipe_once_and_writes_one_table(digits: Path, tmp_path: Path) -> None:
    quick = {"epochs": 1, "patience": 1, "batch": 32}
    file = small("digits-table", tmp_path, {"training": quick, "width": 16})
    recipes = compare.variants([file], "concat, average")
    found = compare.compare(recipes, digits, tmp_path / "compare", bars, console, threads=1)
    again = compare.compare(recipes, digits, tmp_path / "compare", bars, console, threads=1)
    assert found == again
    assert [each.name for each in found] == ["concat", "average"]
    assert len(found[0].quality) == 7
    page = tmp_path / "page.md"
    page.write_text(f"before\n{compare.BEGIN}\nold\n{compare.END}\nafter\n")
    compare.write(found, page)
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "| concat |" in text
    assert "old" not in text


def test_a_fusion_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no fusion 'magic'; there are concat, weights"):
        compare.variants([RECIPES / "digits-table.yaml"], "magic")
    assert len(compare.variants([RECIPES / "digits-table.yaml"], "all")) == 10


def test_one_command_makes_a_worked_example_and_nothing_twice(tmp_path: Path) -> None:
    file = small("lstm-cnn-lstm", tmp_path, {"training": {"epochs": 2, "batch": 16}})
    order = ["make", str(file), "--rows", "60", "--work", "work", "--output", "bundle"]
    first = run(tmp_path, *order)
    assert "wrote work/tables/machine/table.csv" in first
    assert braid("verify", tmp_path / "bundle").returncode == 0
    weights = (tmp_path / "work" / "runs" / "lstm-cnn-lstm" / "best.pt").stat().st_mtime_ns
    again = run(tmp_path, *order)
    assert "table.csv" not in again
    assert (tmp_path / "work" / "runs" / "lstm-cnn-lstm" / "best.pt").stat().st_mtime_ns == weights
    file.write_text(file.read_text().replace("width: 128", "width: 16"))
    run(tmp_path, *order)
    assert (tmp_path / "work" / "runs" / "lstm-cnn-lstm" / "best.pt").stat().st_mtime_ns > weights


def test_a_run_of_another_recipe_is_not_gone_on_with(tmp_path: Path) -> None:
    table = made.make("machine", tmp_path, tmp_path / "table", 60)
    file = small("lstm-cnn-lstm", tmp_path, {"training": {"epochs": 1, "batch": 16}})
    command.train(file, table, tmp_path / "run", bars(), console, resume=False, threads=1, skip=False)
    file.write_text(file.read_text().replace("width: 128", "width: 16"))
    with pytest.raises(ValueError, match="begun with another recipe"):
        command.train(file, table, tmp_path / "run", bars(), console, resume=True, threads=1, skip=False)
