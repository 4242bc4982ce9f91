"""Decoding in processes of their own: whatever breaks there is one 422 for its sender, and nothing for anybody else."""

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from service import frames
from service.bundle import Bundle
from service.isolation import Confinement
from service.model import Model
from tests import senses
from tests.hostile.pictures import saved, scans
from tests.process import Server, descendants, eventually, serve

SLOW = saved(Pillow.linear_gradient("L").resize((4900, 5000)), "PNG", compress_level=1)  # most of a second
SETTINGS: dict[str, Any] = {"BRAID_DECODE_ISOLATION": "process", "BRAID_ENGINE": "thread"}


@pytest.fixture(scope="module")
def isolated(bundle: Bundle) -> Iterator[Server]:
    with serve(bundle.folder, **SETTINGS, BRAID_DECODE_SECONDS="5") as running:
        yield running


def decoders(server: Server) -> list[int]:
    """The children; the process that forks them comes first."""
    pids = [pid for pid in descendants(server.process.pid) if b"service.decoder" in command(pid)]
    return [pid for pid in pids if command_of_parent(pid) == command(pid)]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def command_of_parent(pid: int) -> bytes:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return command(int(fields[1]))
    except OSError:
        return b""


def busy(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"


def while_decoding(server: Server, harm: Callable[[int], None]) -> httpx.Response:
    """The answer to a large picture whose decoder is harmed while it is at work."""
    server.predict(image=senses.png()).raise_for_status()  # there is a child
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.predict, image=SLOW)
        eventually(lambda: any(map(busy, decoders(server))))
        harm(next(pid for pid in decoders(server) if busy(pid)))
        return answer.result()


def lost(server: Server) -> float:
    return server.metric("braid_decoders_lost_total")


def test_answers_are_those_of_decoding_inside(isolated: Server, server: Server) -> None:
    parts: dict[str, Any] = {"text": b"a b", "image": senses.png(77), "audio": senses.wav(0.3)}
    for names in (["image"], ["audio"], ["text", "image", "audio"]):
        given = {name: parts[name] for name in names}
        one, other = (place.predict(query="?raw=true&explain=parts", **given).json() for place in (isolated, server))
        assert one | {"id": ""} == other | {"id": ""}


def test_places_are_explained_there_too(isolated: Server, server: Server) -> None:
    files = {"image": ("", senses.png(77)), "audio": ("", senses.wav(0.3))}
    one, other = (place.client.post("/v1/explain", files=files).json() for place in (isolated, server))
    assert one | {"id": "", "seconds": 0} == other | {"id": "", "seconds": 0}


@pytest.mark.parametrize("data", [b"nonsense", b"\x89PNG\r\n\x1a\n", senses.png()[:-5]])
def test_refusals_are_those_of_decoding_inside(isolated: Server, server: Server, data: bytes) -> None:
    one, other = (place.predict(image=data) for place in (isolated, server))
    assert (one.status_code, one.json()) == (other.status_code, other.json())


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT, signal.SIGBUS])
def test_a_decoder_that_crashes_costs_its_sender_a_422_and_is_replaced(isolated: Server, how: signal.Signals) -> None:
    before, worker = lost(isolated), descendants(isolated.process.pid)[1]
    refusal = while_decoding(isolated, lambda pid: os.kill(pid, how))
    assert refusal.status_code == 422
    assert refusal.json()["code"] == "invalid_input"
    assert refusal.json()["part"] == "image"
    assert lost(isolated) == before + 1
    assert isolated.measures(image=senses.png(255)) == [0, 1, 0]
    assert descendants(isolated.process.pid)[1] == worker


def test_a_decoder_that_hangs_is_ended_by_the_clock(bundle: Bundle) -> None:
    with serve(bundle.folder, **SETTINGS, BRAID_DECODE_SECONDS="1") as server:
        start = time.monotonic()
        refusal = while_decoding(server, lambda pid: os.kill(pid, signal.SIGSTOP))
        assert refusal.status_code == 422
        assert time.monotonic() - start < 10
        assert server.measures(image=senses.png(255)) == [0, 1, 0]
        eventually(lambda: len(decoders(server)) <= 2)


def test_a_decoder_may_use_so_much_of_the_processor_and_no_more(bundle: Bundle) -> None:
    heavy = scans(saved(Pillow.new("RGB", (4900, 5000)), "JPEG", progressive=True), 1500)
    with serve(bundle.folder, **SETTINGS, BRAID_DECODE_SECONDS="1", BRAID_IMAGE_SCANS="2000") as server:
        assert server.predict(image=heavy).status_code == 422
        assert lost(server) == 1
        assert server.measures(image=senses.png(255)) == [0, 1, 0]


def test_a_decoder_may_take_so_much_memory_and_no_more(bundle: Bundle) -> None:
    with serve(bundle.folder, **SETTINGS, BRAID_DECODE_BYTES=str(16 * 2**20)) as server:
        assert server.predict(image=SLOW).status_code == 422
        assert server.measures(image=senses.png(255)) == [0, 1, 0]


def test_a_decoder_that_somebody_ended_while_idle_costs_nobody_anything(isolated: Server) -> None:
    victims: list[Callable[[], list[int]]] = [
        lambda: decoders(isolated),
        lambda: [*decoders(isolated), parent(decoders(isolated)[0])],
    ]
    for some in victims:
        isolated.predict(image=senses.png()).raise_for_status()
        pids = some()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda pids=pids: all(map(gone, pids)))  # type: ignore[misc]  # mypy#12557
        assert isolated.measures(image=senses.png(255)) == [0, 1, 0]


def gone(pid: int) -> bool:
    """With its files: of a zombie nothing is left but its number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_others_are_answered_while_a_decoder_is_harmed(isolated: Server) -> None:
    with ThreadPoolExecutor(9) as pool:
        harmed = pool.submit(while_decoding, isolated, lambda pid: os.kill(pid, signal.SIGSEGV))
        answers = [pool.submit(isolated.measures, text=b"a b") for _ in range(200)]
        assert all(answer.result() == [2, 0, 0] for answer in answers)
        assert harmed.result().status_code == 422


def test_a_decoder_has_no_socket_no_setting_and_may_write_no_file(isolated: Server) -> None:
    isolated.predict(image=senses.png()).raise_for_status()
    for pid in decoders(isolated):
        links = sorted(os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
        assert len([link for link in links if link.startswith("socket:")]) == 1
        assert all(link == "/dev/null" for link in links if not link.startswith("socket:"))
        assert b"BRAID_" not in Path(f"/proc/{pid}/environ").read_bytes()
        bounds = {line.split("  ")[0]: line.split() for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
        assert bounds["Max core file size"][4] == "0"
        assert bounds["Max file size"][3] == "0"
        said = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in said


def test_no_decoder_outlives_its_server(bundle: Bundle) -> None:
    with serve(bundle.folder, **SETTINGS) as server:
        server.predict(image=senses.png()).raise_for_status()
        left = [*decoders(server), parent(decoders(server)[0])]
    eventually(lambda: not any(b"service.decoder" in command(pid) for pid in left))


def test_what_a_model_held_is_given_back_with_it(bundle: Bundle) -> None:
    others = set(descendants(os.getpid()))
    model = Model(bundle, confinement=Confinement(processes=2, seconds=5, bytes=2**29))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        another = Model(bundle, confinement=Confinement(processes=2, seconds=5, bytes=2**29))
        assert another.encode_part("image", senses.png()).keys() == model.encode_part("image", senses.png()).keys()
        del another
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # of the child of `model`
    del model
    gc.collect()
    eventually(lambda: set(descendants(os.getpid())) <= others)


def test_without_isolation_there_is_no_such_process(server: Server) -> None:
    assert not [pid for pid in descendants(server.process.pid) if b"service.decoder" in command(pid)]


# -- what the two tell each other -------------------------------------------------------------------------------------


def test_a_row_comes_through_as_it_is() -> None:
    row = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "b": np.array(True),
        "c": np.zeros((0, 3), np.int64),
        "d": np.ones((2, 2), np.uint8),
        "e": np.ones(3, np.float16),
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames.send_row(ours, row)
        got = frames.row(*frames.receive(theirs, 1000, time.monotonic() + 5))
    for name, array in row.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == array.dtype


@pytest.mark.parametrize(
    "said",
    [
        {"row": [["a", "<f4", [2**40]]]}, {"row": [["a", "<f4", [-1]]]}, {"row": [["a", "|O", [1]]]}, {"row": 1}, {},
        {"row": [["a", "<f4", 1]]}, {"row": [["a", "<f4", ["1"]]]}, {"row": [["a"]]}, [], None,
        {"row": [["a", [], [1]]]},
    ],
)  # fmt: skip
def test_a_decoder_that_was_taken_over_can_say_nothing_that_is_believed(said: Any) -> None:
    with pytest.raises(frames.Broken):
        frames.row(said, memoryview(bytearray(8)))


def test_who_says_too_much_or_too_slowly_is_not_listened_to() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames.send(ours, {}, bytes(1001))
        with pytest.raises(frames.Broken):
            frames.receive(theirs, 1000, time.monotonic() + 5)
        ours.sendall(b"\x05")
        with pytest.raises(frames.Broken):
            frames.receive(theirs, 1000, time.monotonic() + 0.05)
