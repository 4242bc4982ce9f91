"""Models come, go and change while requests are answered: in all workers, or in none."""

import hashlib
import itertools
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from service.bundle import Bundle
from tests import senses
from tests.process import COMMAND, PATIENCE, PLAIN, Server, environment, eventually, serve

PARTS = {"text": b"a white noise", "image": senses.png(51), "audio": senses.wav(0.25)}
CONNECTIONS = 32
SWAPS = int(os.environ.get("SWAPS", "6"))


@pytest.fixture(scope="session")
def versions(folder: Path) -> dict[int, Path]:
    """Of one model; what version 2 measures is twice what version 1 does."""
    return {version: senses.write(folder / f"version-{version}", version=version).folder for version in (1, 2)}


def put(source: Path, place: Path) -> None:
    """As README says: beside it under a name with a dot, then by renaming; no file is ever half there."""
    draft, old = place.parent / ".new", place.parent / ".old"
    shutil.copytree(source, draft)
    if place.exists():
        place.rename(old)
    draft.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def reload(server: Server) -> dict[str, Any]:
    """What the log says of it."""
    before = len(outcomes(server))
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(outcomes(server)) > before)
    return outcomes(server)[before]


def outcomes(server: Server) -> list[dict[str, Any]]:
    return sorted([*server.events("changed"), *server.events("not changed")], key=lambda event: float(event["time"]))


def workers(server: Server) -> list[int]:
    """Process ids of those that are ready, by index; those of the dead are replaced."""
    return [pid for _, pid in sorted({event["worker"]: event["pid"] for event in server.events("ready")}.items())]


def all_ready(server: Server, count: int) -> None:
    eventually(lambda: len(list(server.events("ready"))) >= count)


def seen(server: Server, asked: int = 12) -> set[str]:
    """Versions that answer, on connections of their own, so that all workers are asked."""
    url = f"http://127.0.0.1:{server.port}/v1/predict?raw=true"
    with httpx.Client(timeout=PATIENCE, headers={"connection": "close"}) as client:
        return {version(client.post(url, json={"inputs": {"text": "a b"}})) for _ in range(asked)}


def version(answer: httpx.Response) -> str:
    """What the manifest says and what the graph measures must be of one version."""
    if answer.status_code != 200:
        return str(answer.status_code)
    document = answer.json()
    assert document["raw"]["measures"][0] == 2 * int(document["version"])
    return str(document["version"])


@pytest.mark.parametrize("count", [1, 2])
def test_a_signal_swaps_in_all_workers(versions: dict[int, Path], tmp_path: Path, count: int) -> None:
    put(versions[1], tmp_path / "senses")
    with serve(tmp_path, BRAID_WORKERS=str(count)) as server:
        all_ready(server, count)
        assert seen(server) == {"1"}
        put(versions[2], tmp_path / "senses")
        assert seen(server) == {"1"}
        said = reload(server)
        assert said["event"] == "changed"
        assert said["loaded"] == [["senses", "2"]]
        assert seen(server) == {"2"}
        eventually(lambda: len(list(server.events("released"))) == count)
        assert reload(server)["kept"] == [["senses", "2"]]
        assert server.metric("braid_model_changes_total", change="reload", result="done") == 2
        assert server.metric("braid_model_info", version="2") == 1
        assert server.metric("braid_model_info", version="1") == 0


def test_what_lies_in_the_folder_is_loaded_and_what_is_gone_is_unloaded(
    bundle: Bundle, strict: Bundle, single: Bundle, tmp_path: Path
) -> None:
    put(bundle.folder, tmp_path / "senses")
    put(strict.folder, tmp_path / "strict")
    with serve(tmp_path, BRAID_WORKERS="2") as server:
        all_ready(server, 2)
        put(single.folder, tmp_path / "single")
        shutil.rmtree(tmp_path / "strict")
        shutil.copytree(strict.folder, tmp_path / ".draft")
        said = reload(server)
        assert said["loaded"] == [["single", "7"]]
        assert said["unloaded"] == [["strict", "7"]]
        assert said["kept"] == [["senses", "7"]]
        assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["senses", "single"]
        assert server.predict(model="single", text=b"a b").status_code == 200
        answer = server.predict(model="strict", text=b"a b")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
        assert server.ready
        assert 'braid_in_flight{model="strict"}' not in server.client.get("/metrics").text


def broken(folder: Path, how: str) -> None:
    if how == "digest":
        (folder / "model.onnx").write_bytes(b"\0" + (folder / "model.onnx").read_bytes())
    elif how == "manifest":
        (folder / "manifest.yaml").write_text("name: [")
    elif how == "graph":
        reseal(folder, "model.onnx", b"no graph")
    elif how == "example":
        reseal(folder, "example/text.txt", b"a b c d e")
    else:
        shutil.rmtree(folder)


def reseal(folder: Path, file: str, data: bytes) -> None:
    """Another file, with a digest that fits."""
    (folder / file).write_bytes(data)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["sha256"][file] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


BROKEN = {
    "digest": "sha256 differs",
    "manifest": "not YAML",
    "graph": "model.onnx: not a readable ONNX graph",
    "example": "of the example",
    "nothing": "no manifest.yaml",
}


def test_a_bad_version_leaves_the_old_one_serving_and_says_why(versions: dict[int, Path], tmp_path: Path) -> None:
    put(versions[1], tmp_path / "senses")
    with serve(tmp_path, BRAID_WORKERS="2") as server:
        all_ready(server, 2)
        for number, (how, words) in enumerate(BROKEN.items(), 1):
            put(versions[2], tmp_path / "senses")
            broken(tmp_path / "senses", how)
            said = reload(server)
            assert said["event"] == "not changed"
            assert said["level"] == "warning"
            assert words in said["error"], how
            assert seen(server) == {"1"}
            assert server.metric("braid_model_changes_total", change="reload", result="failed") == number
        put(versions[2], tmp_path / "senses")
        assert reload(server)["event"] == "changed"
        assert seen(server) == {"2"}


def test_a_request_that_has_begun_is_answered_by_the_version_that_it_began_with(tmp_path: Path) -> None:
    for version_, slow in ((1, 0.6), (2, 0)):
        senses.write(tmp_path / f"{version_}", slow=slow, version=version_)
    folder = tmp_path / "bundles" / "senses"
    folder.parent.mkdir()
    put(tmp_path / "1", folder)
    with serve(folder) as server:
        found: list[str] = []
        asking = threading.Thread(target=lambda: found.append(*seen(server, 1)))
        asking.start()
        eventually(lambda: server.metric("braid_in_flight") == 1)
        put(tmp_path / "2", folder)
        assert reload(server)["event"] == "changed"
        assert seen(server, 1) == {"2"}
        if not found:  # unless this machine was slow, the old version is still at work
            assert not list(server.events("released"))
        asking.join(PATIENCE)
        assert found == ["1"]
        eventually(lambda: len(list(server.events("released"))) == 1)


def test_if_one_worker_cannot_follow_none_does(versions: dict[int, Path], tmp_path: Path) -> None:
    """One is stopped, then killed, while the other has loaded the new version."""
    put(versions[1], tmp_path / "senses")
    with serve(tmp_path, BRAID_WORKERS="2") as server:
        all_ready(server, 2)
        victim = workers(server)[1]
        os.kill(victim, signal.SIGSTOP)
        put(versions[2], tmp_path / "senses")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: [event["version"] for event in server.events("loaded")].count("2") == 1)
        assert not outcomes(server)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: bool(outcomes(server)))
        (said,) = outcomes(server)
        assert "a worker died" in said["error"]
        eventually(lambda: any(server.events("worker failed")))  # the folder no longer holds what is served
        assert seen(server) == {"1"}
        assert reload(server)["event"] == "changed"
        all_ready(server, 3)
        assert seen(server) == {"2"}


def test_a_worker_that_starts_later_loads_what_is_served_now(versions: dict[int, Path], tmp_path: Path) -> None:
    put(versions[1], tmp_path / "senses")
    with serve(tmp_path, BRAID_WORKERS="2") as server:
        all_ready(server, 2)
        put(versions[2], tmp_path / "senses")
        reload(server)
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
        all_ready(server, 4)
        assert seen(server) == {"2"}


def test_where_nobody_serves_any_more_what_the_folder_holds_is_loaded(
    versions: dict[int, Path], tmp_path: Path
) -> None:
    put(versions[1], tmp_path / "senses")
    with serve(tmp_path) as server:
        put(versions[2], tmp_path / "senses")
        os.kill(workers(server)[0], signal.SIGKILL)
        all_ready(server, 2)
        assert seen(server) == {"2"}
        assert "no longer" in next(server.events("worker failed"))["error"]


def endless(folder: Path) -> None:
    """A graph that never comes back."""
    model = onnx.load(str(folder / "model.onnx"))
    for node in model.graph.node:
        node.output[:] = ["turned" if name == "measures" else name for name in node.output]
    turn = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["x"], ["y"])],
        "turn",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    model.graph.node.append(helper.make_node("Loop", ["", "yes", "turned"], ["measures"], body=turn))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    reseal(folder, "model.onnx", model.SerializeToString())


def trials(server: Server) -> set[int]:
    """The process that tries a change, while there is one."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return set(map(int, children)) - set(workers(server))


def test_a_load_that_hangs_crashes_or_eats_memory_harms_nobody(versions: dict[int, Path], tmp_path: Path) -> None:
    put(versions[1], tmp_path / "senses")
    with serve(tmp_path, BRAID_LOAD_SECONDS="6", BRAID_LOAD_BYTES=str(2**28)) as server:
        put(versions[2], tmp_path / "senses")
        endless(tmp_path / "senses")
        start = time.monotonic()
        assert "longer than BRAID_LOAD_SECONDS (6)" in reload(server)["error"]
        assert 6 <= time.monotonic() - start < 12
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: bool(trials(server)))
        os.kill(trials(server).pop(), signal.SIGSEGV)
        eventually(lambda: len(outcomes(server)) == 2)
        assert "SIGSEGV" in outcomes(server)[1]["error"]
        hungry(tmp_path / "senses")
        assert "Failed to allocate memory" in reload(server)["error"]
        assert seen(server) == {"1"}


def hungry(folder: Path) -> None:
    """A graph that wants 4 GB."""
    model = onnx.load(str(folder / "model.onnx"))
    del model.graph.node[-1]
    size = numpy_helper.from_array(np.array([2**30]), "size")
    model.graph.initializer.append(size)
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
            helper.make_node("Add", ["turned", "zero"], ["measures"]),
        ]
    )
    reseal(folder, "model.onnx", model.SerializeToString())


def test_a_start_that_hangs_is_given_up(versions: dict[int, Path], tmp_path: Path) -> None:
    shutil.copytree(versions[1], tmp_path / "senses")
    endless(tmp_path / "senses")
    with serve(tmp_path / "senses", wait=False, code=2, BRAID_LOAD_SECONDS="3") as server:
        assert server.process.wait(PATIENCE) == 2
    assert any(b"longer than BRAID_LOAD_SECONDS (3 a model)" in line for line in server.lines)


def test_a_closed_terminal_ends_the_server_and_reloads_nothing(bundle: Bundle) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "serve", str(bundle.folder), "--port", "0"]
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        env=environment(dict(PLAIN)), stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b'"ready"' not in said:
        said += os.read(ours, 65536)
    os.close(ours)
    assert process.wait(PATIENCE) in (0, -signal.SIGHUP)


class User(threading.Thread):
    """One connection that posts, again and again: files to predict, each fourth time texts to infer."""

    def __init__(self, server: Server, found: "Counter[str]", over: threading.Event) -> None:
        super().__init__()
        self._url, self._found, self._over = f"http://127.0.0.1:{server.port}", found, over

    def run(self) -> None:
        files = {"text": ("", b"a b"), "image": ("", senses.png(51))}
        with httpx.Client(timeout=PATIENCE, base_url=self._url) as client:
            for number in itertools.count():
                if self._over.is_set():
                    return
                try:
                    said = (
                        inferred(client)
                        if number % 4 == 0
                        else version(client.post("/v1/predict?raw=true", files=files))
                    )
                except (httpx.TransportError, AssertionError) as error:
                    said = repr(error)
                self._found[said] += 1


def inferred(client: httpx.Client) -> str:
    """As `version`, by /v2."""
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "a"]}
    answer = client.post("/v2/models/senses/infer", json={"inputs": [tensor], "outputs": [{"name": "measures"}]})
    if answer.status_code != 200:
        return str(answer.status_code)
    document = answer.json()
    gain = int(document["model_version"])
    assert [document["outputs"][0]["data"][i] for i in (0, 3)] == [2 * gain, gain]
    return str(gain)


@pytest.mark.timeout(1200)
def test_no_request_fails_while_versions_are_swapped(versions: dict[int, Path], tmp_path: Path) -> None:
    """32 connections, 2 workers; SWAPS=100 is `make swaps`."""
    put(versions[1], tmp_path / "senses")
    found: Counter[str] = Counter()
    over = threading.Event()
    took, memory = [], []
    with serve(tmp_path, BRAID_WORKERS="2", BRAID_LOG="info") as server:
        all_ready(server, 2)
        users = [User(server, found, over) for _ in range(CONNECTIONS)]
        for user in users:
            user.start()
        try:
            for _, number in zip(range(SWAPS), itertools.cycle((2, 1)), strict=False):
                put(versions[number], tmp_path / "senses")
                said = reload(server)
                assert said["event"] == "changed", said
                took.append(said["seconds"])
                memory.append(sum(resident(pid) for pid in workers(server)))
        finally:
            over.set()
            for user in users:
                user.join(PATIENCE)
        eventually(lambda: len(list(server.events("released"))) == 2 * SWAPS)
        memory.append(sum(resident(pid) for pid in workers(server)))
    figures = f"{sum(found.values())} requests, {SWAPS} swaps of {sum(took) / SWAPS:.2f} s, at most {max(took):.2f} s"
    sizes = [round(size / 2**20) for size in memory[::10]]
    sys.stdout.write(f"\n{figures}; MiB of both workers after each tenth: {sizes}\n")
    assert found.keys() == {"1", "2"}, found
    if SWAPS >= 20:
        assert memory[-1] < 1.05 * max(memory[5:15])


def resident(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_what_is_loaded_is_served_whatever_becomes_of_its_folder(bundle: Bundle, tmp_path: Path) -> None:
    """A new version may lie there already, or a broken one."""
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "senses"))
    paths = ["/v1/models", "/v1/models/senses", "/v1/models/senses/example/image", "/v2/models/senses", "/openapi.json"]
    tensors = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a b"]}]}
    with serve(folder) as server:

        def answers() -> Iterator[object]:
            for path in paths:
                yield server.client.get(path).raise_for_status().content
            for path in ("/v1/predict", "/v1/explain"):
                said = server.client.post(path, files={name: ("", data) for name, data in PARTS.items()})
                yield said.raise_for_status().json() | {"id": 0, "seconds": 0}
            yield server.client.post("/v2/models/senses/infer", json=tensors).raise_for_status().content

        before = list(answers())
        shutil.rmtree(folder)
        assert list(answers()) == before
