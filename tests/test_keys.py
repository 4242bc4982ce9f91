"""The file of API keys: what is in it, what is wrong with it, and that it is followed."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from service import keys
from service.errors import SettingsError
from service.keys import Keys
from service.logs import Log
from tests import process


def write(file: Path, *lines: str, mode: int = 0o600) -> Path:
    file.write_text("\n".join(lines) + "\n")
    file.chmod(mode)
    return file


def test_a_key_that_is_made_is_found_by_its_line_and_no_other_key_is(tmp_path: Path) -> None:
    first, line = keys.make("alice", 2.5, manage=False)
    second, other = keys.make("bob", None, manage=True)
    found = Keys(write(tmp_path / "keys", "# whose they are", "", line, other), Log("off"))
    alice, bob = found.find(first.encode()), found.find(second.encode())
    assert alice
    assert bob
    assert (alice.name, alice.rate, alice.manage) == ("alice", 2.5, False)
    assert (bob.name, bob.rate, bob.manage) == ("bob", None, True)
    for wrong in (b"", b"alice", first.encode()[:-1], line.split(":")[1].encode(), b"\xff" * 1000):
        assert found.find(wrong) is None
    assert first not in (tmp_path / "keys").read_text()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_longer_hash_is_welcome(algorithm: str, tmp_path: Path) -> None:
    line = f"alice:{hashlib.new(algorithm, b'secret').hexdigest()}"
    found = Keys(write(tmp_path / "keys", line), Log("off")).find(b"secret")
    assert found
    assert found.name == "alice"


@pytest.mark.parametrize(
    "line",
    [
        "alice", "alice:", "alice:plain-text-key", f"alice:{'0' * 63}", f":{'0' * 64}", f"al ice:{'0' * 64}",
        f"alice:{'0' * 64}:fast", f"alice:{'0' * 64}:0", f"alice:{'0' * 64}:1..2", f"alice:{'0' * 64}:1:root",
        f"alice:{'0' * 64}\nalice:{'1' * 64}", "", "# nobody",
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_is_refused_and_the_line_is_not_shown(line: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        keys.read(write(tmp_path / "keys", line))
    assert "plain-text-key" not in str(refusal.value)
    assert "0000" not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_file_that_everybody_may_read_or_change_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        keys.read(write(tmp_path / "keys", f"alice:{'0' * 64}", mode=mode))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for file in (tmp_path / "pipe", tmp_path, tmp_path / "nothing"):
        with pytest.raises(SettingsError):
            keys.read(file)


def test_a_change_holds_after_a_look_and_a_mistake_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    first, line = keys.make("alice", None, manage=False)
    second, other = keys.make("bob", None, manage=False)
    file = write(tmp_path / "keys", line)
    followed = Keys(file, Log("off"))
    write(file, other)
    assert followed.find(second.encode()) is None  # looked at once a second at most
    clock += keys.LOOK
    assert followed.find(second.encode())
    assert followed.find(first.encode()) is None
    for wrong in ("nonsense", ""):
        write(file, wrong)
        clock += keys.LOOK
        assert followed.find(second.encode())
    file.unlink()
    clock += keys.LOOK
    assert followed.find(second.encode())
    write(file, line)
    clock += keys.LOOK
    assert followed.find(first.encode())


def test_a_rate_is_kept_over_any_time_and_a_second_may_come_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    key = keys.parse(f"alice:{'0' * 64}:4")
    assert key
    assert [key.wait() for _ in range(6)] == [0, 0, 0, 0, 0.25, 0.25]
    clock += 0.25
    assert [key.wait() for _ in range(2)] == [0, 0.25]
    clock += 1000
    assert sum(key.wait() == 0 for _ in range(10)) == 4
    slow = keys.parse(f"bob:{'0' * 64}:0.1")
    assert slow
    assert [slow.wait() for _ in range(2)] == [0, pytest.approx(10)]


def test_the_command_prints_the_key_and_its_line() -> None:
    run = process.braid("key", "alice", "--rate", "20", "--manage")
    made, line = (text.split(": ", 1)[1].strip() for text in run.stdout.splitlines())
    assert line == f"alice:{hashlib.sha256(made.encode()).hexdigest()}:20:manage"
    assert run.returncode == 0
    for wrong in (["a b"], ["alice", "--rate", "0"], ["alice", "--rate", "nan"], ["../x:y"]):
        run = process.braid("key", *wrong)
        assert run.returncode == 2
        assert run.stdout == ""
