"""Explanations against random weights and gradients, on the committed digits model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models import attribution, export, recipe, recover, sanity
from models.__main__ import main
from models.encoders.text import Text
from models.network import Network
from models.recipe import Recipe
from service import bundle
from service.model import Model
from tests.process import ROOT

DIGITS = ROOT / "models/bundles/digits"
SEVEN = 7


@pytest.fixture(scope="module")
def chosen() -> Recipe:
    return recipe.read("digits")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(bundle.read(DIGITS))


@pytest.fixture(scope="module")
def net(chosen: Recipe) -> Network:
    return recover.network(chosen, DIGITS / bundle.GRAPH)


def test_the_recovered_network_is_the_graph(net: Network, model: Model) -> None:
    assert export.parity(net, model, model.bundle.example().row) < 1e-5


def test_a_graph_of_another_recipe_is_refused(chosen: Recipe, recipe_file: Path) -> None:
    with pytest.raises(ValueError, match="not a graph of the recipe"):
        recover.network(recipe.read(str(recipe_file)), DIGITS / bundle.GRAPH)


@pytest.mark.parametrize("part", ["text", "image", "audio"])
def test_integrated_gradients_sum_to_what_they_explain(net: Network, model: Model, part: str) -> None:
    data = model.bundle.example().parts[part]
    found = attribution.of(net, model, part, data, SEVEN)
    row = model.encode_part(part, data)
    first, *rest = (torch.from_numpy(row[name])[None] for name in net.tensors[part])
    encoder = net.encoders[part]
    with torch.no_grad():
        if isinstance(encoder, Text):
            whole, encode = encoder.embed(first), lambda x: encoder.embedded(x, *rest)
            nothing = torch.zeros_like(whole)
        else:
            whole, encode = first, lambda x: encoder(x, *rest)
            nothing = whole.amin().expand_as(whole)
        f = attribution.odds(net, part, SEVEN, encode)
        expected = (f(whole) - f(nothing)).item()
    assert expected > 1
    assert found.sum().item() == pytest.approx(expected, rel=0.05)


def test_the_word_that_says_it_has_the_gradient(net: Network, model: Model) -> None:
    text = "ich glaube, es ist eine sieben"
    pieces: list[tuple[float, ...]] = [(0, 3), (12, 14), (24, 30)]
    attributed = attribution.of(net, model, "text", text.encode(), SEVEN)
    assert attribution.over(model, "text", text.encode(), attributed, pieces).argmax() == 2


def test_random_weights_answer_something_else(model: Model, tmp_path: Path) -> None:
    noise = sanity.randomised(model.bundle, tmp_path / "noise", 0)
    row = model.bundle.example().row
    assert np.abs(noise.run([row])[0]["probabilities"] - model.run([row])[0]["probabilities"]).max() > 0.1


def test_orders_are_compared_whatever_the_scale() -> None:
    assert sanity.correlation(np.array([1, 2, 3]), np.array([0.1, 100, 1e6])) == pytest.approx(1)
    assert sanity.correlation(np.array([1, 2, 3]), np.array([3, 2, 1])) == pytest.approx(-1)
    assert sanity.correlation(np.array([1, 2, 3]), np.zeros(3)) == 0


def test_explanations_of_digits_show_what_was_learnt(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Texts are real; pictures and recordings are bars and tones here, and only have to go through."""
    folder = tmp_path / "digits"
    shutil.copytree(DIGITS, folder)
    command = ["models", "sanity", "digits", "--data", str(data), "--bundle", str(folder), "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*command, "--samples", "6", "--write"])
    with pytest.raises(SystemExit):
        main()
    card = (folder / "README.md").read_text()
    line = next(line for line in card.splitlines() if line.startswith("| text | 6 |"))
    randomly, gradients = (float(cell) for cell in line.strip("| ").split(" | ")[2:])
    assert abs(randomly) < 0.4 < gradients
    assert card.count(sanity.BEGIN) == 1
    bundle.read(folder)


def test_noise_is_not_called_an_explanation() -> None:
    assert sanity.good({"text": sanity.Agreement(0.02, 0.6, 9)})
    assert not sanity.good({"text": sanity.Agreement(0.5, 0.6, 9)})
    assert not sanity.good({"text": sanity.Agreement(0.0, -0.6, 9)})
