"""Weights lie in memory once, whatever number of worker processes reads them."""

import hashlib
import os
import re
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.graph import Malformed
from service.lending import Lending
from service.weights import Shared
from tests import senses
from tests.process import Server, descendants, eventually, serve


class Made:
    """A file that holds a word."""

    def __init__(self, files: tuple[int, ...]) -> None:
        self.files = files

    @property
    def word(self) -> bytes:
        return os.pread(self.files[0], 100, 0)


def file(word: bytes) -> Made:
    held = os.memfd_create("word")
    os.write(held, word)
    return Made((held,))


@pytest.fixture(scope="module")
def laden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return senses.write(tmp_path_factory.mktemp("laden") / "senses", large=True).folder


@pytest.fixture
def running(laden: Path) -> Iterator[Server]:
    with serve(laden, BRAID_WORKERS="3") as server:
        eventually(lambda: len(list(server.events("ready"))) == 3)
        yield server


def weights(pid: int) -> set[str]:
    """Inodes of the memory that it reads them from."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return set(re.findall(r"(\d+) +/memfd:braid-weights", maps))


def workers(server: Server) -> list[int]:
    return [pid for pid in descendants(server.process.pid)[1:] if weights(pid)]


def answers(server: Server) -> list[float]:
    return server.measures(text=b"a b", image=senses.png(51))


def test_all_workers_read_the_same_memory(running: Server) -> None:
    (inode,) = set().union(*(weights(pid) for pid in workers(running)))
    assert inode
    assert len(workers(running)) == 3
    assert answers(running) == pytest.approx([2, 0.2, 0], abs=1e-6)


def test_a_new_worker_reads_what_the_others_have_or_makes_it_anew(running: Server) -> None:
    for _ in range(3):  # the one that has made it is among them
        before = set(workers(running))
        os.kill(min(before), signal.SIGKILL)
        eventually(lambda before=before: len(set(workers(running)) - before) == 1)  # type: ignore[misc]
    eventually(lambda: len(workers(running)) == 3)
    assert answers(running) == pytest.approx([2, 0.2, 0], abs=1e-6)


def test_a_swap_is_shared_and_the_old_memory_let_go(tmp_path: Path) -> None:
    for version in (1, 2):
        senses.write(tmp_path / f".{version}", large=True, version=version)
    (tmp_path / ".1").rename(tmp_path / "senses")
    with serve(tmp_path, BRAID_WORKERS="3") as server:
        eventually(lambda: len(workers(server)) == 3)
        old = weights(workers(server)[0])
        (tmp_path / "senses").rename(tmp_path / ".1")
        (tmp_path / ".2").rename(tmp_path / "senses")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: any(server.events("changed")))
        eventually(lambda: all(weights(pid).isdisjoint(old) for pid in descendants(server.process.pid)[1:]))
        assert len(set().union(*(weights(pid) for pid in workers(server)))) == 1


def test_who_comes_later_gets_the_same_file_while_the_first_lives() -> None:
    first, second = Lending("family"), Lending("family")
    made = first.get("a", lambda: file(b"one"), Made)
    assert second.get("a", lambda: file(b"two"), Made).word == b"one"
    assert second.get("b", lambda: file(b"two"), Made).word == b"two"
    assert Lending("stranger").get("a", lambda: file(b"three"), Made).word == b"three"
    del made
    eventually(lambda: second.get("a", lambda: file(b"four"), Made).word == b"four")


def test_who_comes_meanwhile_waits_for_it() -> None:
    begun, go_on = threading.Event(), threading.Event()
    found: list[Made] = []

    def slowly() -> Made:
        begun.set()
        assert go_on.wait(10)
        return file(b"one")

    def ask(make: object) -> None:
        found.append(Lending("slow").get("a", make, Made))  # type: ignore[arg-type]

    threads = [threading.Thread(target=ask, args=[slowly])]
    threads[0].start()
    assert begun.wait(10)
    threads.append(threading.Thread(target=ask, args=[lambda: file(b"two")]))
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert [one.word for one in found] == [b"one", b"one"]


def test_where_the_first_fails_the_next_makes_it() -> None:
    def failing() -> Made:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        Lending("failed").get("a", failing, Made)
    assert Lending("failed").get("a", lambda: file(b"two"), Made).word == b"two"


def test_memory_that_others_could_change_is_not_taken() -> None:
    with tempfile.TemporaryFile() as plain, pytest.raises((Malformed, OSError)):
        Shared((os.dup(plain.fileno()), os.dup(plain.fileno())))
    loose = [os.memfd_create("loose", os.MFD_ALLOW_SEALING) for _ in range(2)]
    with pytest.raises(Malformed, match="could change"):
        Shared((loose[0], loose[1]))


def test_where_no_name_can_be_had_it_is_made_at_once() -> None:
    endless = "family" * 100  # no name of a socket is that long
    assert Lending(endless).get("a", lambda: file(b"one"), Made).word == b"one"
    assert Lending(endless).get("a", lambda: file(b"two"), Made).word == b"two"


def test_no_thread_waits_for_ever_on_a_name_that_nobody_answers() -> None:
    """A process that has bound the name, but does not listen, ends some time."""
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(f"\0braid-silent-{hashlib.sha256(b'a').hexdigest()[:32]}")
    threading.Timer(0.3, taken.close).start()
    assert Lending("silent").get("a", lambda: file(b"two"), Made).word == b"two"
