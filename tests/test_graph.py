"""What is read of an ONNX file: what the onnx package reads, from whatever bytes, and nothing outside the folder."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from service import graph
from service.errors import BundleError
from tests import senses

KEPT = sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))
DATA = senses.graph(masked=True, slow=0.001, batch="batch").SerializeToString()


def nodes(within: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """However deep."""
    for node in within.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from nodes(inner)


def test_all_models_of_the_onnx_package_are_read_as_it_reads_them() -> None:
    assert len(KEPT) > 100
    for path in KEPT:
        model, found = onnx.load(path), graph.read(path)
        assert found.opsets == {each.domain: each.version for each in model.opset_import}, path
        assert (found.ir, found.producer) == (model.ir_version, model.producer_name), path
        called = [*nodes(model.graph), *(node for function in model.functions for node in nodes(function))]
        assert found.operators == {(node.domain, node.op_type) for node in called}, path
        assert found.functions == {(function.domain, function.name) for function in model.functions}, path
        assert found.files == [], path


def written(folder: Path, data: bytes) -> Path:
    (folder / "model.onnx").write_bytes(data)
    return folder / "model.onnx"


@given(cut=st.integers(0, len(DATA) - 1))
@settings(max_examples=200)
def test_a_file_that_ends_early_is_refused_or_shorter(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = written(tmp_path_factory.mktemp("cut"), DATA[:cut])
    with suppress(BundleError):
        assert graph.read(path).operators <= graph.read(written(path.parent, DATA)).operators


@given(at=st.integers(0, len(DATA) - 1), noise=st.binary(min_size=1, max_size=12))
@settings(max_examples=300)
def test_noise_never_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes) -> None:
    path = written(tmp_path_factory.mktemp("noise"), DATA[:at] + noise + DATA[at + len(noise) :])
    with suppress(BundleError):
        graph.read(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\x3a\xff\xff\xff\xff\x0f", "ends too early"),
        (b"\x3a\x02\x0a\x00" * 3 + b"\x3b", "wire type 3"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "64 bits"),
        (b"\x00\x00", "without a number"),
        (b"\x38\x05", "field 7 of a model is a number"),
        (b"\x08\x08", "no operator"),
        (b"\x3a\x06\x0a\x04\x22\x02\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_wrong_with_the_bytes_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        graph.read(written(tmp_path, data))


def test_messages_within_messages_without_end_are_refused(tmp_path: Path) -> None:
    data = b""
    for _ in range(200):  # graph > node > attribute > graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            data = tag + varint(len(data)) + data
    with pytest.raises(BundleError, match="nested too deep"):
        graph.read(written(tmp_path, b"\x3a" + varint(len(data)) + data))


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number % 128 | 128]), number // 128
    return out + bytes([number])


def outside(location: str, **more: str) -> TensorProto:
    """A tensor whose numbers are elsewhere."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def holding(*tensors: TensorProto, where: str = "initializer") -> bytes:
    made = senses.graph(masked=True, slow=0, batch="batch")
    if where == "initializer":
        made.graph.initializer.extend(tensors)
    elif where == "constant":
        made.graph.node.extend(helper.make_node("Constant", [], ["k"], value=tensor) for tensor in tensors)
    else:
        inner = helper.make_graph([senses.node("Identity", "w", "v")], "inner", [], [], list(tensors))
        made.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("where", ["initializer", "constant", "branch"])
def test_weights_elsewhere_are_found_wherever_they_are_named(tmp_path: Path, where: str) -> None:
    tensors = [outside("a.bin", offset="16", length="8"), outside("./sub/b.bin"), outside("a.bin", length="4")]
    found = graph.read(written(tmp_path, holding(*tensors, where=where)))
    assert found.files == ["a.bin", "sub/b.bin"]
    assert {(one.file, one.end) for one in found.external} == {("a.bin", 24), ("sub/b.bin", 0), ("a.bin", 4)}


def test_tensors_that_say_where_they_were_but_are_here_need_no_file(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.external_data.add(key="location", value="gone.bin")
    assert graph.read(written(tmp_path, holding(tensor))).files == []


@pytest.mark.parametrize(
    "location",
    ["", ".", "../a.bin", "sub/../../a.bin", "/etc/passwd", "..\\a.bin", "C:\\a.bin", "c:a.bin", "a\0.bin", "//a"],
)
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(BundleError, match="no file of the bundle's folder"):
        graph.read(written(tmp_path, holding(outside(location))))


@pytest.mark.parametrize("more", [{"offset": "-1"}, {"length": "1e9"}, {"offset": "²"}, {"offset": "9" * 30}])
def test_weights_at_no_such_place_are_refused(tmp_path: Path, more: dict[str, str]) -> None:
    with pytest.raises(BundleError, match="no such place"):
        graph.read(written(tmp_path, holding(outside("a.bin", **more))))


def test_a_location_given_twice_is_refused(tmp_path: Path) -> None:
    tensor = outside("a.bin")
    tensor.external_data.add(key="location", value="b.bin")
    with pytest.raises(BundleError, match="twice"):
        graph.read(written(tmp_path, holding(tensor)))


def test_operators_of_other_domains_are_custom_unless_the_file_defines_them(tmp_path: Path) -> None:
    made = senses.graph(masked=True, slow=0, batch="batch")
    made.opset_import.extend([helper.make_opsetid("my.ops", 1), helper.make_opsetid("unused", 1)])
    made.graph.node.append(helper.make_node("Own", ["x"], ["y"], domain="my.ops"))
    made.graph.node.append(helper.make_node("FusedGemm", ["x"], ["z"], domain="com.microsoft"))
    made.functions.append(helper.make_function("my.ops", "Own", ["x"], ["y"], [], [helper.make_opsetid("", 18)]))
    path = written(tmp_path, made.SerializeToString())
    assert graph.read(path).custom == []
    graph.check(path, graph.read(path))
    made.graph.node.append(helper.make_node("BertTokenizer", ["x"], ["t"], domain="ai.onnx.contrib"))
    made.functions.pop()
    path = written(tmp_path, made.SerializeToString())
    assert graph.read(path).custom == ["ai.onnx.contrib:BertTokenizer", "my.ops:Own"]
    with pytest.raises(
        BundleError, match=r"ai.onnx.contrib:BertTokenizer, my.ops:Own, which onnxruntime does not have"
    ):
        graph.check(path, graph.read(path))
