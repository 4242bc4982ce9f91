"""Predictors of AutoGluon-MultiModal: imported, served, and held to the network and to AutoMM's own preprocessing."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from models.importers.command import app
from service.bundle import read
from service.errors import BundleError
from service.model import Model
from tests.models.predictors import MEAN, SIDE, STD, keys, predictor, transformers
from tests.process import Server, serve

LABELS = ["ant", "bee", "cat", "dog"]
FUSED = ["hf_text", "timm_image", "fusion_mlp"]
TEXTS = ["Two cats on a sofa", "", "rain " * 40, "naïve 😀 [SEP] text", "a"]


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, ["automm", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def pictures() -> list[bytes]:
    """RGB, grey, with transparency, of odd sizes, so that half pixels of the crop are met."""
    found = []
    for i, (size, mode) in enumerate([((61, 47), "RGB"), ((47, 90), "L"), ((33, 34), "RGBA"), ((300, 35), "RGB")]):
        grain = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 4), np.uint8)
        out = io.BytesIO()
        Image.fromarray(grain, "RGBA").convert(mode).save(out, "PNG")
        found.append(out.getvalue())
    return found


def image(data: bytes) -> Tensor:
    """data/process_image.py with torchvision's Resize, CenterCrop, ToTensor and Normalize, on a PIL image."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    size = (SIDE, int(SIDE * long / short)) if width <= height else (int(SIDE * long / short), SIDE)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    top, left = round((picture.height - SIDE) / 2.0), round((picture.width - SIDE) / 2.0)
    picture = picture.crop((left, top, left + SIDE, top + SIDE))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
    return pixels.sub(torch.tensor(MEAN)[:, None, None]).div(torch.tensor(STD)[:, None, None])


def tokens(text: str, folder: Path, most: int) -> list[int]:
    """data/process_text.py for one column: cls, as many tokens as fit, sep."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "hf_text")
    ids = tokenizer.encode(text, add_special_tokens=False, truncation=False)[: most - 2]
    return [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]


def batch(folder: Path, data: bytes | None, text: str | None, slots: int) -> dict[str, Tensor]:
    """A row as AutoMM's collator makes it: zeros for a missing picture, "" for a missing text."""
    images = torch.zeros(1, slots, 3, SIDE, SIDE)
    if data is not None:
        images[0, 0] = image(data)
    ids = tokens(text or "", folder, 20) if (folder / "hf_text").exists() else [0]
    return {
        "timm_image_image": images, "timm_image_image_valid_num": torch.tensor([int(data is not None)]),
        "hf_text_text_token_ids": torch.tensor([ids]), "hf_text_text_segment_ids": torch.zeros(1, len(ids)).long(),
        "hf_text_text_valid_length": torch.tensor([len(ids)]),
    }  # fmt: skip


def logits(net: nn.Module, row: dict[str, Tensor]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return np.asarray(net(*(row[key] for key in keys(net)))[1][0].numpy())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("automm")
    (made / "labels.txt").write_text("\n".join(LABELS))
    return made


@pytest.fixture(scope="module")
def nets(folder: Path) -> dict[str, nn.Module]:
    """By the name of the bundle."""
    return {
        "pictures": predictor(folder / "p-pictures", ["timm_image"]),
        "texts": predictor(folder / "p-texts", ["hf_text"], problem="binary"),
        "fused": predictor(folder / "p-fused", FUSED, slots=2, exact=True),
        "clamped": predictor(folder / "p-clamped", FUSED),
    }


@pytest.fixture(scope="module")
def server(folder: Path, nets: dict[str, nn.Module]) -> Iterator[Server]:
    for name in nets:
        result = run(folder / f"p-{name}", folder / name, "--labels", folder / "labels.txt")
        assert result.exit_code == 0, result.output
        assert not (folder / f"p-{name}" / "opened").exists()
    with serve(*(folder / name for name in nets)) as running:
        yield running


def held(server: Server, name: str, net: nn.Module, parts: dict[str, bytes], row: dict[str, Tensor]) -> None:
    files = {part: ("", data) for part, data in parts.items()}
    answer = server.client.post(f"/v1/models/{name}/predict?raw=true&top_k=4", files=files).raise_for_status().json()
    expected = logits(net, row)
    tensor = read_tensor(server, name)
    np.testing.assert_allclose(answer["raw"][tensor], expected, atol=2e-5)
    scores = np.exp(expected - expected.max()) / np.exp(expected - expected.max()).sum()
    found = {entry["label"]: entry["score"] for entry in answer["outputs"]["classification"]["top"]}
    np.testing.assert_allclose([found[label] for label in LABELS], scores, atol=5e-6)


def read_tensor(server: Server, name: str) -> str:
    return str(server.client.get(f"/v1/models/{name}").json()["outputs"]["classification"]["tensor"])


def test_pictures_are_what_automm_sees(server: Server, folder: Path, nets: dict[str, nn.Module]) -> None:
    for data in pictures():
        held(server, "pictures", nets["pictures"], {"image": data}, batch(folder / "p-pictures", data, None, 1))


def test_texts_are_what_automm_reads(server: Server, folder: Path, nets: dict[str, nn.Module]) -> None:
    for text in filter(None, TEXTS):  # an empty text is one that was not sent
        held(server, "texts", nets["texts"], {"text": text.encode()}, batch(folder / "p-texts", None, text, 1))


def test_a_fusion_answers_any_subset_as_automm_does(server: Server, folder: Path, nets: dict[str, nn.Module]) -> None:
    """A missing picture counts 0, a missing text is "", in a graph for two pictures a row."""
    for data in (None, *pictures()):
        for text in (None, TEXTS[0], TEXTS[2]):
            if data is None and text is None:
                continue
            parts = {} if data is None else {"image": data}
            parts |= {} if text is None else {"text": text.encode()}
            held(server, "fused", nets["fused"], parts, batch(folder / "p-fused", data, text, 2))


def test_a_fusion_that_gives_no_numbers_without_a_part_asks_for_all(
    server: Server, folder: Path, nets: dict[str, nn.Module]
) -> None:
    """What torch's exporter makes of AutoMM's own clamp divides 0 by 0 where a picture is missing."""
    answer = server.predict(model="clamped", text=b"Two cats")
    assert (answer.status_code, answer.json()["part"]) == (422, "image")
    assert "# measured: where a part is missing" in (folder / "clamped" / "manifest.yaml").read_text()
    for data in pictures():
        parts = {"image": data, "text": TEXTS[0].encode()}
        held(server, "clamped", nets["clamped"], parts, batch(folder / "p-clamped", data, TEXTS[0], 1))


def test_rows_of_a_fusion_do_not_depend_on_each_other(server: Server, folder: Path) -> None:
    model = Model(read(folder / "fused"))
    requests: list[dict[str, bytes]] = [
        {"text": b"a"},
        {"image": pictures()[0]},
        {"text": b"rain " * 9, "image": pictures()[1]},
    ]
    rows = [model.encode(parts, {}) for parts in requests]
    for row, answer in zip(rows, model.run(rows), strict=True):
        for name, values in model.run([row])[0].items():
            np.testing.assert_allclose(answer[name], values, atol=1e-5)


def test_what_each_part_of_a_fusion_says_starts_from_the_answer_with_none(
    server: Server, folder: Path, nets: dict[str, nn.Module]
) -> None:
    files = {"text": ("", b"Two cats"), "image": ("", pictures()[0])}
    answer = server.client.post("/v1/models/fused/predict?explain=parts&target=ant", files=files).json()["explanation"]
    none = logits(nets["fused"], batch(folder / "p-fused", None, None, 2))
    scores = np.exp(none - none.max()) / np.exp(none - none.max()).sum()
    assert answer["none"] == pytest.approx(scores[0], abs=1e-5)
    assert sum(part["value"] for part in answer["parts"].values()) == pytest.approx(answer["all"] - answer["none"])


def test_vectors_come_beside_the_answer(server: Server) -> None:
    body = {"model": "texts", "input": ["Two cats"]}
    assert len(server.client.post("/v1/embeddings", json=body).raise_for_status().json()["data"][0]["embedding"]) == 12


def test_the_card_and_the_manifest_say_where_all_is_from(server: Server, folder: Path) -> None:
    made = read(folder / "fused")
    assert "hf_text, timm_image, fusion_mlp of AutoGluon-MultiModal 1.4.0, trained for multiclass" in made.card
    text = (folder / "fused" / "manifest.yaml").read_text()
    assert "resize: {to: shortest, edge: 32, resample: bicubic}  # file: val_transforms" in text
    assert f"mean: {json.dumps(MEAN)}  # file: timm_image/config.json" in text
    assert "max_tokens: 20  # file: max_text_len" in text


# -- what only the owner knows ----------------------------------------------------------------------------------------


def test_what_stands_in_pickles_alone_is_asked_for_with_the_way_to_get_it(tmp_path: Path) -> None:
    predictor(tmp_path / "p", ["timm_image"])
    (tmp_path / "p" / "timm_image" / "config.json").unlink()
    result = run(tmp_path / "p", tmp_path / "made")
    assert result.exit_code == 1
    for word in ("mean: ???", "std: ???", "labels: ???", "predictor.dump_model", "print(*p.class_labels"):
        assert word in result.output
    assert not (tmp_path / "p" / "opened").exists()
    result = run(
        tmp_path / "p",
        tmp_path / "made",
        "--norm",
        "imagenet",
        "--set",
        f"outputs.classification.labels={LABELS}",
        "--force",
    )
    assert result.exit_code == 0, result.output


def test_a_regression_is_scaled_back_by_what_the_owner_reads_off_its_scaler(tmp_path: Path) -> None:
    net = predictor(tmp_path / "p", ["timm_image"], problem="regression", classes=1)
    result = run(tmp_path / "p", tmp_path / "made")
    assert "label_scaler; print(s.mean_[0])" in result.output
    scale = ["--set", "outputs.regression.scale=2.5", "--set", "outputs.regression.offset=-7"]
    assert run(tmp_path / "p", tmp_path / "made", *scale, "--force").exit_code == 0
    model = Model(read(tmp_path / "made"))
    row = model.encode({"image": pictures()[0]}, {})
    answer = model.decode(row | model.run([row])[0], ["image"])["outputs"]["regression"]
    expected = float(logits(net, batch(tmp_path / "p", pictures()[0], None, 1))[0]) * 2.5 - 7
    assert answer["value"] == pytest.approx(expected, abs=1e-4)


def test_resize_to_square_and_older_names_of_keys_are_read(tmp_path: Path) -> None:
    predictor(tmp_path / "p", ["timm_image"])
    changed(tmp_path / "p", lambda model: model["timm_image"].update(val_transform_types=["resize_to_square"]))
    changed(tmp_path / "p", lambda model: model["timm_image"].pop("val_transforms"))
    run(tmp_path / "p", tmp_path / "made")
    said = yaml.safe_load((tmp_path / "made" / "manifest.yaml").read_text())["inputs"]["image"]
    assert said["resize"] == {"to": "exact", "height": SIDE, "width": SIDE, "resample": "bicubic"}
    assert "crop" not in said


def changed(folder: Path, change: Any) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config["model"])
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: model["names"].append("numerical_mlp"), "model 'numerical_mlp' takes what no part of Braid is"),
        (lambda model: model["names"].append("timm_image_1"), "several models take the same part"),
        (lambda model: model.update(names=[]), "model.names: none"),
        (
            lambda model: model["timm_image"].update(val_transforms=["randaug"]),
            "'randaug' there is none that Braid knows",
        ),
        (lambda model: model["timm_image"].update(image_chan_num=4), "image_chan_num: 4"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, change: Any, words: str) -> None:
    predictor(tmp_path / "p", ["timm_image"])
    changed(tmp_path / "p", change)
    with pytest.raises(BundleError) as refusal:
        run(tmp_path / "p", tmp_path / "made")
    assert words in str(refusal.value)


def test_what_is_missing_or_of_another_model_is_named(tmp_path: Path) -> None:
    predictor(tmp_path / "p", ["timm_image"])
    with pytest.raises(BundleError, match=r"no config\.yaml in it"):
        run(tmp_path, tmp_path / "made")
    (tmp_path / "two.txt").write_text("a\nb")
    with pytest.raises(BundleError, match="labels, but the model has 4 classes"):
        run(tmp_path / "p", tmp_path / "made", "--labels", tmp_path / "two.txt")
    (tmp_path / "p" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"export_onnx\(data, path"):
        run(tmp_path / "p", tmp_path / "made")
    predictor(tmp_path / "t", ["hf_text"])
    with pytest.raises(BundleError, match="the graph has no input 'timm_image_image'"):
        run(tmp_path / "p", tmp_path / "made", "--graph", tmp_path / "t" / "model.onnx")
    (tmp_path / "t" / "hf_text" / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"no tokenizer\.json; where transformers is installed"):
        run(tmp_path / "t", tmp_path / "made")


def test_two_columns_of_one_kind_are_refused(tmp_path: Path) -> None:
    predictor(tmp_path / "p", ["hf_text"])
    assets = json.loads((tmp_path / "p" / "assets.json").read_text())
    assets["column_types"]["title"] = "text"
    (tmp_path / "p" / "assets.json").write_text(json.dumps(assets))
    with pytest.raises(BundleError, match="columns note, title share one input"):
        run(tmp_path / "p", tmp_path / "made")


def test_a_tokenizer_that_adds_other_tokens_than_automm_is_refused(tmp_path: Path) -> None:
    predictor(tmp_path / "p", ["hf_text"])
    file = tmp_path / "p" / "hf_text" / "tokenizer.json"
    said = json.loads(file.read_text())
    said["post_processor"] = None
    file.write_text(json.dumps(said))
    with pytest.raises(BundleError, match=r"puts tokens \[\] around a text, where AutoMM puts"):
        run(tmp_path / "p", tmp_path / "made")
