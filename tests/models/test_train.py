"""The commands make of a tiny task a bundle that the service proves; a run learns, and can be resumed."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress
from typer.testing import CliRunner

from models import evaluate, prepare, recipe, runs, train
from models.__main__ import app
from models.datasets import digits
from models.network import Network
from models.pools import Pool
from models.recipe import Recipe
from service import bundle
from service.model import Model


@pytest.fixture(scope="module")
def tiny(recipe_file: Path) -> Recipe:
    return recipe.read(str(recipe_file))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def pools(tiny: Recipe, data: Path, work: Path) -> dict[str, Pool]:
    with Progress(disable=True) as progress:
        return prepare.training_pools(tiny, digits.read(data / "digits"), made(tiny, work), progress)


def made(tiny: Recipe, work: Path) -> Path:
    prepare.constants(tiny, work / "digits")
    return work / "digits"


def run(tiny: Recipe, pools: dict[str, Pool], work: Path, steps: int, stop: int) -> tuple[Network, list[float]]:
    torch.manual_seed(tiny.seed)
    net, losses = train.network(tiny, prepare.constants(tiny, work)), []
    sampler = train.Sampler(tiny, pools)

    def tell(step: int, loss: float) -> None:
        losses.append(loss)
        if step == stop:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        train.train(net, sampler, tiny.training, steps, work / "run.pt", tell)
    return net, losses


def test_training_learns(tiny: Recipe, pools: dict[str, Pool], tmp_path: Path) -> None:
    _, losses = run(tiny, pools, tmp_path, steps=60, stop=-1)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    tiny: Recipe, pools: dict[str, Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SAVED", 4)
    whole, _ = run(tiny, pools, tmp_path / "whole", steps=12, stop=-1)
    _, before = run(tiny, pools, tmp_path / "halves", steps=12, stop=9)
    halves, after = run(tiny, pools, tmp_path / "halves", steps=12, stop=-1)
    assert (len(before), len(after)) == (9, 4)
    for name, values in whole.state_dict().items():
        assert torch.allclose(values, halves.state_dict()[name], atol=1e-6), name


def test_samples_are_made_once(tiny: Recipe, pools: dict[str, Pool], data: Path, work: Path) -> None:
    files = {file: file.stat().st_mtime_ns for file in (work / "digits" / "pools").iterdir()}
    with Progress(disable=True) as progress:
        again = prepare.training_pools(tiny, digits.read(data / "digits"), work / "digits", progress)
    assert files == {file: file.stat().st_mtime_ns for file in (work / "digits" / "pools").iterdir()}
    for part, pool in pools.items():
        assert (again[part].labels == pool.labels).all()
        for row, same in zip(pool.rows, again[part].rows, strict=True):
            assert all(np.array_equal(row[name], same[name]) for name in row)


def test_runs_without_a_speaker_see_neither_it_nor_held_templates(tiny: Recipe, pools: dict[str, Pool]) -> None:
    final, *folds = runs.runs(tiny)
    for run in (final, *folds):
        seen = run.pools(pools)
        assert set(seen["audio"].groups) == {"ann", "bob"} - set(run.left_out)
        assert set(seen["text"].groups) == {"known", "among"}


def test_the_commands_make_a_bundle_that_the_service_proves(
    recipe_file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "TRIPLES", 200)
    monkeypatch.setattr(prepare, "SENTENCES", 100)
    work, to = ["--work", str(tmp_path / "work")], tmp_path / "bundle"
    invoke("train", str(recipe_file), *work, "--data", str(data), "--threads", "1")
    invoke("train", str(recipe_file), *work, "--data", str(data), "--resume", "--threads", "1")  # nothing is left to do
    table = invoke("evaluate", str(recipe_file), *work, "--data", str(data))
    assert all(head in table for head in ("TIA", "clean", "degraded"))
    invoke("export", str(recipe_file), *work, "--to", str(to))
    loaded = bundle.read(to)
    Model(loaded).prove()
    assert "black on white" in loaded.card
    assert sum(file.stat().st_size for file in to.rglob("*") if file.is_file()) < 3 * 2**20


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_borrowed_encoders_stay_as_they_are(tiny: Recipe, pools: dict[str, Pool], tmp_path: Path) -> None:
    vocabulary = prepare.constants(tiny, tmp_path)
    lender, net = train.network(tiny, vocabulary), train.network(tiny, vocabulary)
    net.borrow(lender, ["text", "image"])
    train.train(net, train.Sampler(tiny, pools), tiny.training, 3, tmp_path / "run.pt", lambda step, loss: None)
    for part, same in (("text", True), ("image", True), ("audio", False)):
        mine, theirs = net.encoders[part].state_dict(), lender.encoders[part].state_dict()
        assert all(torch.equal(values, theirs[name]) for name, values in mine.items()) is same
