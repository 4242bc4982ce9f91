"""The bundles that other people's clients talk to."""

from collections.abc import Iterator

import pytest

from service.bundle import Bundle
from tests import senses
from tests.process import Server, serve


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Server]:
    outputs = {"vector": {"kind": "embedding", "tensor": "measures"}}
    folder = tmp_path_factory.mktemp("clients")
    vectors = senses.write(folder / "vectors", "vectors", outputs=outputs)
    with serve(bundle.folder, vectors.folder) as running:
        yield running
