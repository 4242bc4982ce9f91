"""Several hundred hostile requests against a real server: each costs its sender a 4xx, and nobody else anything."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import process
from tests.hostile import bodies, pictures, sounds, variants
from tests.hostile.cases import Case
from tests.process import ROOT, Server, serve

DIGITS = ROOT / "models/bundles/digits"
EXAMPLE: dict[str, Any] = {
    part: next((DIGITS / "example").glob(f"{part}.*")).read_bytes() for part in ("text", "image", "audio")
}
SECONDS = 2.0  # in which a refusal must be there, of this process's time
GROWTH = 48 * 2**20
LARGE = 150 * 2**20  # of a picture of 24 million pixels, 96 of which are the pixels
MARKS = (b"0x", b"Traceback", b"/usr/", b".py", b"libsndfile", b"PIL", b"zlib", b"site-packages", b"numpy")


@pytest.fixture(scope="module")
def folder_of_nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nothing")


@pytest.fixture(scope="module")
def digits(folder_of_nothing: Path) -> Iterator[Server]:
    empty = str(folder_of_nothing)
    with serve(DIGITS, folder=folder_of_nothing, TMPDIR=empty, HOME=empty, PYTHONDONTWRITEBYTECODE="1") as running:
        for _ in range(20):
            running.predict(**EXAMPLE).raise_for_status()
        yield running
    assert not list(folder_of_nothing.iterdir())


def worker(server: Server) -> int:
    return process.descendants(server.process.pid)[-1]


def memory(pid: int, key: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def spent(pid: int) -> float:
    """Processor seconds: others load this machine, too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


GROUPS = (
    pictures.bombs, pictures.scanned, pictures.texts, pictures.ruins, pictures.chimeras, sounds.absurd, sounds.hours,
    sounds.lies, sounds.ruins, sounds.chimeras, bodies.texts, bodies.forms, bodies.documents,
)  # fmt: skip


@cache
def cases(group: Callable[[], Iterator[Case]]) -> list[Case]:
    return list(group())


def named(group: Callable[[], Iterator[Case]]) -> str:
    return f"{group.__module__.rpartition('.')[2]}.{group.__name__}"


def post(server: Server, case: Case) -> httpx.Response:
    return server.client.post("/v1/predict", content=case.body, headers={b"content-type": case.kind.encode()})


@pytest.mark.parametrize("group", GROUPS, ids=named)
def test_a_hostile_request_is_refused_soon_without_memory_disk_or_a_word_of_it(
    digits: Server, group: Callable[[], Iterator[Case]]
) -> None:
    pid = worker(digits)
    good = digits.predict(**EXAMPLE).json()["outputs"]
    wrong = []
    for case in cases(group):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
        before, start, disk = memory(pid, "VmRSS"), spent(pid), process.written(digits)
        answer = post(digits, case)
        seconds, growth = spent(pid) - start, memory(pid, "VmHWM") - before
        said = answer.content + str(answer.headers).encode()
        faults = [
            answer.status_code not in case.statuses and f"status {answer.status_code}, not {case.statuses}",
            seconds > SECONDS and f"{seconds:.1f} s",
            growth > GROWTH and f"{growth / 2**20:.0f} MiB",
            process.written(digits) > disk and "written to disk",
            any(mark in said for mark in MARKS) and f"said {said!r}",
            answer.status_code != 200 and answer.json()["status"] != answer.status_code and "no problem document",
        ]
        wrong += [f"{case.name}: {fault}" for fault in faults if fault]
        assert digits.predict(**EXAMPLE).json()["outputs"] == good, case.name
    assert not wrong, "\n".join(wrong)
    assert digits.process.poll() is None
    assert worker(digits) == pid


@pytest.mark.parametrize("how", variants.VAST)
def test_a_picture_as_large_as_may_be_is_there_once(digits: Server, how: str) -> None:
    pid, sent = worker(digits), variants.VAST[how](variants.vast())
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = memory(pid, "VmRSS")
    digits.predict(image=sent).raise_for_status()
    assert memory(pid, "VmHWM") - before < LARGE


def test_there_are_hundreds() -> None:
    assert sum(len(cases(group)) for group in GROUPS) > 350


def test_probes_answer_within_a_second_while_hostile_requests_are_decoded(digits: Server) -> None:
    heavy = cases(sounds.hours)[:5] + cases(pictures.scanned)[:4]
    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(post, digits, case) for case in heavy * 4]
        slowest = 0.0
        while not all(job.done() for job in work):
            start = time.perf_counter()
            assert digits.client.get("/health/live").status_code == 200
            slowest = max(slowest, time.perf_counter() - start)
    assert slowest < 1.0
