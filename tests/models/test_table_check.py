"""Tables: what is read, what is guessed, and what is reported before anything is trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from models.table import check, draft, lines, recipe
from models.table.check import BadRows
from models.table.columns import AudioColumn, Plan, Split, Target, bands, extended, write_bank
from models.table.lines import Line
from models.table.rows import load, prepare
from tests.models import tables

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
LABEL = Target(kind="classification", columns=["label"], labels=["a", "b"])


def plan(folder: Path, text: str) -> Plan:
    file = folder / "recipe.yaml"
    file.write_text(text)
    chosen = recipe.read(file)
    return Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)


def guessed(folder: Path, count: int = 60) -> tuple[Path, Plan]:
    table = tables.write(folder / "table.csv", tables.rows(folder, count), ["note", "photo", "sound", "label"])
    return table, plan(folder, draft.write("demo", lines.read(table), []))


def nothing(done: int, total: int) -> None: ...


def test_a_new_recipe_names_the_parts_and_the_labels_of_a_table(tmp_path: Path) -> None:
    _, found = guessed(tmp_path)
    assert {name: part.kind for name, part in found.parts.items()} == {
        "note": "text",
        "photo": "image",
        "sound": "audio",
    }
    assert found.tasks["label"].labels == ["alarm", "busy", "calm"]


def test_a_new_recipe_takes_numbers_for_regression_and_lists_for_several_labels(tmp_path: Path) -> None:
    table = lines.read(tables.write(tmp_path / "table.csv", tables.rows(tmp_path, 60)))
    held = yaml.safe_load(draft.write("demo", table, ["level", "signs"]))
    assert held["tasks"]["level"]["kind"] == "regression"
    assert held["tasks"]["signs"]["kind"] == "multilabel"
    assert held["tasks"]["signs"]["labels"] == ["busy", "calm"]


def test_the_same_table_is_read_from_csv_jsonl_and_parquet(tmp_path: Path) -> None:
    made = tables.rows(tmp_path, 9)
    csv = lines.read(tables.write(tmp_path / "table.csv", made))
    (tmp_path / "table.jsonl").write_text(
        "".join(json.dumps({k: v or None for k, v in row.items()}) + "\n" for row in made)
    )
    columns = {name: [row[name] or None for row in made] for name in made[0]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "table.parquet")
    for name in ("table.jsonl", "table.parquet"):
        other = lines.read(tmp_path / name)
        assert [line.cells for line in other.lines] == [line.cells for line in csv.lines]
        assert [line.number for line in other.lines] == [line.number - 1 for line in csv.lines]  # no head


def test_a_cell_of_several_lines_does_not_shift_the_numbers_of_those_after_it(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text('note,label\n"two\nlines",a\n\nnext,b\n')
    assert [(line.number, line.cells["label"]) for line in lines.read(tmp_path / "table.csv").lines] == [
        (2, "a"),
        (5, "b"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("note,note\nx,y\n", "line 1"),
        ("note,label\nx,y,z\n", "line 2: 3 cells, but 2 columns"),
        ("note,label\n", "no rows"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        lines.read(tmp_path / "table.csv")


def test_every_bad_row_is_reported_with_its_line_before_training(tmp_path: Path) -> None:
    made = tables.rows(tmp_path, 60)
    for row in made[:6]:
        row |= {"note": "the place is still", "photo": "", "sound": ""}
    made[0]["photo"] = "missing.png"
    made[1]["photo"] = "broken.png"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    made[2]["label"] = "unheard"
    made[3]["label"] = ""
    made[4]["note"] = ""
    made[5]["sound"] = "broken.wav"
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    columns = ["note", "photo", "sound", "label"]
    good = plan(tmp_path, draft.write("demo", lines.read(tables.write(tmp_path / "good.csv", made[6:], columns)), []))
    table = lines.read(tables.write(tmp_path / "table.csv", made, columns))
    with pytest.raises(BadRows) as caught:
        prepare(table, good, tmp_path / "run", nothing)
    found = {fault.line: (fault.column, fault.what) for fault in caught.value.faults}
    assert found.keys() == {2, 3, 4, 5, 6, 7}
    assert found[2] == ("photo", "no such file: missing.png")
    assert found[3][0] == "photo"
    assert found[4] == ("label", "'unheard' is not in the list of labels")
    assert found[5] == ("", "no label in it")
    assert found[6] == ("", "no part at all")
    assert found[7][0] == "sound"
    splits, _, left = prepare(table, good, tmp_path / "run", nothing, skip=True)
    assert {fault.line for fault in left} == found.keys()
    assert sum(map(len, splits.values())) == 54


def test_an_empty_class_and_a_single_one_are_reported(tmp_path: Path) -> None:
    many = [Line(i, {"label": "a"}) for i in range(9)]
    said = [str(each) for each in check.classes(many, np.array(["train", "valid", "test"] * 3), {"label": LABEL})]
    assert said == [
        "table: label: no row to train the class 'b' of label",
        "table: label: label: all rows to train on are of one class",
    ]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    table, found = guessed(tmp_path)
    with pytest.raises(BadRows, match=r"loudness: no such column; there are note, photo, sound, label"):
        prepare(
            lines.read(table), Plan(found.parts, found.tasks, Split(group="loudness"), 7), tmp_path / "run", nothing
        )


def test_rows_of_one_group_stay_in_one_split() -> None:
    many = [Line(i, {"label": "ab"[i % 2], "who": str(i % 13)}) for i in range(130)]
    splits = check.splits(many, Split(group="who"), {"label": LABEL}, 7)
    assert set(splits) == set(check.SPLITS)
    for who in range(13):
        assert len(set(splits[who::13])) == 1


def test_each_class_has_its_share_of_each_split() -> None:
    many = [Line(i, {"label": "a" if i < 20 else "b"}) for i in range(200)]
    splits = check.splits(many, Split(), {"label": LABEL}, 7)
    assert (splits[:20] == "test").sum() == 3
    assert (splits == "valid").sum() == 30


@pytest.mark.parametrize(
    ("cell", "values"), [("a|c", [1, 0, 1]), ("", [0, 0, 0]), ("?", [np.nan] * 3), (["b"], [0, 1, 0])]
)
def test_a_cell_of_several_labels(cell: str | list[str], values: list[float]) -> None:
    task = Target(kind="multilabel", columns=["signs"], labels=["a", "b", "c"])
    assert np.array_equal(check.target(Line(2, {"signs": cell}), task), values, equal_nan=True)


def test_a_column_a_label_holds_0_and_1() -> None:
    task = Target(kind="multilabel", columns=["wet", "cold"], labels=["wet", "cold"])
    assert np.array_equal(check.target(Line(2, {"wet": "1"}), task), [1, np.nan], equal_nan=True)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        check.target(Line(2, {"wet": "maybe"}), task)


def test_several_numbers_of_one_task_need_not_be_0_or_1() -> None:
    task = Target(kind="regression", columns=["x", "y"])
    assert check.target(Line(2, {"x": "1.5", "y": "-3"}), task).tolist() == [1.5, -3]


def test_anomalies_are_left_to_the_test_with_all_of_their_group() -> None:
    lines = [Line(i, {"odd": str(int(i % 10 == 0)), "group": str(i // 2)}) for i in range(40)]
    tasks = {"odd": Target(kind="anomaly", columns=["odd"])}
    found = check.splits(lines, Split(), tasks, 1)
    assert all(split == "test" for each, split in zip(lines, found, strict=True) if each.text("odd") == "1")
    assert {"train", "valid"} <= set(found)
    grouped = check.splits(lines, Split(group="group"), tasks, 1)
    assert (grouped[::2] == grouped[1::2]).all()


def test_a_repetition_has_the_split_of_its_own_column() -> None:
    split = Split(column="a", folds=["b", "c"])
    assert [split.again(k).column for k in (1, 2, 3)] == ["b", "c", "b"]
    assert Split().again(1) == Split()


def test_rows_are_the_same_after_they_were_kept(tmp_path: Path) -> None:
    table, found = guessed(tmp_path)
    splits, sizes, _ = prepare(lines.read(table), found, tmp_path / "run", nothing)
    assert sizes["note"] > 5
    splits["test"].save(tmp_path / "test.npz")
    again = load(tmp_path / "test.npz")
    for name, values in splits["test"].batch().items():
        assert np.array_equal(again.batch()[name], values)
    assert np.array_equal(again.targets["label"], splits["test"].targets["label"])
    assert np.array_equal(again.present, splits["test"].present)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fusion": {"kind": "magic"}}, "fusion"),
        ({"tasks": {"label": {"kind": "classification", "columns": ["label"], "labels": ["one"]}}}, "too few labels"),
        ({"fusion": {"kind": "average"}, "dense": [8]}, "dense"),
        ({"training": {"epoch": 3}}, "unknown key 'epoch'"),
    ],
)
def test_a_recipe_that_makes_no_sense_says_where(tmp_path: Path, change: dict[str, object], said: str) -> None:
    table = lines.read(tables.write(tmp_path / "table.csv", tables.rows(tmp_path, 30)))
    held = yaml.safe_load(draft.write("demo", table, ["label"]))
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(held | change))
    with pytest.raises(ValueError, match=said):
        recipe.read(tmp_path / "demo.yaml")


def test_features_of_librosa_need_no_bank_and_have_as_many_rows_as_it_makes(tmp_path: Path) -> None:
    features = {"kind": "librosa", "function": "chroma_stft", "options": {"n_fft": 512, "hop_length": 256}}
    part = extended("audio", {"kind": "audio", "input": {"sample_rate": 8000, "features": features}})
    column = AudioColumn.model_validate(part)
    assert bands(column) == 12
    write_bank(column, tmp_path)
    assert list(tmp_path.iterdir()) == []
