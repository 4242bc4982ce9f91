"""A recipe is what it says, or it is refused by name."""

from pathlib import Path

import pytest

from models import card, evaluate, recipe
from models.__main__ import main
from models.runs import Evaluation


def test_our_recipe_names_the_tensors_of_the_graph() -> None:
    assert recipe.read("digits").tensors() == {
        "text": ["input_ids", "attention_mask"],
        "image": ["pixel_values"],
        "audio": ["input_features", "frame_mask"],
    }


def test_an_unknown_key_is_named(recipe_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(recipe_file.read_text().replace("fusion: gated", "fusoin: gated"))
    with pytest.raises(ValueError, match=r"network: unknown key 'fusoin'"):
        recipe.read(str(wrong))


def test_an_unknown_recipe_is_one_line_that_lists_what_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["models", "train", "digit"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "no recipe 'digit'; there are " in error
    assert "digits" in error
    assert "Traceback" not in error


def test_the_card_has_a_row_for_each_condition_and_a_column_for_each_subset() -> None:
    scores = [evaluate.Scores(0.9, 0.01)] * 7
    found = Evaluation(temperature=[1.0] * 8, unseen={"clean": scores}, speakers={"ann": 0.9}, served={"clean": 0.99})
    text = card.write(recipe.read("digits"), found)
    assert "| condition | T | I | A | TI | TA | IA | TIA |" in text
    assert "| clean | 90.0 / 1.0 |" in text
    assert "python -m models train digits && python -m models evaluate digits" in text
