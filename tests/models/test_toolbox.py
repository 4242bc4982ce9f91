"""Every part of the toolbox is in a recipe, and every recipe for tables makes a bundle that `braid verify` accepts."""

import csv
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from pydantic import BaseModel

pytest.importorskip("skl2onnx")

from models import catalogue, made, steps
from models.classic.estimators import CLASSIFIERS, REGRESSORS
from models.encoders import AudioEncoder, ImageEncoder, TextEncoder
from models.encoders.bert import Bert, Config
from models.encoders.resnet import ResNet
from models.fusion import Fusion
from models.heads import Head
from models.options import bars, console
from models.tokens import Words
from service.bundle import read
from tests.models import tables
from tests.process import ROOT, braid

RECIPES = sorted(file for file in steps.RECIPES.rglob("*.yaml") if "parts" in steps.held(file))
NEEDED = {  # the parts that the toolbox promises -> group
    "text": [
        *("bag_of_words of words", "tfidf of words", "tfidf of characters", "word2vec, trained here"),
        *("word2vec of a file", "lstm", "transformer", "bert, frozen", "bert, trained on"),
    ],
    "image": ["cnn", "resnet 18", "resnet 50", "vgg 11", "vgg 16", "inception", "resnet 18, weights of a file"],
    "audio": [
        *("log_mel, cnn", "log_mel, lstm", "mfcc, cnn", "mfcc, lstm"),
        *("linear bank, cnn", "kaldi bank, lstm", "waveform, cnn"),
    ],
    "fusion": [
        *("concat", "weights", "decay", "attention", "gated", "cross_attention", "graph", "low_rank"),
        *("average", "product"),
    ],
    "task": [
        *("classification", "classification, one sigmoid", "multilabel", "regression, with a unit"),
        *("embedding", "anomaly"),
    ],
    "detector": ["one stage, with a context", "two stages"],
    "training": ["autoencoders before labels"],
    "without torch": [
        *("TF-IDF", "statistics of fields", "statistics of bands"),
        *(f"{kind}, classes" for kind in CLASSIFIERS),
        *(f"{kind}, regression" for kind in REGRESSORS),
    ],
}
SMALL: dict[str, Any] = {"epochs": 1, "patience": 1, "batch": 16}


def kinds(union: Any) -> set[str]:
    specs: tuple[type[BaseModel], ...] = get_args(get_args(union)[0])
    return {str(spec.model_fields["kind"].default) for spec in specs}


def named(group: str) -> set[str]:
    """First words of what the recipes use of a group."""
    return {part.replace(",", " ").split()[0] for each, part in catalogue.matrix() if each == group}


@pytest.mark.parametrize("group", NEEDED)
def test_every_part_that_is_promised_is_in_a_recipe(group: str) -> None:
    assert set(NEEDED[group]) <= {part for each, part in catalogue.matrix() if each == group}


def test_every_kind_of_every_union_is_in_a_recipe() -> None:
    assert kinds(TextEncoder) <= named("text")
    assert kinds(ImageEncoder) <= named("image")
    assert kinds(Fusion) <= named("fusion")
    assert kinds(Head) <= named("task")
    sounds = {part.split(", ")[1] for group, part in catalogue.matrix() if group == "audio"}
    assert kinds(AudioEncoder) - {"wave"} <= sounds
    assert "waveform, cnn" in {part for _, part in catalogue.matrix()}


def test_the_page_has_the_matrix_as_the_recipes_have_it() -> None:
    page = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    held = page.split(catalogue.BEGIN)[1].split(catalogue.END)[0].strip()
    assert held == catalogue.table(), "python -m models parts --into models/README.md"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with search.zip of three pictures and as many sounds, eight times each."""
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    pairs, credits = [], []
    with zipfile.ZipFile(folder / "search.zip", "w") as archive:
        for i in range(48):
            kind, word = i % 3, list(tables.WORDS)[i % 3]
            if i % 2:
                archive.writestr(f"search/images/{i}.png", tables.picture(kind, rng))
                pairs.append([f"{word} place {i}", f"images/{i}.png", ""])
            else:
                archive.writestr(f"search/audio/{i}.wav", tables.sound(kind, rng))
                pairs.append([f"{word} sound", "", f"audio/{i}.wav"])
                credits.append([f"{i}.wav", str(i // 2 % 4 + 1)])
        for name, head, rows in (
            ("table", ["text", "image", "audio"], pairs),
            ("audio_credits", ["file", "fold"], credits),
        ):
            text = io.StringIO()
            csv.writer(text).writerows([head, *rows])
            archive.writestr(f"search/{name}.csv", text.getvalue())
    return folder


@pytest.fixture(scope="module")
def table(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name -> table.csv, made once."""
    made_before: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made_before:
            made_before[name] = made.make(name, sources, tmp_path_factory.mktemp(name), 60)
        return made_before[name]

    return make


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What recipes name: a tiny BERT in the place of MiniLM, word vectors, a state dict with torchvision's names."""
    folder = tmp_path_factory.mktemp("weights")
    bert = folder / ".cache" / "minilm"
    bert.mkdir(parents=True)
    texts = ["the roofs are white", "chills at night, short of breath", "everything is soaked"]
    size = Words().write(bert / "tokenizer.json", texts)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = Config(vocab_size=size, max_position_embeddings=64, **sizes)
    torch.manual_seed(0)
    safetensors.torch.save_file(Bert(config).state_dict(), bert / "model.safetensors", {"format": "pt"})
    (bert / "config.json").write_text(config.model_dump_json())
    words = {"roofs", "white", "soaked", "thunder", "warm", "grey"}
    (folder / "words.vec").write_text("".join(f"{word} {' '.join(['0.1'] * 50)}\n" for word in sorted(words)))
    torch.save(ResNet(3, 18).state_dict(), folder / "resnet18.pt")
    return folder


TITLES = [
    str(file.relative_to(steps.RECIPES).with_suffix(""))
    for file in RECIPES
    if steps.held(file).get("table") != "digits"  # test_made trains those on their own table
]


@pytest.mark.parametrize("name", TITLES)
def test_a_recipe_is_trained_small_and_its_bundle_is_verified(
    name: str, table: Callable[[str], Path], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights)
    held = steps.held(steps.given(name))
    command = steps.of_tables(held)
    if any("estimator" not in task for task in held["tasks"].values()):
        held["training"] = held.get("training", {}) | SMALL
        held["training"] |= {"pretrain": 1} if held["training"].get("pretrain") else {}
    held.pop("repeats", None)
    for part in held["parts"].values():
        if part["kind"] == "image":
            part["input"]["resize"] |= {"height": 32, "width": 32}
    file, run, bundle = tmp_path / "small.yaml", tmp_path / "run", tmp_path / "bundle"
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    command.train(file, table(held["table"]), run, bars(), console, resume=False, threads=1, skip=False)
    command.evaluate(run, console)
    assert command.export(run, bundle) <= 1e-5
    done = braid("verify", bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(bundle).manifest.outputs.keys() >= held["tasks"].keys()
    shutil.rmtree(run)
    shutil.rmtree(bundle)  # a ResNet-50 is 94 MB
