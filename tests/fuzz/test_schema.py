"""Schemathesis on the served OpenAPI document: whatever is sent by it or against it, the server keeps its word."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.process import ROOT, Server, serve

SCHEMATHESIS = ROOT / ".venv/fuzz/bin/schemathesis"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def digits() -> Iterator[Server]:
    with serve(ROOT / "models/bundles/digits") as running:
        yield running


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="make .venv/fuzz/ready")
def test_no_request_made_from_the_document_breaks_the_server_or_its_own_words(digits: Server) -> None:
    command = [
        str(SCHEMATHESIS), "run", f"{digits.client.base_url}/openapi.json", "--checks", CHECKS, "--max-examples", "15",
        "--phases", "examples,coverage,fuzzing", "--no-color", "--continue-on-failure", "--generation-database", "none",
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert digits.predict(text=b"seven").json()["outputs"]["digit"]["label"] == "7"
