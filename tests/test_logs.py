"""One JSON line an event, and nothing of an upload in it."""

import asyncio
import json
import logging
import os
import select
import sys
from typing import Any

import pytest

from service import logs


def lines(capfdbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfdbinary.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_on_standard_error(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.Log().info("loaded", {"model": "digits\n", "seconds": 0.5})
    (line,) = lines(capfdbinary)
    assert line.pop("time") > 1.7e9
    assert line == {"level": "info", "event": "loaded", "model": "digits\n", "seconds": 0.5}


@pytest.mark.parametrize(("level", "expected"), [("info", ["a", "b"]), ("warning", ["b"]), ("off", [])])
def test_the_level_is_the_operators(level: str, expected: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    said = logs.Log(level)
    said.info("a", {})
    said.warning("b", {})
    assert [line["event"] for line in lines(capfdbinary)] == expected


def test_lines_that_are_many_are_written_together_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe of packets tells what was written at once. Beyond PIPE_BUF bytes another process could come between."""
    ours, theirs = os.pipe2(os.O_DIRECT)
    packets = []
    with open(ours, "rb", buffering=0) as heard, open(theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)

        async def many() -> None:
            said = logs.Log()
            for number in range(100):
                said.often("request", {"number": number, "more": "x" * 500})
                if number == 0:
                    packets.append(heard.read(10_000))  # who is alone does not wait
            await asyncio.sleep(2 * logs.TOGETHER)

        asyncio.run(many())
        monkeypatch.undo()
        stderr.close()
        while packet := heard.read(10_000):
            packets.append(packet)
    assert all(len(packet) <= select.PIPE_BUF for packet in packets)
    assert len(packets) < 20
    assert [json.loads(line)["number"] for packet in packets for line in packet.splitlines()] == list(range(100))


def test_what_is_held_at_the_end_is_written(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    said = logs.Log()

    async def twice() -> None:
        said.often("request", {})
        said.often("request", {})

    asyncio.run(twice())
    assert len(lines(capfdbinary)) == 1
    said.flush()
    said.flush()
    assert len(lines(capfdbinary)) == 1


def test_the_words_of_an_exception_are_not_logged_for_they_may_be_an_uploads(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "Task failed", None, None)
    try:
        raise ValueError("my secret")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    logs.Handler().emit(record)
    (line,) = lines(capfdbinary)
    assert line["error"] == "ValueError"
    assert "secret" not in json.dumps(line)
