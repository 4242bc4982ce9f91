"""--bundle for `pytest tests/bench/stages.py`."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bundle", type=Path, default=Path("models/bundles/digits"), help="whose example is timed")
