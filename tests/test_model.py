"""A loaded bundle: rows are independent of each other, and a bundle that is not what training made does not load."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import bundle as bundles
from service.bundle import Bundle
from service.errors import BundleError, MissingPart, RequestError, SettingsError, UnknownPart, UnsupportedType
from service.model import Model
from service.types import Row
from tests import senses

WHITE = senses.png(255)
SUBSETS = st.fixed_dictionaries(
    {},
    optional={
        "text": st.integers(1, 16).map(lambda n: b"a " * n),
        "image": st.integers(0, 255).map(senses.png),
        "audio": st.tuples(st.sampled_from([0.25, 0.5, 1.0]), st.integers(1, 20)).map(
            lambda sound: senses.wav(sound[0] * 0.99, sound[1] / 20)
        ),
    },
).filter(bool)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Model:
    return Model(bundle)


def alone(model: Model, parts: dict[str, bytes]) -> Row:
    return model.run([model.encode(parts, {})])[0]


def test_the_fixture_computes_what_can_be_checked(model: Model) -> None:
    answer = alone(model, {"text": b"a b c", "image": WHITE, "audio": senses.wav(0.5)})
    np.testing.assert_allclose(answer["measures"], [3, 1, 0.5], rtol=1e-6)


@given(requests=st.lists(SUBSETS, min_size=1, max_size=8))
def test_alone_is_in_company(model: Model, requests: list[dict[str, bytes]]) -> None:
    together = model.run([model.encode(parts, {}) for parts in requests])
    for parts, answer in zip(requests, together, strict=True):
        for name, expected in alone(model, parts).items():
            np.testing.assert_allclose(answer[name], expected, rtol=1e-5, atol=1e-5)


@given(requests=st.lists(SUBSETS, min_size=1, max_size=4))
def test_a_static_batch_axis_gives_the_same_answers(
    model: Model, single: Bundle, requests: list[dict[str, bytes]]
) -> None:
    one = Model(single)
    assert one.most == 1
    rows = [model.encode(parts, {}) for parts in requests]
    for ours, theirs in zip(one.run(rows), model.run(rows), strict=True):
        np.testing.assert_allclose(ours["measures"], theirs["measures"], rtol=1e-5)


def test_an_absent_part_counts_for_nothing(model: Model) -> None:
    requests: list[dict[str, bytes]] = [{"text": b"a"}, {"image": WHITE}, {"audio": senses.wav()}]
    rows = [model.encode(parts, {}) for parts in requests]
    measures = np.stack([row["measures"] for row in model.run(rows)])
    np.testing.assert_allclose(measures, np.diag([1, 1, 0.5]))


def test_the_answer_says_what_was_used_and_how_much(model: Model) -> None:
    parts = {"text": b"a", "audio": senses.wav()}
    answer = model.decode(alone(model, parts), parts)
    assert answer["parts"] == {
        "text": {"used": True, "weight": 0.5},
        "image": {"used": False},
        "audio": {"used": True, "weight": 0.5},
    }
    assert answer["outputs"]["sense"]["label"] == "tokens"
    assert [entry["label"] for entry in answer["outputs"]["sense"]["top"]] == ["tokens", "loudness", "brightness"]


def test_raw_adds_the_graphs_own_numbers(model: Model) -> None:
    parts = {"image": WHITE}
    assert model.decode(alone(model, parts), parts, raw=True)["raw"] == {"measures": [0, 1, 0], "share": [0, 1, 0]}


def test_every_part_is_timed(model: Model) -> None:
    stages: dict[str, float] = {}
    model.encode({"text": b"a", "image": WHITE}, stages)
    assert list(stages) == ["encode.text", "encode.image"]
    assert min(stages.values()) > 0


def test_parts_are_refused_by_name(model: Model, strict: Bundle) -> None:
    with pytest.raises(UnknownPart, match="text, image, audio"):
        model.encode({"smell": b"rose"}, {})
    with pytest.raises(MissingPart, match="at least one of text, image, audio"):
        model.encode({}, {})
    with pytest.raises(UnsupportedType) as unsupported:
        model.encode({"text": b"a", "image": b"a"}, {})
    assert unsupported.value.part == "image"
    with pytest.raises(MissingPart) as missing:
        Model(strict).encode({"text": b"a", "image": WHITE}, {})
    assert missing.value.part == "audio"


BROKEN = st.fixed_dictionaries({"text": st.just(b"a\xff")} | dict.fromkeys(("image", "audio"), st.just(b"broken")))


@given(parts=SUBSETS, broken=BROKEN, bad=st.sets(st.sampled_from(["text", "image", "audio"])))
def test_shares_side_by_side_are_the_whole(
    model: Model, parts: dict[str, bytes], broken: dict[str, bytes], bad: set[str]
) -> None:
    parts = parts | {name: broken[name] for name in bad & parts.keys()}
    stages: dict[str, float] = {}
    shares = model.shares(parts)
    assert sorted(name for share in shares for name in share) == sorted(parts)
    rows = [model.encode_share(parts, share, stages) for share in shares]
    if bad & parts.keys():
        with pytest.raises(RequestError) as first:
            model.encode(parts, {})
        with pytest.raises(type(first.value)) as again:
            model.whole(rows)
        assert (again.value.part, again.value.detail) == (first.value.part, first.value.detail)
        return
    expected, together = model.encode(parts, {}), model.whole(rows)
    assert together.keys() == expected.keys()
    assert all(np.array_equal(together[name], expected[name]) for name in expected)
    assert stages.keys() == {f"encode.{name}" for name in parts}


def test_a_provider_that_is_not_there_is_an_error_and_no_fallback(bundle: Bundle) -> None:
    with pytest.raises(SettingsError, match="'Abacus' is not in this installation of onnxruntime, which has"):
        Model(bundle, providers=("Abacus",))


# -- the start is a proof ---------------------------------------------------------------------------------------------


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """To be broken."""
    return Path(shutil.copytree(bundle.folder, tmp_path / "copy"))


Change = Callable[[dict[str, Any], Row, Row], object]


def rewritten(folder: Path, change: Change, parts: set[str] | None = None) -> Bundle:
    """The bundle with another manifest or example, digests and all."""
    made = bundles.read(folder)
    document = made.manifest.model_dump(by_alias=True, exclude_unset=True)
    _, row, outputs = made.example()
    change(document, row, outputs)
    shutil.rmtree(folder / "example")
    files = {"text": ("txt", b"a white noise"), "image": ("png", senses.png(51)), "audio": ("wav", senses.wav(0.25))}
    kept = {name: file for name, file in files.items() if parts is None or name in parts}
    return bundles.write(folder, bundles.Manifest.model_validate(document), kept, row, outputs)


def refused(made: Bundle) -> str:
    with pytest.raises(BundleError) as refusal:
        Model(made).prove()
    line = str(refusal.value)
    assert "\n" not in line
    return line


def test_a_bundle_as_it_was_written_is_proven_exactly(bundle: Bundle) -> None:
    assert set(Model(bundle).replay()) == {
        "ids",
        "mask",
        "pixels",
        "pixels:frame",
        "samples",
        "sample_mask",
        "present",
        "measures",
        "share",
    }
    assert max(Model(bundle).replay().values()) == 0


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        (lambda m, row, out: row["pixels"].__iadd__(0.001), "pixels"),
        (lambda m, row, out: row["ids"].__iadd__(1), "ids"),
        (lambda m, row, out: row.update(ids=row["ids"][:1]), "ids"),
        (lambda m, row, out: row.update(more=row["ids"]), "more"),
        (lambda m, row, out: out["measures"].__iadd__(0.001), "measures"),
        (lambda m, row, out: out["measures"].__imul__(np.nan), "measures"),
        (lambda m, row, out: out.update(share=out["share"][:1]), "share"),
        (lambda m, row, out: m["inputs"]["image"].update(mean=[0.001]), "pixels"),
        (lambda m, row, out: m["inputs"]["image"].update(std=[1.01]), "pixels"),
        (lambda m, row, out: m["inputs"]["image"].update(scale=1 / 256), "pixels"),
        (lambda m, row, out: m["inputs"]["text"].update(max_tokens=2), "ids"),
        (lambda m, row, out: m["inputs"]["audio"].update(level="peak"), "samples"),
    ],
)
def test_a_difference_to_training_names_the_tensor(copy: Path, change: Change, tensor: str) -> None:
    assert f"tensor '{tensor}' of the example" in refused(rewritten(copy, change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda m, row, out: m["outputs"]["sense"]["labels"].append("smell"),
            "'measures' has 3 classes, the manifest 4",
        ),
        (
            lambda m, row, out: m["outputs"]["sense"].update(tensor="x"),
            "'sense': no tensor 'x'; the graph has 'measures'",
        ),
        (lambda m, row, out: m["prior"].update(smell=[0]), "prior: no tensor 'smell'; the graph has 'measures'"),
        (lambda m, row, out: m["prior"]["measures"].pop(), "prior: 'measures' has 3 values, the manifest 2"),
        (lambda m, row, out: m["inputs"].pop("audio"), "no part feeds the graph's inputs 'sample_mask', 'samples'"),
        (lambda m, row, out: m.update(missing={"policy": "reject"}), "no part feeds the graph's inputs 'present'"),
        (lambda m, row, out: m["inputs"]["image"]["tensors"].update(pixels="x"), "'pixels'"),
        (lambda m, row, out: m["inputs"]["text"]["tensors"].update(types="types"), "the manifest names 'types'"),
        (
            lambda m, row, out: m["inputs"]["audio"]["tensors"].pop("mask"),
            "no part feeds the graph's inputs 'sample_mask'",
        ),
    ],
)
def test_what_does_not_fit_the_graph_is_named(copy: Path, change: Change, words: str) -> None:
    assert words in refused(rewritten(copy, change))


@pytest.mark.parametrize("change", [{"height": 4}, {"width": 9}])
def test_a_shape_that_the_graph_cannot_take_is_refused(copy: Path, change: dict[str, int]) -> None:
    assert "pixels" in refused(rewritten(copy, lambda m, row, out: m["inputs"]["image"]["resize"].update(change)))


def test_a_graph_that_is_none_is_named(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model.onnx: not a readable ONNX graph"):
        rewritten_graph(copy)
    wrong = senses.graph(masked=True, slow=0, batch="batch")
    wrong.graph.node[0].op_type = "Gothar"
    onnx.save(wrong, copy / "model.onnx")
    assert "model.onnx: onnxruntime cannot load it" in refused(rewritten_graph(copy))


def test_a_batch_axis_of_more_than_one_is_refused(copy: Path) -> None:
    onnx.save(senses.graph(masked=True, slow=0, batch=4), copy / "model.onnx")
    assert "batch axis is 4; it must be dynamic or 1" in refused(rewritten_graph(copy))


def test_an_example_that_cannot_be_encoded_is_refused(copy: Path, strict: Bundle) -> None:
    shutil.rmtree(copy)
    shutil.copytree(strict.folder, copy)
    assert "audio" in refused(rewritten(copy, lambda m, row, out: None, parts={"text", "image"}))


def test_an_example_that_the_graph_fails_on_is_refused(copy: Path) -> None:
    made = bundles.read(copy)
    outputs = made.example()[2]
    spec, parts = made.manifest, {"text": ("txt", b"poison")}
    for name in ("image.png", "audio.wav"):
        (copy / "example" / name).unlink()
    assert "example" in refused(bundles.write(copy, spec, parts, {"ids": np.array([13])}, outputs))


def rewritten_graph(folder: Path) -> Bundle:
    """The bundle after its graph was exchanged: digests follow."""
    document = bundles.Manifest.model_validate(senses.manifest())
    files = {"text": ("txt", b"a white noise"), "image": ("png", senses.png(51)), "audio": ("wav", senses.wav(0.25))}
    row, outputs = (bundles.arrays(folder / "example" / name) for name in ("row.npz", "outputs.npz"))
    return bundles.write(folder, document, files, row, outputs)


def test_few_bytes_that_hold_many_pixels_or_samples_are_seen_at_a_glance(bundle: Bundle) -> None:
    """Else they would be decoded on the event loop, and probes would wait for them."""
    model = Model(bundle)
    bomb = io.BytesIO()
    PIL.Image.new("L", (5000, 5000)).save(bomb, "PNG")
    photo = io.BytesIO()
    PIL.Image.new("L", (5000, 5000)).save(photo, "JPEG", quality=1)
    assert len(bomb.getvalue()) < 50_000
    assert model.bulk({"image": bomb.getvalue()}) == 25_000_000
    assert model.bulk({"image": photo.getvalue()}) > 5_000_000
    assert model.bulk({"audio": b"fLaC" + bytes(1000)}) > 50 * model.bulk({"audio": b"RIFF" + bytes(1000)})
