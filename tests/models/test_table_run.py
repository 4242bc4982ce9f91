"""From a table to a served answer, and what training does on the way."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml

from models.classic import command as classic
from models.classic import frozen
from models.options import bars, console
from models.table import check, command, draft, fit, lines, measure, recipe, rows, scores
from models.table.columns import Kind, Plan, Target
from models.table.degrade import degrade
from models.table.manifest import usual
from models.table.start import Run, prepared
from service.bundle import read
from service.explain import shapley, target
from service.explain.places import answered
from service.model import Model
from service.types import NOTHING
from tests.models import tables
from tests.process import ROOT, environment, serve

pytest.importorskip("sklearn")
SMALL = {"epochs": 6, "batch": 16, "rate": 0.02, "patience": 6}
TINY = {  # part -> what makes it small
    "note": {"encoder": {"kind": "tfidf", "features": 64, "largest": 1}},
    "photo": {"encoder": {"kind": "cnn", "channels": [4, 8], "fields": 2}},
    "sound": {"encoder": {"kind": "cnn", "channels": [4, 8]}, "bank": {"kind": "mel", "bands": 16}},
}


def run(folder: Path, *arguments: str) -> str:
    """python -m models, in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "models", *arguments],
        cwd=folder, env=environment({"OMP_NUM_THREADS": "1"}), capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def written(folder: Path, asked: list[str], change: Mapping[str, object] | None = None) -> Path:
    """A table of 90 rows and a small recipe for it."""
    table = tables.write(folder / "table.csv", tables.rows(folder, 90))
    held = yaml.safe_load(draft.write("tiny", lines.read(table), asked))
    for name, part in TINY.items():
        held["parts"][name] |= part
    held |= {"width": 16, "training": held["training"] | SMALL, **(change or {})}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    return file


def trained(folder: Path, file: Path, *, resume: bool = False) -> Run:
    return command.train(
        file, folder / "table.csv", folder / "run", bars(), console, resume=resume, threads=1, skip=False
    )


def test_a_table_of_300_rows_becomes_an_answer_by_readmes_five_commands(tmp_path: Path) -> None:
    tables.write(tmp_path / "table.csv", tables.rows(tmp_path, 300), ["note", "photo", "sound", "label"])
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^python -m models (new|train|evaluate|export) (.*?)(?: +#.*)?$", readme, re.MULTILINE)
    five = [(verb, rest.split()) for verb, rest in commands if "demo" in rest]
    assert [verb for verb, _ in five] == ["new", "train", "evaluate", "export"]
    said = {verb: run(tmp_path, verb, *rest) for verb, rest in five}
    assert "accuracy" in said["evaluate"]
    assert re.search(r"^braid serve bundles/demo", readme, re.MULTILINE)
    rng = np.random.default_rng(99)
    with serve(tmp_path / "bundles" / "demo") as server:
        for kind, label in enumerate(tables.WORDS):
            note = f"the place is {tables.WORDS[label][0]}".encode()
            photo, sound = tables.picture(kind, rng), tables.sound(kind, rng)
            whole = server.predict(note=note, photo=photo, sound=sound).raise_for_status().json()
            assert whole["outputs"]["label"]["label"] == label
            alone = server.predict(sound=sound).raise_for_status().json()
            assert alone["outputs"]["label"]["label"] == label
            assert not alone["parts"]["photo"]["used"]
    card = (tmp_path / "bundles" / "demo" / "README.md").read_text()
    for file in re.findall(r"\((label-\w+\.svg)\)", card):
        assert (tmp_path / "bundles" / "demo" / file).read_text().startswith("<?xml")
    assert {"label-confusion.svg", "label-reliability.svg", "label-robustness.svg"} <= set(
        re.findall(r"label-\w+\.svg", card)
    )


def test_three_kinds_of_task_are_trained_together_and_served(tmp_path: Path) -> None:
    file = written(tmp_path, ["label", "level", "signs"], {"dense": [12]})
    done = trained(tmp_path, file)
    assert sum(done.rows.values()) == 90
    found = command.evaluate(tmp_path / "run", console)
    every = "note+photo+sound"
    assert found.scores["label"][every]["accuracy"] > 0.8
    assert found.scores["signs"][every]["mAP"] > 0.8
    assert found.scores["level"][every]["R2"] > 0.3
    assert {"AUROC", "ECE", "F1"} <= found.scores["label"][every].keys()
    assert {"MAE", "coverage"} <= found.scores["level"][every].keys()
    assert len(found.scores["label"]) == 8  # the seven subsets, and what a guess reaches
    assert found.scores["label"][scores.NOTHING]["accuracy"] < 0.6
    assert command.export(tmp_path / "run", tmp_path / "bundle") <= 1e-5
    model = Model(read(tmp_path / "bundle"))
    parts, _, _ = model.bundle.example()
    row = model.encode(parts, {})
    answer = model.decode(row | model.run([row])[0], parts)["outputs"]
    low, high = answer["level"]["interval"]
    assert low < answer["level"]["value"] < high
    assert {entry["label"] for entry in answer["signs"]["top"]} == {"busy", "calm"}
    row |= model.run([row])[0]
    for output in ("label", "level", "signs"):
        chosen = target.choose(model.manifest.outputs, row, NOTHING, {"output": output})
        said = answered(shapley.explained(model, row, list(parts), chosen), model.run)
        total = sum(part["value"] for part in said["parts"].values())
        assert total == pytest.approx(said["all"] - said["none"], abs=1e-5)


def test_where_nothing_is_known_labels_are_as_frequent_as_in_the_table() -> None:
    tasks = {
        "a": Target(kind="classification", columns=["a"], labels=["x", "y"]),
        "b": Target(kind="multilabel", columns=["b"], labels=["u", "v"]),
        "c": Target(kind="regression", columns=["c", "d"]),
        "e": Target(kind="anomaly"),
    }
    unknown = np.nan
    targets = {
        "a": np.array([0, 0, 1, -1]),
        "b": np.array([[1, 0], [1, unknown], [unknown, unknown], [0, 0]], np.float32),
        "c": np.array([[1, 10], [3, unknown], [unknown, 20], [5, 30]], np.float32),
        "e": np.zeros(4, np.int64),
    }
    found = usual(tasks, targets)
    assert found["a_probabilities"] == pytest.approx([3 / 5, 2 / 5])
    assert found["b_probabilities"] == pytest.approx([3 / 5, 1 / 4])
    assert found["c_value"] == pytest.approx([3, 20])
    assert found["e_score"] == [0]


def test_a_yes_or_no_is_answered_as_two_classes_of_one_sigmoid(tmp_path: Path) -> None:
    made = tables.rows(tmp_path, 60)
    table = [row | {"ok": "yes" if i % 3 else "no"} for i, row in enumerate(made)]
    file = written(tmp_path, ["label"])
    held = yaml.safe_load(file.read_text())
    held["tasks"] = {"ok": {"kind": "classification", "columns": ["ok"], "labels": ["no", "yes"]}}
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    tables.write(tmp_path / "table.csv", table)
    trained(tmp_path, file)
    assert command.evaluate(tmp_path / "run", console).scores["ok"]["note+photo+sound"]["accuracy"] > 0.8
    command.export(tmp_path / "run", tmp_path / "bundle")
    model = Model(read(tmp_path / "bundle"))
    parts, _, _ = model.bundle.example()
    row = model.encode(parts, {})
    answer = model.decode(row | model.run([row])[0], parts)["outputs"]["ok"]
    assert answer["label"] in ("yes", "no")
    assert answer["score"] >= 0.5
    assert sum(entry["score"] for entry in answer["top"]) == pytest.approx(1)
    graph = onnx.load(tmp_path / "bundle" / "model.onnx").graph
    assert [node.op_type for node in graph.node if "ok_probabilities" in node.output] == ["Sigmoid"]


@pytest.mark.parametrize("fusion", ["concat", "low_rank", "average", "product"])
def test_every_kind_of_fusion_is_exported_with_every_kind_of_task(tmp_path: Path, fusion: str) -> None:
    few = {"fusion": {"kind": fusion}, "training": SMALL | {"epochs": 1}}
    file = written(tmp_path, ["label", "level", "signs"], few)
    trained(tmp_path, file)
    command.evaluate(tmp_path / "run", console)
    assert command.export(tmp_path / "run", tmp_path / "bundle") <= 1e-5


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    file = written(tmp_path, ["label"])
    trained(tmp_path, file)
    whole = torch.load(tmp_path / "run" / fit.CHECKPOINT, weights_only=True)
    chosen = recipe.read(file)
    shutil.rmtree(tmp_path / "run")
    stopped = 3

    class Stopped(Exception):
        pass

    def stop(at: fit.Progress) -> None:
        if at.epoch == stopped:
            raise Stopped

    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed)
    splits, held = prepared(plan, tmp_path / "table.csv", tmp_path / "run", bars(), console, skip=False)
    net = fit.build(chosen, held.vocabularies, splits["train"], tmp_path / "run")
    with pytest.raises(Stopped):
        fit.train(net, splits, tmp_path / "run", stop)
    trained(tmp_path, file, resume=True)
    again = torch.load(tmp_path / "run" / fit.CHECKPOINT, weights_only=True)
    assert again["state"]["epoch"] == whole["state"]["epoch"]
    for name, values in whole["net"].items():
        assert torch.equal(again["net"][name], values), name


def test_training_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    stuck = {"training": SMALL | {"epochs": 40, "patience": 2, "rate": 1e-12}}
    done = trained(tmp_path, written(tmp_path, ["label"], stuck))
    assert done.spent is not None
    assert done.spent.epochs < 40


def test_bfloat16_trains_on_a_cpu_and_float16_says_what_it_needs(tmp_path: Path) -> None:
    half = {"training": SMALL | {"epochs": 1, "precision": "bfloat16", "device": "cpu"}}
    done = trained(tmp_path, written(tmp_path, ["label"], half))
    assert done.spent is not None
    assert np.isfinite(done.spent.loss)
    with pytest.raises(ValueError, match="float16 needs CUDA"):
        trained(tmp_path, written(tmp_path, ["label"], {"training": SMALL | {"precision": "float16", "device": "cpu"}}))


def test_classical_heads_over_a_frozen_network_are_in_one_graph(tmp_path: Path) -> None:
    trained(tmp_path, written(tmp_path, ["label", "level", "signs"], {"dense": [12]}))
    frozen.train(
        tmp_path / "run", tmp_path / "table.csv", tmp_path / "head", "svm", "ridge", bars(), console, threads=1
    )
    found = classic.evaluate(tmp_path / "head", console)
    assert found.scores["label"]["note+photo+sound"]["accuracy"] > 0.8
    assert classic.export(tmp_path / "head", tmp_path / "bundle") <= 1e-5
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "fusion: gated; all frozen" in card
    assert "label: svm, level: ridge, signs: svm" in card


def test_predictions_that_are_fused_leave_nothing_to_put_a_head_on(tmp_path: Path) -> None:
    few = {"fusion": {"kind": "average"}, "training": SMALL | {"epochs": 1}}
    trained(tmp_path, written(tmp_path, ["label"], few))
    with pytest.raises(ValueError, match="no fused vectors"):
        frozen.train(
            tmp_path / "run", tmp_path / "table.csv", tmp_path / "head", "svm", "ridge", bars(), console, threads=1
        )


def test_a_row_keeps_at_least_one_part_and_gains_none() -> None:
    rng = np.random.default_rng(0)
    present = (rng.random((500, 3)) < 0.6).astype(np.float32)
    present[present.sum(1) == 0, 1] = 1
    kept = rows.fewer(present, 0.3, rng)
    assert (kept <= present).all()
    assert (kept.sum(1) >= 1).all()
    assert kept.sum() < present.sum()
    assert np.array_equal(rows.fewer(present, 1.0, rng), present)


def test_what_is_degraded_by_nothing_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    pixels, ids = rng.random((4, 3, 8, 8)).astype(np.float32), np.array([[2, 3, 4, 0]] * 4)
    for kind, values in (("image", pixels), ("text", ids)):
        none, full = np.zeros(4), np.ones(4)
        assert np.array_equal(degrade(kind, [values], none, rng)[0], values)
        worse = degrade(kind, [values], full, rng)[0]
        assert not np.array_equal(worse, values)
        assert worse.dtype == values.dtype
    assert (degrade("text", [ids], np.ones(4), rng)[0][:, 3] == 0).all()


@pytest.mark.parametrize(("kind", "perfect"), [("classification", 1.0), ("multilabel", 1.0)])
def test_perfect_answers_have_perfect_scores(kind: Kind, perfect: float) -> None:
    truth = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    given = truth.argmax(1) if kind == "classification" else truth
    found = scores.scores(kind, [truth], given)
    assert found["accuracy"] == found["F1"] == found["AUROC"] == perfect
    assert found["ECE"] == 0


def test_a_temperature_makes_the_over_confident_modest() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(3, (600,), generator=generator)
    said = torch.where(torch.rand(600, generator=generator) < 0.7, truth, (truth + 1) % 3)
    logits = 12 * torch.nn.functional.one_hot(said, 3).float()
    t = measure.temperature(logits, truth)
    assert t > 2
    modest = (logits / t).softmax(1).numpy()
    assert scores.single(modest, truth.numpy())["ECE"] < scores.single(logits.softmax(1).numpy(), truth.numpy())["ECE"]


def test_unknown_truths_are_not_scored() -> None:
    assert scores.scores("classification", [np.eye(2)], np.array([check.UNKNOWN] * 2)) == {}
    assert scores.scores("regression", [np.ones((2, 1)), np.ones((2, 1, 2))], np.full((2, 1), np.nan)) == {}


def test_a_wrong_table_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(json.dumps({"parts": {}}))
    done = subprocess.run(
        [sys.executable, "-m", "models", "train", "demo.yaml", "--data", "table.csv"],
        cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: demo.yaml: ")
