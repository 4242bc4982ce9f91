"""A TypeScript client generated from the OpenAPI document compiles under --strict and posts a file."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import senses
from tests.process import Server

FOLDER = Path(__file__).parent / "typescript"
TOOLS = FOLDER / "node_modules/.bin"


@pytest.mark.skipif(not TOOLS.exists(), reason="npm ci --prefix tests/clients/typescript")
def test_a_generated_client_compiles_and_posts_a_file(server: Server, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(server.client.get("/openapi.json").text)
    picture = tmp_path / "picture.png"
    picture.write_bytes(senses.png(51))
    run([TOOLS / "openapi-typescript", document, "--output", FOLDER / "schema.ts"])
    run([TOOLS / "tsc"])
    said = json.loads(run(["node", FOLDER / "made/main.js", str(server.client.base_url), picture]))
    assert said == {"label": "tokens", "image": True, "audio": False}


def run(command: list[str | Path]) -> str:
    done = subprocess.run(list(map(str, command)), cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
