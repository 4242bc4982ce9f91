"""Tasks that need no label: parts of one row find each other, what is unlike the training stands out."""

import base64
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch
import yaml

from models.options import bars, console
from models.table import check, command, draft, fit, lines, recipe, rows, scores
from models.table.columns import Plan
from models.table.evaluation import Evaluation
from models.table.pretrain import pretrain
from models.table.retrieval import ranks, retrieval
from models.table.start import prepared
from models.table.unlabelled import MOST_WORDS, tokens
from service.bundle import read
from service.model import Model
from service.types import Array
from tests.models import tables
from tests.models.test_table_run import SMALL, TINY
from tests.process import serve

pytest.importorskip("sklearn")
SEARCH = {"meaning": {"kind": "embedding", "columns": ["label"], "head": {"dimensions": 8}}}
ODD = {"unusual": {"kind": "anomaly", "columns": ["odd"], "head": {"code": 2, "inner": 16, "share": 0.9}}}


def written(folder: Path, tasks: Mapping[str, object], change: Mapping[str, object] | None = None) -> Path:
    """A table of 90 rows; every sixth is odd: a loud noise, and a word that no other row has."""
    made = tables.rows(folder, 90)
    rng = np.random.default_rng(4)
    for i, row in enumerate(made):
        row["odd"] = str(int(i % 6 == 0))
        if row["odd"] == "1" and tasks is ODD:
            row["note"] = row["note"] and "smoke smoke smoke"
            if row["sound"]:
                (folder / row["sound"]).write_bytes(tables.wave(rng.normal(0, 0.5, 2400)))
            if row["photo"]:
                (folder / row["photo"]).write_bytes(tables.png(rng.integers(0, 255, (16, 16, 3))))
    held = yaml.safe_load(draft.write("tiny", lines.read(tables.write(folder / "table.csv", made)), ["label"]))
    for name, part in TINY.items():
        held["parts"][name] |= part
    del held["fusion"], held["dense"]
    held |= {"width": 16, "training": held["training"] | SMALL, "tasks": tasks, **(change or {})}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    return file


def done(folder: Path, file: Path) -> Evaluation:
    """Trained, evaluated, exported to folder/bundle."""
    command.train(file, folder / "table.csv", folder / "run", bars(), console, resume=False, threads=1, skip=False)
    found = command.evaluate(folder / "run", console)
    assert command.export(folder / "run", folder / "bundle") <= 1e-5
    return found


def test_parts_of_one_space_are_found_by_each_other_and_served_to_openais_client(tmp_path: Path) -> None:
    more = {"training": SMALL | {"epochs": 16, "patience": 16, "rate": 0.01, "degraded": 0.0}, "repeats": 1}
    found = done(tmp_path, written(tmp_path, SEARCH, more))
    assert len(found.scores["meaning"]) == 6  # two directions of three pairs
    assert np.mean([each["R@1"] for each in found.scores["meaning"].values()]) > 0.8
    assert found.robustness["meaning"]["note -> photo, photo degraded"][0] > 0.8
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "| asked -> found | R@1 |" in card
    assert "deviation of 2 trainings" in card
    assert Model(read(tmp_path / "bundle")).manifest.outputs.keys() == {"meaning"}
    with serve(tmp_path / "bundle") as server:
        client = openai.OpenAI(base_url=f"{server.client.base_url}/v1", api_key="none", max_retries=0)
        with client:
            asked = [asking(kind) for kind in range(3)]
            vectors = {name: embedded(client, [{name: each[name]} for each in asked]) for name in asked[0]}
            fused = embedded(client, asked)
    for a in vectors:
        for b in vectors:
            assert ((vectors[a] @ vectors[b].T).argmax(1) == np.arange(3)).all(), (a, b)
    mean = np.sum(list(vectors.values()), 0)
    np.testing.assert_allclose(fused, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def asking(kind: int) -> dict[str, str]:
    rng = np.random.default_rng(50 + kind)
    media = {"photo": tables.picture(kind, rng), "sound": tables.sound(kind, rng)}
    note = f"the place is {list(tables.WORDS.values())[kind][1]}"
    return {"note": note} | {name: base64.b64encode(data).decode() for name, data in media.items()}


def embedded(client: openai.OpenAI, asked: Sequence[Mapping[str, str]]) -> Array:
    """(N, dimensions)."""
    given: Any = asked  # objects are beyond OpenAI's own types
    return np.array([one.embedding for one in client.embeddings.create(model="tiny", input=given).data])


def test_what_is_unlike_the_training_stands_out(tmp_path: Path) -> None:
    found = done(tmp_path, written(tmp_path, ODD))
    whole = found.scores["unusual"]["note+photo+sound"]
    assert whole["AUROC"] > 0.9
    assert whole["found"] > 0.5
    assert whole["false alarms"] < 0.5
    assert "unusual-scores.svg" in (tmp_path / "bundle" / "README.md").read_text()
    splits = rows.load(tmp_path / "run" / "test.npz").targets["unusual"]
    assert (splits == 1).sum() == 15  # all anomalies are in the test
    model = Model(read(tmp_path / "bundle"))
    rng = np.random.default_rng(1)
    usual = {"note": b"the place is still", "photo": tables.picture(0, rng), "sound": tables.sound(0, rng)}
    odd = usual | {"sound": tables.wave(rng.normal(0, 0.5, 2400)), "note": b"smoke smoke smoke"}
    answers = [answer(model, parts)["unusual"] for parts in (usual, odd)]
    assert answers[0]["score"] < answers[1]["score"]
    assert answers[1]["anomalous"]
    assert answers[0]["threshold"] == 1
    assert answer(model, {"sound": usual["sound"]})["unusual"]["score"] > 0


def answer(model: Model, parts: dict[str, bytes]) -> dict[str, Any]:
    row = model.encode(parts, {})
    outputs: dict[str, Any] = model.decode(row | model.run([row])[0], parts)["outputs"]
    return outputs


def test_tasks_with_and_without_labels_are_trained_together(tmp_path: Path) -> None:
    label = {"kind": "classification", "columns": ["label"], "labels": list(tables.WORDS)}
    file = written(tmp_path, {"label": label, **SEARCH, **ODD}, {"training": SMALL | {"epochs": 2}})
    found = done(tmp_path, file)
    assert {"label", "meaning", "unusual"} == found.scores.keys()
    outputs = read(tmp_path / "bundle").manifest.outputs
    assert [each.kind for each in outputs.values()] == ["classification", "embedding", "anomaly", "weights"]


def test_encoders_learn_of_rows_without_labels_first(tmp_path: Path) -> None:
    label = {"label": {"kind": "classification", "columns": ["label"], "labels": list(tables.WORDS)}}
    file = written(tmp_path, label, {"training": SMALL | {"epochs": 2, "pretrain": 4}})
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as held:
        some = list(csv.DictReader(held))
    for row in some[::4]:
        row["label"] = ""
    tables.write(tmp_path / "table.csv", some)
    unlabelled = sum(not row["label"] for row in some)
    assert unlabelled > 15
    chosen = recipe.read(file)
    plan = Plan(chosen.parts, chosen.tasks, chosen.split, chosen.seed, unlabelled=True)
    splits, held_run = prepared(plan, tmp_path / "table.csv", tmp_path / "run", bars(), console, skip=False)
    assert (splits["train"].targets["label"] == check.UNKNOWN).sum() == unlabelled
    net = fit.build(chosen, held_run.vocabularies, splits["train"], tmp_path / "run")
    before = {name: values.clone() for name, values in net.state_dict().items()}
    losses: dict[str, list[float]] = {}
    pretrain(net, splits["train"], held_run.vocabularies, lambda part, loss: losses.setdefault(part, []).append(loss))
    assert all(len(each) == 4 and each[-1] < each[0] for each in losses.values())
    moved = {name for name, values in net.state_dict().items() if not torch.equal(values, before[name])}
    assert moved
    assert all(name.startswith("encoders.") for name in moved)
    assert len(fit.taught(net, splits["train"])) == len(splits["train"]) - unlabelled
    assert done(tmp_path, file).scores["label"]["note+photo+sound"]["rows"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fusion": {"kind": "gated"}}, "no task takes them"),
        ({"tasks": {"a": {"kind": "embedding", "labels": ["x"]}}}, "takes one column at most, and no labels"),
        ({"tasks": {"a": {"kind": "anomaly", "head": {"kind": "embedding"}}}}, "head: is of embedding"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe.read(written(tmp_path, SEARCH, change))


def test_a_table_whose_rows_have_one_part_each_teaches_no_space(tmp_path: Path) -> None:
    file = written(tmp_path, SEARCH)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as held:
        lonely = list(csv.DictReader(held))
    for i, row in enumerate(lonely):
        parts = [name for name in ("note", "photo", "sound") if row[name]]
        row |= {name: "" for name in parts if name != parts[i % len(parts)]}
    tables.write(tmp_path / "table.csv", lonely)
    with pytest.raises(check.BadRows, match="no two rows to train on have two parts"):
        command.train(
            file, tmp_path / "table.csv", tmp_path / "run", bars(), console, resume=False, threads=1, skip=False
        )


def test_a_rank_counts_what_is_better_and_half_of_what_is_equal() -> None:
    alone = np.full(4, check.UNKNOWN)
    assert ranks(np.eye(4), alone).tolist() == [1, 1, 1, 1]
    assert ranks(-np.eye(4), alone).tolist() == [4, 4, 4, 4]
    assert ranks(np.zeros((4, 4)), alone).tolist() == [2.5] * 4
    assert ranks(-np.eye(4), np.array([1, 1, 2, 2])).tolist() == [
        2,
        2,
        2,
        2,
    ]  # the other of the group is right


def test_retrieval_is_asked_of_the_rows_that_have_both_parts() -> None:
    vectors = np.tile(np.eye(5)[:, None], (1, 3, 1))
    present = np.array([[1, 1, 0]] * 4 + [[1, 0, 0]])
    found = retrieval(vectors, present, np.full(5, check.UNKNOWN), ["a", "b", "c"])
    assert found.keys() == {"a -> b", "b -> a"}
    assert found["a -> b"] == {"R@1": 1, "R@5": 1, "R@10": 1, "median rank": 1, "rows": 4}


def test_alarms_are_counted_over_the_threshold() -> None:
    said, truth = np.array([0.5, 1.5, 2.0, 0.7]), np.array([[0.0], [0], [1], [1]], np.float32)
    found = scores.scores("anomaly", [said], truth)
    assert found == {"rows": 4, "false alarms": 0.5, "anomalies": 2, "found": 0.5, "AUROC": 0.75}
    assert scores.scores("anomaly", [said], np.full((4, 1), np.nan)) == {"rows": 4, "false alarms": 0.5}


def test_tokens_of_large_vocabularies_share_numbers() -> None:
    ids, mask = torch.tensor([[1, MOST_WORDS + 1, 5, 9]]), torch.tensor([[1.0, 1, 1, 0]])
    assert tokens(ids, mask, MOST_WORDS).nonzero()[:, 1].tolist() == [1, 5]
