"""The graph is the network: alone, mixed, any length; and it is fast enough to be served on one thread."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models import example, export, prepare, recipe, train
from models.network import Network
from models.recipe import Recipe
from service.bundle import Bundle
from service.model import Model
from service.types import Row


@pytest.fixture(scope="module")
def tiny(recipe_file: Path) -> Recipe:
    return recipe.read(str(recipe_file))


@pytest.fixture(scope="module")
def net(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Network:
    torch.manual_seed(0)
    net = train.network(tiny, prepare.constants(tiny, tmp_path_factory.mktemp("constants"))).eval()
    net.calibrated.temperature.copy_(torch.linspace(0.5, 2, 8))
    return net


@pytest.fixture(scope="module")
def exported(tiny: Recipe, net: Network, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    work = tmp_path_factory.mktemp("work")
    prepare.constants(tiny, work)
    return export.export(tiny, net, example.parts(), work, tmp_path_factory.mktemp("bundle"))


def rows(count: int) -> list[Row]:
    rng = np.random.default_rng(0)

    def row(i: int) -> Row:
        tokens, frames = int(rng.integers(1, 40)), int(rng.integers(1, 200))
        return {
            "input_ids": rng.integers(0, 100, tokens),
            "attention_mask": np.ones(tokens, np.float32),
            "pixel_values": rng.normal(0, 1, (1, 28, 28)).astype(np.float32),
            "input_features": rng.normal(0, 1, (64, frames)).astype(np.float32),
            "frame_mask": np.ones(frames, np.float32),
            "present": np.array([(i % 7 + 1) >> part & 1 for part in range(3)], np.float32),
        }

    return [row(i) for i in range(count)]


def test_the_graph_answers_as_torch_does(net: Network, exported: Bundle) -> None:
    model = Model(exported)
    assert export.difference(export.answer(net, rows(21)), model.run(rows(21))) <= 1e-5


def test_alone_is_as_in_company(exported: Bundle) -> None:
    model = Model(exported)
    for together, row in zip(model.run(rows(21)), rows(21), strict=True):
        for name, values in model.run([row])[0].items():
            assert np.abs(values - together[name]).max() < 1e-5


def test_absent_slots_are_ignored_even_if_they_hold_nan(exported: Bundle) -> None:
    model, (row,) = Model(exported), rows(1)  # text alone
    spoiled = {**row, "pixel_values": np.full_like(row["pixel_values"], np.nan)}
    assert np.array_equal(model.run([row])[0]["probabilities"], model.run([spoiled])[0]["probabilities"])


def test_an_export_that_differs_from_torch_is_refused(
    tiny: Recipe, net: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    prepare.constants(tiny, tmp_path / "work")
    with pytest.raises(ValueError, match="differs from torch"):
        export.export(tiny, net, example.parts(), tmp_path / "work", tmp_path / "bundle")
