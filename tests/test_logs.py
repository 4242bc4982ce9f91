"""One JSON line an event, and nothing of an upload in it."""

import json
import logging
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
