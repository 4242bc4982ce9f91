"""A large graph's weights lie in memory once, whatever number of sessions reads them, and cannot be changed."""

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from service import engine
from service.engine import Engine, share
from service.types import FLOAT, Array
from service.weights import Shared

CHANNELS, SIDE = 512, 4


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a product, of 11 MiB of weights, and a small constant that stays in the graph."""
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(0, 0.01, (CHANNELS, CHANNELS, 3, 3)).astype(FLOAT),
        "matrix": random.normal(0, 0.01, (CHANNELS * SIDE * SIDE, 64)).astype(FLOAT),
        "shape": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["h", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["y"]),
    ]
    made = helper.make_graph(
        nodes, "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", CHANNELS, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    file = tmp_path_factory.mktemp("large") / "model.onnx"
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file


def feed(rows: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(rows).normal(size=(rows, CHANNELS, SIDE, SIDE)).astype(FLOAT)}


def shared(graph: Path) -> Shared:
    made = share(graph, ["CPU"])
    assert isinstance(made, Shared)
    return made


@pytest.mark.parametrize("threads", [1, 2])
def test_the_answers_are_those_of_the_graph_itself(graph: Path, threads: int) -> None:
    plain, ours = Engine(graph, ["CPU"], threads), Engine(shared(graph), ["CPU"], threads)
    assert ours.inputs == plain.inputs
    assert ours.outputs == plain.outputs
    for rows in (1, 3):
        assert np.array_equal(ours(feed(rows))[0], plain(feed(rows))[0])


def test_a_second_session_takes_no_second_copy(graph: Path) -> None:
    made = shared(graph)
    size = sum(array.nbytes for array in made.weights.values())
    assert size > 0.99 * graph.stat().st_size
    first = Engine(made, ["CPU"], 1)
    first(feed(1))
    before = anonymous()
    rest = [Engine(made, ["CPU"], 1) for _ in range(4)]
    for one in rest:
        assert np.array_equal(one(feed(1))[0], first(feed(1))[0])
    packed = made.weights["matrix"].nbytes  # which onnxruntime arranges anew for each session
    assert anonymous() - before < len(rest) * (packed + size / 4)


def test_what_a_session_has_packed_does_not_stay_in_memory_twice(graph: Path) -> None:
    before = resident()
    made = shared(graph)
    ours = Engine(made, ["CPU"], 1)
    answer = ours(feed(1))[0]
    matrix = made.weights["matrix"].nbytes
    kernel = sum(array.nbytes for array in made.weights.values()) - matrix
    assert resident() - before < kernel + matrix / 2  # the matrix was packed
    ours = Engine(made, ["CPU"], 1)
    assert resident() - before < kernel / 2  # until it is read again
    assert np.array_equal(ours(feed(1))[0], answer)


def test_sessions_outlive_what_they_were_made_of(graph: Path) -> None:
    ours = Engine(shared(graph), ["CPU"], 1)
    assert np.array_equal(ours(feed(2))[0], Engine(graph, ["CPU"], 1)(feed(2))[0])


def test_nobody_can_change_the_weights(graph: Path) -> None:
    for array in shared(graph).weights.values():
        with pytest.raises(ValueError, match="read-only"):
            array.flat[0] = 1


def test_nothing_stays_in_the_file_system(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    Engine(shared(graph), ["CPU"], 1)
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the map of the weights holds one


def test_without_room_for_small_files_each_session_has_its_own(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    assert share(graph, ["CPU"]) == graph


def test_where_there_is_no_such_memory_each_session_has_its_own(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    assert share(graph, ["CPU"]) == graph


def test_a_small_graph_is_left_as_it_is(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LARGE", graph.stat().st_size + 1)
    assert share(graph, ["CPU"]) == graph


def test_a_file_that_is_no_graph_is_left_for_the_loader_to_refuse(graph: Path, tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(graph.read_bytes()[: engine.LARGE + 1000])
    assert share(broken, ["CPU"]) == broken


def anonymous() -> int:
    """Bytes of memory that is this process's alone."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def resident() -> int:
    """Bytes of all shared weights that are in this process's pages now."""
    areas = re.split(r"\n(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text())
    found = [re.search(r"^Rss:\s+(\d+) kB", area, re.MULTILINE) for area in areas if "memfd:braid-weights" in area]
    return sum(1024 * int(size[1]) for size in found if size)
