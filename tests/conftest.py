"""Bundles and a server that several files share."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy, as `braid` does

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from service.bundle import Bundle
from tests import senses
from tests.process import Server, serve

hypothesis.settings.register_profile("braid", deadline=None, max_examples=50)  # machines are busy; CI is not a race
hypothesis.settings.load_profile("braid")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    """Tokens, brightness, loudness; any subset of the parts."""
    return senses.write(folder / "senses")


@pytest.fixture(scope="session")
def slow(folder: Path) -> Bundle:
    """The same, a quarter of a second a run."""
    return senses.write(folder / "slow", "slow", slow=0.25)


@pytest.fixture(scope="session")
def strict(folder: Path) -> Bundle:
    """The same, but it cannot do without a part."""
    return senses.write(folder / "strict", "strict", policy="reject")


@pytest.fixture(scope="session")
def single(folder: Path) -> Bundle:
    """The same, but the graph's batch axis is 1."""
    return senses.write(folder / "single", "single", batch=1)


@pytest.fixture(scope="session")
def server(bundle: Bundle, strict: Bundle, single: Bundle) -> Iterator[Server]:
    with serve(bundle.folder, strict.folder, single.folder) as running:
        yield running
