"""Models without torch: TF-IDF as scikit-learn has it, statistics, every estimator in one graph."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("skl2onnx")

from sklearn.feature_extraction.text import TfidfVectorizer

from models.classic import command, features, recipe
from models.classic.estimators import CLASSIFIERS, REGRESSORS
from models.options import bars, console
from models.table import draft, lines
from models.table.columns import Plan
from models.table.rows import prepare
from models.table.start import Run
from service.bundle import read
from service.model import Model
from tests.models import tables
from tests.process import ROOT, environment

WITHOUT = """
import sys

class Never:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Never())
from models.__main__ import main
main()
"""


def written(folder: Path, classifier: str, regressor: str, count: int = 90) -> Path:
    table = tables.write(folder / "table.csv", tables.rows(folder, count))
    held = yaml.safe_load(draft.write("tiny", lines.read(table), ["label", "level", "signs"]))
    for part in held["parts"].values():
        del part["encoder"]
    held["parts"]["photo"]["features"] = {"fields": 4}
    held["parts"]["sound"] |= {"features": {"stretches": 2}, "bank": {"kind": "mel", "bands": 16}}
    small = {"forest": {"trees": 10}}
    for name, task in held["tasks"].items():
        kind = regressor if name == "level" else classifier
        task.pop("head")
        task["estimator"] = {"kind": kind, **small.get(kind, {})}
    kept = {name: held[name] for name in ("name", "parts", "tasks", "split")}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(kept, sort_keys=False))
    return file


def trained(folder: Path, file: Path) -> Run:
    return command.train(
        file, folder / "table.csv", folder / "run", bars(), console, resume=False, threads=1, skip=False
    )


@pytest.mark.parametrize(
    ("classifier", "regressor"),
    [
        ("svm", "svm"),
        ("linear_svm", "lasso"),
        ("tree", "tree"),
        ("forest", "forest"),
        ("logistic", "ridge"),
        ("tree", "linear"),
    ],
)
def test_every_estimator_becomes_a_graph_that_says_the_same(tmp_path: Path, classifier: str, regressor: str) -> None:
    assert classifier in CLASSIFIERS
    assert regressor in REGRESSORS
    file = written(tmp_path, classifier, regressor)
    trained(tmp_path, file)
    found = command.evaluate(tmp_path / "run", console)
    assert found.scores["label"]["note+photo+sound"]["accuracy"] > 0.7
    curve = found.robustness["label"]["all, photo degraded"]
    assert curve[0] == found.scores["label"]["note+photo+sound"]["accuracy"]
    assert "label-robustness.svg" in found.pictures["label"]
    assert command.export(tmp_path / "run", tmp_path / "bundle") <= 1e-5
    model = Model(read(tmp_path / "bundle"))
    parts, _, _ = model.bundle.example()
    row = model.encode(parts, {})
    answer = model.decode(row | model.run([row])[0], parts)["outputs"]
    low, high = answer["level"]["interval"]
    assert low < answer["level"]["value"] < high
    assert sum(entry["score"] for entry in answer["label"]["top"]) == pytest.approx(1, abs=1e-4)


def test_tf_idf_is_scikit_learns(tmp_path: Path) -> None:
    file = written(tmp_path, "tree", "tree", 60)
    held = yaml.safe_load(file.read_text())
    held["parts"] = {"note": held["parts"]["note"] | {"features": {"smallest": 1, "largest": 2}}}
    rows = [row for row in tables.rows(tmp_path, 60) if row["note"]]
    tables.write(tmp_path / "table.csv", rows)
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    chosen = recipe.read(file)
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)
    splits, _, _ = prepare(lines.read(tmp_path / "table.csv"), plan, tmp_path / "run", lambda done, total: None)
    found = features.run(
        features.session(features.fit(chosen, splits["train"])), splits["test"], splits["test"].present
    )
    texts = {int(i) + 2: row["note"] for i, row in enumerate(rows)}
    theirs = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+").fit([texts[i] for i in splits["train"].lines])
    expected = theirs.transform([texts[i] for i in splits["test"].lines]).toarray()
    assert np.allclose(np.sort(found[:, :-1], 1)[:, -8:], np.sort(expected, 1)[:, -8:], atol=1e-5)


def test_training_and_export_need_no_torch(tmp_path: Path) -> None:
    file = written(tmp_path, "forest", "ridge", 60)
    for order in (
        ["train", file.name, "--data", "table.csv", "--output", "run"],
        ["evaluate", "run"],
        ["export", "run", "--output", "bundle"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, *order],
            cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert read(tmp_path / "bundle").manifest.outputs["label"].kind == "classification"


def test_the_recipe_of_classic_digits_is_valid() -> None:
    chosen = recipe.read(ROOT / "models" / "recipes" / "classic-digits.yaml")
    assert {task.estimator.kind for task in chosen.tasks.values()} == {"svm"}


def test_an_embedding_is_not_for_an_estimator(tmp_path: Path) -> None:
    file = written(tmp_path, "svm", "ridge", 9)
    held = yaml.safe_load(file.read_text())
    held["tasks"]["label"] = {"kind": "embedding", "estimator": {"kind": "svm"}}
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    with pytest.raises(ValueError, match="embedding: is learned by a network"):
        recipe.read(file)


def test_an_estimator_that_cannot_do_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lasso is none for classification"):
        recipe.read(written(tmp_path, "lasso", "lasso", 9))
