"""The bundles that other people's clients talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.bundle import Bundle
from tests import senses
from tests.process import Server, serve


@pytest.fixture(scope="package")
def server(folder: Path, bundle: Bundle) -> Iterator[Server]:
    outputs = {"vector": {"kind": "embedding", "tensor": "measures"}}
    vectors = senses.write(folder / "vectors", "vectors", outputs=outputs)
    with serve(bundle.folder, vectors.folder) as running:
        yield running
