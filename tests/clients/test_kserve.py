"""KServe's own Python client."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.process import ROOT, Server

PYTHON = ROOT / ".venv/kserve/bin/python"
SCRIPT = Path(__file__).parent / "kserve_client.py"


@pytest.mark.skipif(not PYTHON.exists(), reason="no kserve: make .venv/kserve/ready")
def test_texts_come_through(server: Server) -> None:
    texts = ["a white noise", "a b"]
    command = [str(PYTHON), str(SCRIPT), str(server.client.base_url).rstrip("/"), "senses", json.dumps(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.reshape(json.loads(done.stdout.splitlines()[-1]), (2, -1))
    np.testing.assert_allclose(found, [server.measures(text=text.encode()) for text in texts], rtol=1e-6)
