"""Imported exports answer, through HTTP, as transformers' processors and the same graph in onnxruntime do."""

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.importers.huggingface.convert import convert
from tests.process import Server, serve
from tests.test_foreign_picture import PICTURES

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
exports = pytest.importorskip("tests.models.exports", reason="pip install torch")
Arrays = dict[str, NDArray[Any]]
TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "a", "\u00dcn\u00efc\u00f6d\u00e9 CAF\u00c9", "nul\0byte",
    "[CLS] injected [SEP] tokens <s> </s>", "emoji \U0001f600\U0001f44d\U0001f3fd!", "fox " * 80, "x" * 300,
]  # fmt: skip
LENGTHS = {"bert-multilabel": 40, "roberta-regression": 38}  # tokens, by the rules of transformers
LOGITS = 1e-5


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' deprecations are not ours
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family -> its export."""
    root = tmp_path_factory.mktemp("exports")
    for name, export in exports.FAMILIES.items():
        export(root / name)
    return {name: root / name for name in exports.FAMILIES}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All families in one process."""
    root = tmp_path_factory.mktemp("bundles")
    for name, folder in folders.items():
        assert convert(folder, root / name, lambda line: None).manifest.reference.startswith("transformers")
    with serve(root) as running:
        yield running


def processed(folder: Path, parts: Mapping[str, bytes], length: int | None) -> Arrays:
    """What transformers makes of them."""
    row: dict[str, Any] = {}
    if "text" in parts:
        reader = transformers.AutoTokenizer.from_pretrained(folder)
        row |= reader([parts["text"].decode()], truncation=True, max_length=length, return_token_type_ids=True)
    if "image" in parts:
        picture = transformers.image_utils.load_image(Image.open(io.BytesIO(parts["image"])))
        picture.info.clear()
        row |= transformers.AutoImageProcessor.from_pretrained(folder)(picture, return_tensors="np")
    return {name: np.asarray(values) for name, values in row.items()}


def expected(folder: Path, parts: Mapping[str, bytes], length: int | None = None) -> Arrays:
    (file,) = folder.rglob("model.onnx")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    row = processed(file.parent, parts, length)
    feed = {port.name: row[port.name] for port in session.get_inputs()}
    names = [port.name for port in session.get_outputs()]
    return {name: array[0] for name, array in zip(names, session.run(names, feed), strict=True)}


def check(server: Server, model: str, folder: Path, parts: Mapping[str, bytes], tolerance: float = LOGITS) -> Any:
    """The answer, whose raw outputs are the graph's."""
    answer = server.predict(model=model, headers=None, query="?raw=true&top_k=100", **parts)
    assert answer.status_code == 200, answer.text
    for name, array in expected(folder, parts, LENGTHS.get(model)).items():
        np.testing.assert_allclose(answer.json()["raw"][name], array, atol=tolerance, rtol=0, err_msg=name)
    return answer.json()["outputs"]


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_pictures_are_classified(server: Server, folders: dict[str, Path], family: str) -> None:
    for make in PICTURES.values():
        data = make()
        found = check(server, family, folders[family], {"image": data})["classification"]["top"]
        logits = expected(folders[family], {"image": data})["logits"]
        shares = np.exp(logits) / np.exp(logits).sum()
        assert {one["label"]: pytest.approx(one["score"], abs=5e-7) for one in found} == {
            f"LABEL_{i}": share for i, share in enumerate(shares)
        }


def test_texts_get_several_labels(server: Server, folders: dict[str, Path]) -> None:
    for text in TEXTS:
        found = check(server, "bert-multilabel", folders["bert-multilabel"], {"text": text.encode()})["multilabel"]
        assert {one["label"] for one in found["top"]} == {"calm", "glad", "cross"}
        assert all(one["score"] >= 0.5 for one in found["labels"])


def test_texts_get_a_number(server: Server, folders: dict[str, Path]) -> None:
    family = "roberta-regression"
    values = [check(server, family, folders[family], {"text": text.encode()})["regression"]["value"] for text in TEXTS]
    assert np.ptp(values) > 1e-3
