"""Imported exports answer, through HTTP, as transformers' processors and the same graph in onnxruntime do."""

import base64
import functools
import io
import json
import operator
import os
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from models.importers.huggingface.convert import convert
from service.bundle import read
from service.errors import BundleError
from service.model import Model
from tests.models.test_foreign_sound import sound
from tests.oracle import librosa
from tests.process import ROOT, Server, serve
from tests.test_foreign_picture import PICTURES

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
exports = pytest.importorskip("tests.models.exports", reason="pip install torch")
Arrays = dict[str, NDArray[Any]]
TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "a", "\u00dcn\u00efc\u00f6d\u00e9 CAF\u00c9", "nul\0byte",
    "[CLS] injected [SEP] tokens <s> </s>", "emoji \U0001f600\U0001f44d\U0001f3fd!", "fox " * 80, "x" * 300,
]  # fmt: skip
LENGTHS = {  # tokens, by the rules of transformers
    "bert-multilabel": 40, "roberta-regression": 38, "distilbert": 30, "mpnet": 24, "clip": 40, "clip-logits": 40,
    "clip-towers": 40, "siglip": 16, "clap": 38, "clap-fusion": 38, "fused": 40,
}  # fmt: skip
SOUNDS = [  # rate, channels, seconds, encoding
    (8000, 1, 0.4, "WAV", "PCM_16"), (44100, 2, 3.0, "FLAC", "PCM_16"), (22050, 1, 1.3, "WAV", "FLOAT"),
    (48000, 2, 1.9, "OGG", "VORBIS"), (32000, 1, 2.6, "MP3", "MPEG_LAYER_III"), (16000, 1, 2.0, "WAV", "PCM_24"),
]  # fmt: skip
TYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
LOGITS, PROBABILITIES, BOXES = 1e-5, 5e-7, 5e-5


PATHS = os.environ | {"PYTHONPATH": str(ROOT)}


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
def bundles(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundles")
    for name, folder in folders.items():
        assert convert(folder, root / name, lambda line: None).manifest.reference.startswith("transformers")
    return root


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Server]:
    """All families in one process."""
    with serve(bundles) as running:
        yield running


def processed(folder: Path, parts: Mapping[str, bytes], length: int | None) -> Arrays:
    """What transformers makes of them."""
    row: dict[str, Any] = {}
    if "text" in parts:
        reader = transformers.AutoTokenizer.from_pretrained(folder)
        row |= reader([parts["text"].decode()], truncation=True, max_length=length, return_token_type_ids=True)
    if "image" in parts:
        row |= transformers.AutoImageProcessor.from_pretrained(folder)(opened(parts["image"]), return_tensors="np")
    if "audio" in parts:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
        samples, _ = librosa.load(io.BytesIO(parts["audio"]), sr=extractor.sampling_rate)
        if isinstance(extractor, transformers.WhisperFeatureExtractor):  # __call__ takes torch's, in float32
            window = np.resize(np.pad(samples, (0, extractor.n_samples)), extractor.n_samples)
            row["input_features"] = extractor._np_extract_fbank_features([window], "cpu")
        else:
            if isinstance(
                extractor, transformers.ClapFeatureExtractor
            ):  # it crops longer ones at random, Braid the head
                samples = samples[: extractor.nb_max_samples]
            row |= extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np")
    return {name: np.asarray(values) for name, values in row.items()}


def opened(data: bytes) -> Any:
    """As transformers' pipelines open files; a palette's transparent colour would outlive it, and be laid on white."""
    picture = transformers.image_utils.load_image(Image.open(io.BytesIO(data)))
    picture.info.clear()
    return picture


@cache
def session(folder: Path) -> Any:
    (file,) = folder.rglob("*.onnx")
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]), file.parent


def expected(folder: Path, parts: Mapping[str, bytes]) -> Arrays:
    graph, inner = session(folder)
    row = processed(inner if (inner / "config.json").exists() else folder, parts, LENGTHS.get(folder.name))
    feed: Arrays = {port.name: row[port.name].astype(TYPES[port.type]) for port in graph.get_inputs()}
    names = [port.name for port in graph.get_outputs()]
    return {name: array[0] for name, array in zip(names, graph.run(names, feed), strict=True)}


def check(server: Server, folder: Path, **parts: bytes) -> tuple[dict[str, Any], Arrays]:
    """The answer's outputs and the graph's, which its raw ones equal."""
    wanted = expected(folder, parts)
    answer = server.predict(model=folder.name, headers=None, query="?raw=true&top_k=100", **parts)
    assert answer.status_code == 200, answer.text
    for name, array in wanted.items():
        np.testing.assert_allclose(answer.json()["raw"][name], array, atol=LOGITS, rtol=0, err_msg=name)
    return answer.json()["outputs"], wanted


def probabilities(folder: Path, logits: NDArray[Any]) -> dict[str, Any]:
    names = transformers.AutoConfig.from_pretrained(session(folder)[1]).id2label
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return {names[i]: pytest.approx(float(share), abs=PROBABILITIES) for i, share in enumerate(shares)}


def scores(answer: dict[str, Any]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in answer["top"]}


@pytest.mark.parametrize("family", ["vit", "resnet", *exports.pictures.CLASSIFIERS])
def test_pictures_are_classified(server: Server, folders: dict[str, Path], family: str) -> None:
    for make in PICTURES.values():
        outputs, wanted = check(server, folders[family], image=make())
        assert scores(outputs["classification"]) == probabilities(folders[family], wanted["logits"])


def test_pictures_become_vectors(server: Server, folders: dict[str, Path]) -> None:
    for make in PICTURES.values():
        outputs, wanted = check(server, folders["dinov2"], image=make())
        np.testing.assert_allclose(outputs["embedding"]["embedding"], wanted["pooler_output"], atol=LOGITS)


@pytest.mark.parametrize("family", ["detr", "yolos", "rt-detr"])
def test_things_are_found(server: Server, folders: dict[str, Path], family: str) -> None:
    """Boxes and scores of transformers' post_process_object_detection, in pixels of the upright picture."""
    folder = folders[family]
    for kind, make in PICTURES.items():
        data = make()
        try:
            wanted = expected(folder, {"image": data})
        except (ValueError, ZeroDivisionError):  # transformers rounds a thin picture down to a side of nothing
            assert (family, kind) == ("yolos", "wide")
            continue
        for threshold in (0.0, 0.3):
            query = f"?raw=true&threshold={threshold}"
            answer = server.predict(model=family, headers=None, query=query, image=data).raise_for_status().json()
            for name, array in wanted.items():
                np.testing.assert_allclose(answer["raw"][name], array, atol=LOGITS, rtol=0)
            found = answer["outputs"]["detection"]["detections"]
            compare(found, processor_boxes(folder, wanted, opened(data).size, threshold), max(opened(data).size))


def processor_boxes(folder: Path, wanted: Arrays, size: tuple[int, int], threshold: float) -> list[tuple[Any, ...]]:
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    names = transformers.AutoConfig.from_pretrained(folder).id2label
    outputs = SimpleNamespace(**{name: torch.from_numpy(array)[None] for name, array in wanted.items()})
    (made,) = processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=[size[::-1]])
    rows = zip(made["scores"].tolist(), made["labels"].tolist(), made["boxes"].tolist(), strict=True)
    return [(score, names[label], box) for score, label, box in rows]


def compare(found: list[dict[str, Any]], wanted: list[tuple[Any, ...]], side: int) -> None:
    assert len(found) == len(wanted)
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    for score, label, box in wanted:
        assert any(
            one["label"] == label
            and abs(one["score"] - score) < PROBABILITIES
            and np.abs(np.subtract(one["box"], box)).max() < BOXES * side
            for one in found
        )


def test_texts_get_several_labels(server: Server, folders: dict[str, Path]) -> None:
    for text in TEXTS:
        outputs, wanted = check(server, folders["bert-multilabel"], text=text.encode())
        shares = dict(zip(("calm", "glad", "cross"), 1 / (1 + np.exp(-wanted["logits"])), strict=True))
        assert scores(outputs["multilabel"]) == pytest.approx(shares, abs=PROBABILITIES)
        over = {name for name, share in shares.items() if share >= 0.5}
        assert {one["label"] for one in outputs["multilabel"]["labels"]} == over


def test_texts_get_a_number(server: Server, folders: dict[str, Path]) -> None:
    for text in TEXTS:
        outputs, wanted = check(server, folders["roberta-regression"], text=text.encode())
        assert outputs["regression"] == {"value": pytest.approx(float(wanted["logits"][0]), abs=LOGITS)}


def test_texts_are_classified(server: Server, folders: dict[str, Path]) -> None:
    for text in TEXTS:
        outputs, wanted = check(server, folders["distilbert"], text=text.encode())
        assert scores(outputs["classification"]) == probabilities(folders["distilbert"], wanted["logits"])


def test_texts_become_vectors(server: Server, folders: dict[str, Path]) -> None:
    for text in TEXTS:
        outputs, wanted = check(server, folders["mpnet"], text=text.encode())
        mean = wanted["last_hidden_state"].mean(0)
        np.testing.assert_allclose(outputs["embedding"]["embedding"], mean / np.linalg.norm(mean), atol=PROBABILITIES)


def test_texts_become_vectors_in_all_ways_of_sentence_transformers(server: Server, folders: dict[str, Path]) -> None:
    folder = folders["sentences"]
    reader = transformers.AutoTokenizer.from_pretrained(folder / "0_Transformer")
    graph, _ = session(folder)
    for text in TEXTS:
        row = reader(
            [("Fox: " + text).lower()], truncation=True, max_length=30, return_tensors="np", return_token_type_ids=True
        )
        tokens = graph.run(None, {port.name: row[port.name] for port in graph.get_inputs()})[0][0]
        places = np.arange(1, len(tokens) + 1)[:, None]
        ways = [
            tokens[0], tokens.max(0), tokens.mean(0), tokens.sum(0) / np.sqrt(len(tokens)),
            (tokens * places).sum(0) / places.sum(), tokens[-1],
        ]  # fmt: skip
        answer = server.predict(model="sentences", text=text.encode()).raise_for_status().json()
        vector = answer["outputs"]["embedding"]["embedding"]
        np.testing.assert_allclose(vector, np.concatenate(ways), atol=LOGITS)


@pytest.mark.parametrize("family", ["spectrogram", "wav2vec2", "wav2vec2-group", "wav2vec2-layer"])
def test_sounds_are_classified(server: Server, folders: dict[str, Path], family: str) -> None:
    for data in sounds().values():
        outputs, wanted = check(server, folders[family], audio=data)
        assert scores(outputs["classification"]) == probabilities(folders[family], wanted["logits"])


def test_sounds_become_vectors(server: Server, folders: dict[str, Path]) -> None:
    for data in sounds().values():
        outputs, wanted = check(server, folders["whisper"], audio=data)
        mean = wanted["last_hidden_state"].mean(0)
        np.testing.assert_allclose(outputs["embedding"]["embedding"], mean, atol=LOGITS)


def test_a_recording_too_short_for_the_model_is_the_clients_fault(server: Server) -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(20), 16000, "PCM_16", format="WAV")
    for family, least in (("wav2vec2", "45"), ("spectrogram", "400")):
        answer = server.predict(model=family, audio=out.getvalue())
        assert (answer.status_code, answer.json()["part"]) == (422, "audio")
        assert least in answer.json()["detail"]


@cache
def sounds() -> dict[str, bytes]:
    """Rates, channels, encodings; shorter and longer than any window here."""
    made = {}
    for rate, channels, seconds, kind, subtype in SOUNDS:
        out = io.BytesIO()
        soundfile.write(out, sound(rate, channels, seconds), rate, subtype, format=kind)
        made[f"{kind} {rate}"] = out.getvalue()
    return made


# -- labels of the request --------------------------------------------------------------------------------------------

CANDIDATES = [["a cat", "a dog"], ["red", "a very long label " * 9, "42", "\u00dcn\u00efc\u00f6d\u00e9"], ["only one"]]


def prompted(folder: Path, labels: list[str], template: str, parts: Mapping[str, bytes], logits: str) -> NDArray[Any]:
    """The graph's own comparison of one picture or sound with all sentences."""
    graph, _ = session(folder)
    names = {port.name: port for port in graph.get_inputs()}
    padding = "max_length" if folder.name == "siglip" else True
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = [template.replace("{}", label) for label in labels]
    row = reader(sentences, truncation=True, max_length=LENGTHS[folder.name], padding=padding, return_tensors="np")
    given = {**row, **processed(folder, parts, None)}
    feed: Arrays = {name: np.asarray(given[name]).astype(TYPES[port.type]) for name, port in names.items()}
    return np.asarray(graph.run([logits], feed)[0][0])


def compared(folder: Path, labels: list[str], template: str, parts: Mapping[str, bytes]) -> NDArray[Any]:
    """The same of two graphs, by the scale that the model began with."""
    inner = folder / "onnx"
    graphs = [onnxruntime.InferenceSession(str(inner / f"{name}_model.onnx")) for name in ("text", "vision")]
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = [template.replace("{}", label) for label in labels]
    row = reader(sentences, truncation=True, max_length=LENGTHS[folder.name], padding=True, return_tensors="np")
    text = graphs[0].run(None, {port.name: row[port.name] for port in graphs[0].get_inputs()})[0]
    image = graphs[1].run(None, {"pixel_values": np.asarray(processed(folder, parts, None)["pixel_values"])})[0]
    text, image = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True) for vectors in (text, image))
    return np.asarray(np.exp(2.6592) * (text @ image[0]))


def wanted_logits(folder: Path, labels: list[str], template: str, parts: Mapping[str, bytes]) -> NDArray[Any]:
    if folder.name == "clip-towers":
        return compared(folder, labels, template, parts)
    return prompted(folder, labels, template, parts, "logits_per_audio" if "audio" in parts else "logits_per_image")


def shares_of(family: str, logits: NDArray[Any]) -> NDArray[Any]:
    if family == "siglip":
        return np.asarray(1 / (1 + np.exp(-logits)))
    return np.asarray(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())


def asked(server: Server, family: str, labels: list[str], query: str = "", **parts: bytes) -> httpx.Response:
    return server.predict(
        model=family, headers=None, query=f"?raw=true&top_k=100{query}", **parts, labels=json.dumps(labels).encode()
    )


@pytest.mark.parametrize("family", ["clip", "clip-logits", "clip-towers", "siglip"])
def test_pictures_get_one_of_the_labels_that_the_request_names(
    server: Server, folders: dict[str, Path], family: str
) -> None:
    for labels in CANDIDATES:
        for make in PICTURES.values():
            data = make()
            answer = asked(server, family, labels, image=data).raise_for_status().json()
            logits = wanted_logits(folders[family], labels, "This is a photo of {}.", {"image": data})
            np.testing.assert_allclose(answer["raw"]["logits_per_image"], logits, atol=LOGITS)
            assert list(answer["outputs"]) == ["classification"]
            found = [scores(answer["outputs"]["classification"])[label] for label in labels]
            np.testing.assert_allclose(found, shares_of(family, logits), atol=4 * PROBABILITIES)


@pytest.mark.parametrize("family", ["clap", "clap-fusion"])
def test_sounds_get_one_of_the_labels_that_the_request_names(
    server: Server, folders: dict[str, Path], family: str
) -> None:
    labels = ["rain", "a dog that barks", "music"]
    for data in sounds().values():
        answer = asked(server, family, labels, audio=data).raise_for_status().json()
        logits = wanted_logits(folders[family], labels, "This is a sound of {}.", {"audio": data})
        np.testing.assert_allclose(answer["raw"]["logits_per_audio"], logits, atol=LOGITS)
        found = [scores(answer["outputs"]["classification"])[label] for label in labels]
        np.testing.assert_allclose(found, shares_of(family, logits), atol=4 * PROBABILITIES)


def test_labels_and_template_may_stand_in_form_query_or_json(server: Server, folders: dict[str, Path]) -> None:
    data = PICTURES["large"]()
    labels, template = ["cat", "dog"], "no {} at all"
    path = "/v1/models/clip/predict"
    form = {"labels": json.dumps(labels), "template": template}
    image = {"base64": base64.b64encode(data).decode()}
    answers = [
        server.client.post(path, data=form, files={"image": data}),
        server.client.post(path, params=form, files={"image": data}),
        server.client.post(path, json={"inputs": {"image": image}, "labels": labels, "template": template}),
    ]
    found = [answer.raise_for_status().json()["outputs"] for answer in answers]
    assert found[0] == found[1] == found[2]
    shares = shares_of("clip", wanted_logits(folders["clip"], labels, template, {"image": data}))
    assert scores(found[0]["classification"]) == pytest.approx(
        dict(zip(labels, shares, strict=True)), abs=PROBABILITIES
    )


def test_without_labels_the_vectors_are_the_answer(server: Server, folders: dict[str, Path]) -> None:
    data, text = PICTURES["large"](), "a small red fox"
    graph, _ = session(folders["clip"])
    row = processed(folders["clip"], {"image": data, "text": text.encode()}, 40)
    outputs = dict(
        zip(
            [port.name for port in graph.get_outputs()],
            graph.run(None, {name: row[name] for name in ("input_ids", "attention_mask", "pixel_values")}),
            strict=True,
        )
    )
    for family in ("clip", "clip-logits"):
        both = server.predict(model=family, image=data, text=text.encode()).raise_for_status().json()["outputs"]
        assert list(both) == ["embedding"]
        np.testing.assert_allclose(
            both["embedding"]["embedding"]["image"], outputs["image_embeds"][0], atol=PROBABILITIES
        )
        np.testing.assert_allclose(
            both["embedding"]["embedding"]["text"], outputs["text_embeds"][0], atol=PROBABILITIES
        )
    alone = server.predict(model="clip", text=text.encode()).raise_for_status().json()
    assert alone["outputs"]["embedding"]["embedding"].keys() == {"text"}
    assert alone["parts"] == {"text": {"used": True}, "image": {"used": False}}


@pytest.mark.parametrize(
    ("query", "parts", "status", "part"),
    [
        ("?labels=[]", {"image": b""}, 400, None), ('?labels=["a","a"]', {"image": b""}, 400, None),
        ('?labels=["a"]', {"text": b"fox"}, 422, "image"), ('?labels=["a"]&template=none', {"image": b""}, 400, None),
        ("?labels=a", {"image": b""}, 400, None), ('?labels=["a"]&threshold=0.5', {"image": b""}, 400, None),
    ],
    ids=str,
)  # fmt: skip
def test_labels_that_cannot_be_are_the_clients_fault(
    server: Server, query: str, parts: dict[str, bytes], status: int, part: str | None
) -> None:
    given = {name: data or PICTURES["small"]() for name, data in parts.items()}
    answer = server.predict(model="clip", headers=None, query=query, **given)
    assert answer.status_code == status
    assert answer.json().get("part") == part


def test_a_long_label_is_too_large(server: Server) -> None:
    answer = asked(server, "clip", ["a", "b" * 40_000], image=PICTURES["small"]())
    assert (answer.status_code, answer.json()["code"], answer.json()["part"]) == (413, "too_large", "labels")


# -- a wrong step is seen ---------------------------------------------------------------------------------------------

WRONG: list[tuple[str, str, Any]] = [  # family, key of the manifest, another value
    ("vit", "inputs.image.resize.resample", "bicubic"), ("vit", "inputs.image.mean", [0.485, 0.456, 0.406]),
    ("vit", "inputs.image.std", [0.51, 0.5, 0.5]), ("vit", "inputs.image.channels", "BGR"),
    ("vit", "inputs.image.scale", 1 / 256), ("resnet", "inputs.image.resize.edge", 55),
    ("resnet", "inputs.image.resize", {"to": "exact", "height": 48, "width": 48, "resample": "bicubic"}),
    ("mobilevit", "inputs.image.channels", "RGB"), ("efficientnet", "inputs.image.offset", 0.0),
    ("yolos", "inputs.image.resize.multiple_of", 1), ("whisper", "inputs.audio.features.window", "hann_symmetric"),
    ("whisper", "inputs.audio.features.range", 7.0), ("spectrogram", "inputs.audio.features.preemphasis", 0.0),
    ("spectrogram", "inputs.audio.features.frame", "n_fft"), ("clap", "inputs.audio.fill", "silence"),
    ("wav2vec2", "inputs.audio.features.normalize", "none"), ("mpnet", "inputs.text.max_tokens", 12),
    ("sentences", "inputs.text.prefix", ""), ("siglip", "inputs.text.pad_to", 15),
]  # fmt: skip


@pytest.mark.parametrize(("family", "key", "value"), WRONG, ids=str)
def test_a_wrong_step_is_seen_before_a_model_is_served(
    bundles: Path, tmp_path: Path, family: str, key: str, value: Any
) -> None:
    folder = tmp_path / family
    shutil.copytree(bundles / family, folder)
    Model(read(folder)).prove()
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    *above, last = key.split(".")
    inner = functools.reduce(operator.getitem, above, manifest)
    assert inner.get(last) != value
    inner[last] = value
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(BundleError):
        Model(read(folder)).prove()


# -- several parts, company -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_a_fused_model_answers_for_any_of_its_parts(
    server: Server, folders: dict[str, Path], there: tuple[int, int, int]
) -> None:
    folder = folders["fused"]
    everything = {"text": TEXTS[0].encode(), "image": PICTURES["large"](), "audio": next(iter(sounds().values()))}
    parts = {name: data for (name, data), here in zip(everything.items(), there, strict=True) if here}
    row = {
        "input_ids": [[0]],
        "attention_mask": [[0]],
        "pixel_values": np.zeros((1, 3, 48, 48)),
        "input_values": np.zeros((1, 64, 32)),
    }
    if "text" in parts:
        row |= processed(folder, {"text": parts["text"]}, 40)
    if "image" in parts:
        row |= processed(folder, {"image": parts["image"]}, None)
    if "audio" in parts:
        extractor = transformers.ASTFeatureExtractor.from_pretrained(folder / "audio_preprocessor_config.json")
        samples, _ = librosa.load(io.BytesIO(parts["audio"]), sr=16000)
        row |= extractor(samples, sampling_rate=16000, return_tensors="np")
    graph, _ = session(folder)
    feed = {**row, "modality_mask": [there]}
    feed = {port.name: np.asarray(feed[port.name]).astype(TYPES[port.type]) for port in graph.get_inputs()}
    logits, weights, vector = (array[0] for array in graph.run(None, feed))
    answer = server.predict(model="fused", headers=None, query="?raw=true&top_k=9", **parts).raise_for_status().json()
    np.testing.assert_allclose(answer["raw"]["logits"], logits, atol=LOGITS)
    np.testing.assert_allclose(answer["outputs"]["embedding"]["embedding"], vector, atol=LOGITS)
    found = [scores(answer["outputs"]["classification"])[label] for label in "abc"]
    np.testing.assert_allclose(found, shares_of("fused", logits), atol=PROBABILITIES)
    for name, weight, here in zip(everything, weights, there, strict=True):
        assert answer["parts"][name] == (
            {"used": True, "weight": pytest.approx(weight, abs=PROBABILITIES)} if here else {"used": False}
        )


ALONE: list[tuple[str, str]] = [
    *((name, "image") for name in ("vit", "detr", "yolos", "rt-detr", "clip", "siglip")),
    *(
        (name, "audio")
        for name in ("whisper", "spectrogram", "wav2vec2", "wav2vec2-group", "wav2vec2-layer", "clap", "clap-fusion")
    ),
    *((name, "text") for name in ("bert-multilabel", "roberta-regression", "distilbert", "mpnet", "clip")),
]


@pytest.mark.parametrize(("family", "part"), ALONE)
def test_an_answer_does_not_depend_on_its_company(server: Server, family: str, part: str) -> None:
    datas = {
        "image": [make() for name, make in PICTURES.items() if name != "large"],
        "audio": list(sounds().values()),
        "text": [text.encode() for text in TEXTS],
    }[part]

    def ask(data: bytes) -> Any:
        given = {part: data}
        while (answer := server.predict(model=family, headers=None, query="?raw=true", **given)).status_code == 429:
            time.sleep(0.2)  # a busy machine says so
        return answer.raise_for_status().json()["raw"]

    alone = [ask(data) for data in datas]
    with ThreadPoolExecutor(len(datas)) as pool:
        together = list(pool.map(ask, datas * 3))
    for one, other in zip(alone * 3, together, strict=True):
        for name, values in one.items():
            width = len(values)  # of what has a value a token, the rest is padding
            np.testing.assert_allclose(other[name][:width], values, atol=1e-5, err_msg=name)


def test_labels_are_shared_by_requests_that_name_the_same(server: Server, folders: dict[str, Path]) -> None:
    pictures = [make() for make in PICTURES.values()]

    def ask(number: int) -> Any:
        labels = ["x", f"y{number % 3}", "z"]
        return labels, asked(server, "clip", labels, image=pictures[number % len(pictures)]).raise_for_status().json()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(60)))
    for number, (labels, answer) in enumerate(answers):
        data = pictures[number % len(pictures)]
        logits = wanted_logits(folders["clip"], labels, "This is a photo of {}.", {"image": data})
        np.testing.assert_allclose(answer["raw"]["logits_per_image"], logits, atol=LOGITS)


# -- the page ---------------------------------------------------------------------------------------------------------

PAGE = (ROOT / "models/importers/README.md").read_text()
IMPORTS = [line for line in PAGE.splitlines() if line.startswith("python -m models import huggingface ")]
CALLS = [line for line in PAGE.split("## Any other graph")[0].splitlines() if line.startswith("curl ")]


def test_commands_of_the_page_lead_from_an_export_to_an_answer(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(PICTURES["large"]())
    (tmp_path / "bark.wav").write_bytes(sounds()["WAV 16000"])
    assert len(IMPORTS) == len(CALLS) > 7
    for command in IMPORTS:
        folder = shlex.split(command)[5]
        (tmp_path / folder).symlink_to(folders[folder])
        code = shlex.join([sys.executable, "-W", "ignore"]) + command.removeprefix("python")
        run = subprocess.run(code, shell=True, capture_output=True, cwd=tmp_path, text=True, env=PATHS, check=False)
        assert run.returncode == 0, run.stderr
    with serve(tmp_path / "bundles") as server:
        for call in CALLS:
            line = call.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
            run = subprocess.run(f"{line} -sf", shell=True, capture_output=True, cwd=tmp_path, text=True, check=False)
            assert run.returncode == 0, call
            answer = json.loads(run.stdout)
            assert answer.get("outputs") or len(answer["data"]) == 2
