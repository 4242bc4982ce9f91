"""Models come, go and change while requests are answered."""

import shutil
from pathlib import Path

from service.bundle import Bundle
from tests import senses
from tests.process import serve

PARTS = {"text": b"a white noise", "image": senses.png(51), "audio": senses.wav(0.25)}


def test_what_is_loaded_is_served_whatever_becomes_of_its_folder(bundle: Bundle, tmp_path: Path) -> None:
    """A new version may lie there already, or a broken one."""
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "senses"))
    paths = ["/v1/models", "/v1/models/senses", "/v1/models/senses/example/image", "/v2/models/senses", "/openapi.json"]
    tensors = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a b"]}]}
    with serve(folder) as server:

        def answers() -> list[object]:
            found: list[object] = [server.client.get(path).raise_for_status().content for path in paths]
            for path in ("/v1/predict", "/v1/explain"):
                said = server.client.post(path, files={name: ("", data) for name, data in PARTS.items()})
                found.append(said.raise_for_status().json() | {"id": 0, "seconds": 0})
            return [*found, server.client.post("/v2/models/senses/infer", json=tensors).raise_for_status().content]

        before = answers()
        shutil.rmtree(folder)
        assert answers() == before
