"""`braid score`: every row as the server would answer it, in order, whatever the table's form and the workers."""

import csv
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from service.bundle import Bundle
from service.model import Model
from tests import senses
from tests.process import COMMAND, braid, environment, eventually

ROWS = 150
QUIET = {"BRAID_CACHE": "/nowhere"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row has a text, or a picture, or a sound, or some of them; row 7 has a broken picture, row 9 none at all."""
    folder = tmp_path_factory.mktemp("table")
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "image", "audio"])
        for row in range(ROWS):
            image = folder / f"{row}.png"
            image.write_bytes(b"no picture" if row == 7 else senses.png(row))
            (folder / f"{row}.wav").write_bytes(senses.wav(0.5 * row / ROWS + 0.1, seconds=0.05 + 0.001 * row))
            here = [f"a b {'c ' * (row % 5)}\nnew line", image.name, f"{row}.wav"]
            shown = [part if row % 3 != i or row == 7 else "" for i, part in enumerate(here)]
            writer.writerow([f"id {row}", *(["", "", ""] if row == 9 else shown)])
    return folder / "table.csv"


@pytest.fixture(scope="module")
def expected(table: Path, bundle: Bundle) -> list[list[float] | None]:
    """Row by row; None where a row must be rejected."""
    model = Model(bundle)
    found: list[list[float] | None] = []
    with table.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number in (7, 9):
                found.append(None)
                continue
            files = {part: (table.parent / row[part]).read_bytes() for part in ("image", "audio") if row[part]}
            parts = files | ({"text": row["text"].encode()} if row["text"] else {})
            found.append(model.run([model.encode(parts, {})])[0]["measures"].tolist())
    return found


def score(bundle: Bundle, table: Path, output: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return braid("score", bundle.folder, table, "--output", output, "--workers", "1", *more, **QUIET)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def same(scored: list[list[float]], expected: list[list[float] | None]) -> None:
    np.testing.assert_allclose(scored, [one for one in expected if one is not None], rtol=1e-5)


@pytest.fixture(scope="module")
def scored(table: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("scored") / "scores.jsonl"
    done = score(bundle, table, output, "--raw", "--keep", "id")
    assert done.returncode == 0, done.stderr
    assert "148 rows scored" in done.stderr
    return output


def test_every_row_is_scored_as_alone(scored: Path, expected: list[list[float] | None]) -> None:
    found = lines(scored)
    same([row["raw"]["measures"] for row in found], expected)
    assert [row["id"] for row in found] == [f"id {row}" for row in range(ROWS) if row not in (7, 9)]
    assert found[0]["outputs"]["sense"]["label"] in senses.LABELS


def test_bad_rows_are_set_apart_with_the_line_and_the_reason(scored: Path) -> None:
    rejects = lines(scored.with_name("scores.jsonl.rejects.jsonl"))
    assert [row["id"] for row in rejects] == ["id 7", "id 9"]
    assert [row["error"]["code"] for row in rejects] == ["unsupported_type", "missing_part"]
    assert rejects[0]["error"]["part"] == "image"
    assert rejects[0]["row"] == 13  # a text has two lines: those of rows 1, 2, 4 and 5


def test_several_workers_give_the_same(table: Path, bundle: Bundle, scored: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    done = braid("score", bundle.folder, table, "--output", output, "--raw", "--keep", "id", "--workers", "2", **QUIET)
    assert done.returncode == 0, done.stderr
    for one, other in zip(lines(output), lines(scored), strict=True):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(one["raw"]["measures"], other["raw"]["measures"], rtol=1e-5)


@pytest.mark.parametrize("form", ["jsonl", "parquet", "tsv"])
def test_other_forms_of_table(table: Path, bundle: Bundle, scored: Path, tmp_path: Path, form: str) -> None:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    other = table.with_name(f"other.{form}")
    if form == "jsonl":
        other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "tsv":
        with other.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "text", "image", "audio"], delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
    else:
        media = [{**row, "image": (table.parent / row["image"]).read_bytes() if row["image"] else None} for row in rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(media), other)
    output = tmp_path / "scores.jsonl"
    done = score(bundle, other, output, "--raw")
    assert done.returncode == 0, done.stderr
    same([row["raw"]["measures"] for row in lines(output)], [row["raw"]["measures"] for row in lines(scored)])


def test_columns_of_other_names(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("body,other\na b c,1\n")
    done = score(bundle, tmp_path / "t.csv", tmp_path / "out.jsonl", "--raw", "--column", "text=body")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "out.jsonl")[0]["raw"]["measures"][0] == 3


def test_a_folder_is_a_table(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    (folder / "one.txt").write_text("a b c")
    (folder / "one.png").write_bytes(senses.png(51))
    (folder / "two.wav").write_bytes(senses.wav(0.25))
    done = score(bundle, tmp_path / "folder", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "out.jsonl")
    assert [row["row"] for row in found] == ["deep/one", "deep/two"]
    assert [[name for name, part in row["parts"].items() if part["used"]] for row in found] == [
        ["text", "image"],
        ["audio"],
    ]


def test_csv_and_parquet_out_have_a_column_for_each_number(
    table: Path, bundle: Bundle, scored: Path, tmp_path: Path
) -> None:
    for form in ("csv", "parquet"):
        done = score(bundle, table, tmp_path / f"out.{form}", "--keep", "id")
        assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        plain = list(csv.DictReader(file))
    typed = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for one, other, full in zip(plain, typed, lines(scored), strict=True):
        best = full["outputs"]["sense"]
        assert one["sense.label"] == other["sense.label"] == best["label"]
        assert float(one["sense.score"]) == pytest.approx(other["sense.score"]) == pytest.approx(best["score"])
        assert one["id"] == other["id"] == full["id"]
        assert other["part.text"] is full["parts"]["text"]["used"]


def test_a_run_that_was_killed_goes_on(slow: Bundle, tmp_path: Path) -> None:
    """Rows before the kill are not scored again: the journal's beginning stays as it is."""
    (tmp_path / "t.csv").write_text("id,text\n" + "".join(f"{i},a b\n" for i in range(260)))
    output, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    command = [*COMMAND, "score", str(slow.folder), str(tmp_path / "t.csv"), "--output", str(output), "--keep", "id"]
    process = subprocess.Popen([*command, "--workers", "1"], env=environment(QUIET), stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 64)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = journal.read_bytes()
    assert not output.exists()
    refused = score(slow, tmp_path / "t.csv", output, "--keep", "id")
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    journal.write_bytes(done + b'{"row": 9, "cut o')
    assert score(slow, tmp_path / "t.csv", output, "--resume").returncode == 2  # other options: another run
    resumed = score(slow, tmp_path / "t.csv", output, "--keep", "id", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert [int(row["id"]) for row in lines(output)] == list(range(260))
    assert output.read_bytes().startswith(done.partition(b"\n")[2])
    assert not journal.exists()


@pytest.mark.parametrize(
    ("text", "more", "hint"),
    [
        ("body\na\n", [], "--column text=body"),
        ("text\na\n", ["--column", "smell=text"], "no such part"),
        ("text\na\n", ["--keep", "none"], "no column 'none'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_a_hint(
    bundle: Bundle, tmp_path: Path, text: str, more: list[str], hint: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    done = score(bundle, tmp_path / "t.csv", tmp_path / "out.jsonl", *more)
    assert done.returncode == 2
    assert hint in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_an_output_is_not_overwritten_by_accident(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text\na\n")
    (tmp_path / "out.jsonl").write_text("mine")
    assert score(bundle, tmp_path / "t.csv", tmp_path / "out.jsonl").returncode == 2
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert score(bundle, tmp_path / "t.csv", tmp_path / "out.jsonl", "--overwrite").returncode == 0
    assert len(lines(tmp_path / "out.jsonl")) == 1


def test_a_row_that_the_graph_fails_on_costs_itself_only(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text\na\npoison\nb\n")
    done = score(bundle, tmp_path / "t.csv", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert [row["row"] for row in lines(tmp_path / "out.jsonl")] == [2, 4]
    assert lines(tmp_path / "out.jsonl.rejects.jsonl")[0]["error"]["code"] == "failed"
