"""First recipes: what is guessed of a stranger's table, what is said of it, and tables as spreadsheets write them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from models.table import check, draft, guess, lines, recipe, scores
from models.table.check import BadRows
from models.table.columns import Plan, Target
from models.table.evaluation import Evaluation
from models.table.found import add_guesses, learned_nothing
from models.table.rows import Rows, prepare
from tests.models import tables

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def drafted(path: Path, asked: Sequence[str] = (), kind: str | None = None) -> tuple[str, dict[str, Any]]:
    """The text, and what it says; it is a valid recipe."""
    text = draft.write("demo", lines.read(path), asked, kind)
    file = path.parent / "demo.yaml"
    file.write_text(text, encoding="utf-8")
    recipe.read(file)
    return text, yaml.safe_load(text)


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


NOTES = "".join(f"a note of {i} words,{'yes' if i % 2 else 'no'}\n" for i in range(30))


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_cells_are_parted_by_what_the_head_has(sign: str, tmp_path: Path) -> None:
    made = [row | {"note": row["note"].replace(sign, " ")} for row in tables.rows(tmp_path, 30)]
    text = "\n".join(sign.join(row[name] for name in ("note", "photo", "label")) for row in made)
    _, held = drafted(csv(tmp_path / "table.csv", f"note{sign}photo{sign}label\n{text}\n"))
    assert held["parts"].keys() == {"note", "photo"}
    assert held["tasks"]["label"]["labels"] == ["alarm", "busy", "calm"]


def test_a_table_in_another_encoding_says_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes("note,label\nGr\u00fc\u00dfe,a\n".encode("cp1252"))
    with pytest.raises(ValueError, match="not UTF-8; save it as CSV in UTF-8"):
        lines.read(tmp_path / "table.csv")


def test_columns_that_could_be_predicted_are_named(tmp_path: Path) -> None:
    body = "".join(f"a note of {i} words,{i % 3},{i / 7:.2f},x{i % 2}\n" for i in range(30))
    text, held = drafted(csv(tmp_path / "table.csv", f"note,stars,price,shop\n{body}"))
    assert list(held["tasks"]) == ["shop"]
    assert '--label "stars" --label "price"' in text
    _, held = drafted(tmp_path / "table.csv", ["stars", "price"])
    assert [task["kind"] for task in held["tasks"].values()] == ["classification", "regression"]


def test_a_unit_in_the_name_of_a_column_is_the_unit(tmp_path: Path) -> None:
    body = "".join(f"a note of {i} words,{i / 7:.2f}\n" for i in range(30))
    _, held = drafted(csv(tmp_path / "table.csv", f"note,weight (kg)\n{body}"))
    assert held["tasks"]["weight"]["head"]["unit"] == "kg"
    assert held["tasks"]["weight"]["columns"] == ["weight (kg)"]
    _, held = drafted(csv(tmp_path / "table.csv", f"note,weight\n{body}"))
    assert held["tasks"]["weight"]["head"]["unit"] is None


def test_labels_that_may_be_slips_are_pointed_out(tmp_path: Path) -> None:
    text, held = drafted(csv(tmp_path / "table.csv", f"note,label\n{NOTES}another note here,Yes\nanother one,maybe\n"))
    assert "'Yes' (1 of the rows) and 'yes' (15); 'maybe' (1 of the rows)" in text
    assert held["tasks"]["label"]["labels"] == ["Yes", "maybe", "no", "yes"]


def test_names_of_columns_become_names_that_differ(tmp_path: Path) -> None:
    cyrillic = ["\u0422\u0435\u043a\u0441\u0442", "\u0424\u043e\u0442\u043e"]
    found = draft.identifiers(["Gr\u00f6\u00dfe (cm)", "grosse", *cyrillic, "2nd note", "note"])
    assert len(set(found.values())) == 6
    assert all(name[0].isalpha() and name.isascii() for name in found.values())
    body = "".join(f"a note of {i} words,more words of {i},{'ab'[i % 2]}\n" for i in range(30))
    _, held = drafted(csv(tmp_path / "table.csv", f"{','.join(cyrillic)},label\n{body}"))
    assert len(held["parts"]) == 2


@pytest.mark.parametrize("kind", ["embedding", "anomaly"])
def test_a_table_without_labels_is_for_what_needs_none(kind: str, tmp_path: Path) -> None:
    tables.write(tmp_path / "table.csv", tables.rows(tmp_path, 30), ["note", "photo", "sound"])
    with pytest.raises(ValueError, match=r"no column seems to be the label; .*--task embedding and --task anomaly"):
        drafted(tmp_path / "table.csv")
    _, held = drafted(tmp_path / "table.csv", [], kind)
    assert [task["kind"] for task in held["tasks"].values()] == [kind]
    assert "fusion" not in held


def test_pictures_and_sounds_may_lie_in_the_table_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "note": f"the place number {i}",
            "photo": tables.picture(i % 3, rng) if i % 4 else None,
            "sound": {"bytes": tables.sound(i % 3, rng), "path": None},  # as Hugging Face's datasets have it
            "label": list(tables.WORDS)[i % 3],
        }
        for i in range(40)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "table.parquet")
    _, held = drafted(tmp_path / "table.parquet")
    assert {name: part["kind"] for name, part in held["parts"].items()} == {
        "note": "text",
        "photo": "image",
        "sound": "audio",
    }
    chosen = recipe.read(tmp_path / "demo.yaml")
    table = lines.read(tmp_path / "table.parquet")
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)
    splits, _, faults = prepare(table, plan, tmp_path / "run", lambda done, total: None)
    assert not faults
    assert sum(int(each.present[:, 1].sum()) for each in splits.values()) == 30
    assert [table.lines[1].ending(name) for name in ("photo", "sound")] == [".png", ".wav"]


def test_bytes_that_are_no_picture_are_reported_like_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"photo": tables.picture(i % 2, rng), "label": "ab"[i % 2]} for i in range(30)]
    rows[4]["photo"] = b"\x89PNG but no more"
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "table.parquet")
    drafted(tmp_path / "table.parquet")
    chosen = recipe.read(tmp_path / "demo.yaml")
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)
    with pytest.raises(BadRows, match="line 5: photo: not a"):
        prepare(lines.read(tmp_path / "table.parquet"), plan, tmp_path / "run", lambda done, total: None)


def test_a_path_with_backslashes_says_so(tmp_path: Path) -> None:
    tables.rows(tmp_path, 6)
    table = csv(tmp_path / "table.csv", "photo,label\nfolder\\0.png,a\n1.png,b\n")
    resize = {"to": "exact", "height": 8, "width": 8}
    held: dict[str, Any] = {"name": "x", "parts": {"photo": {"kind": "image", "input": {"resize": resize}}}}
    held["tasks"] = {"label": {"kind": "classification", "columns": ["label"], "labels": ["a", "b"]}}
    chosen = recipe.Recipe.model_validate(held)
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)
    (fault,) = check.line(lines.read(table).lines[0], tmp_path, plan)
    assert "write / between its folders" in fault.what


def test_a_kind_may_stand_alone_where_it_has_no_numbers(tmp_path: Path) -> None:
    tables.write(tmp_path / "table.csv", tables.rows(tmp_path, 30), ["note", "photo", "sound", "label"])
    _, held = drafted(tmp_path / "table.csv")
    held |= {"fusion": "concat"}
    held["parts"]["photo"]["encoder"] = "resnet"
    held["parts"]["note"]["tokens"] = "characters"
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(held))
    chosen = recipe.read(tmp_path / "demo.yaml")
    assert [part.encoder.kind for part in chosen.parts.values()] == ["cnn", "resnet", "cnn"]
    assert chosen.fusion.kind == "concat"


def rows(targets: dict[str, np.ndarray]) -> Rows:
    count = len(next(iter(targets.values())))
    return Rows([{}] * count, np.ones((count, 1), np.float32), targets, np.arange(count), {})


def test_a_guess_is_the_most_frequent_class_or_the_mean() -> None:
    label = Target(kind="classification", columns=["l"], labels=["a", "b"])
    number = Target(kind="regression", columns=["n"])
    valid = rows({"l": np.array([0, 0, 0, 1]), "n": np.array([[1.0], [3], [np.nan], [2]], np.float32)})
    test = rows({"l": np.array([0, 1]), "n": np.array([[2.0], [6]], np.float32)})
    found: dict[str, dict[str, dict[str, float]]] = {"l": {}, "n": {}}
    add_guesses(found, {"l": label, "n": number}, valid, test)
    assert found["l"][scores.NOTHING]["accuracy"] == 0.5
    assert found["n"][scores.NOTHING] == {"MAE": 2, "rows": 2}


@pytest.mark.parametrize(("reached", "said"), [(0.51, True), (0.9, False)])
def test_a_model_that_learned_nothing_is_told_of(reached: float, said: bool) -> None:
    held = {"a": {"accuracy": reached}, scores.NOTHING: {"accuracy": 0.5}}
    found = Evaluation(scores={"l": held}, robustness={}, pictures={}, notes=[])
    task = Target(kind="classification", columns=["l"], labels=["a", "b"])
    assert (learned_nothing(found, "l", task) is not None) == said


def test_lists_in_a_table_are_several_labels(tmp_path: Path) -> None:
    held = [{"note": f"a note of {i} words", "tags": ["x", "y"][: i % 3], "stars": i % 5} for i in range(30)]
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, held)))
    _, found = drafted(tmp_path / "table.jsonl")
    assert found["tasks"]["tags"]["kind"] == "multilabel"
    assert found["tasks"]["tags"]["labels"] == ["x", "y"]
    assert guess.look(lines.read(tmp_path / "table.jsonl"), []).others == ["stars"]
