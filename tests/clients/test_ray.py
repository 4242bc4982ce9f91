"""`braid score --ray` on a local cluster with two workers gives the same file."""

import subprocess
from pathlib import Path

import pytest

from service.bundle import Bundle
from tests import senses
from tests.process import COMMAND, environment

pytest.importorskip("ray", reason="pip install 'braid[ray]'")
PATIENCE = 240.0  # seconds: a cluster takes its time to start


def test_a_cluster_gives_the_same(bundle: Bundle, tmp_path: Path) -> None:
    rows = 200
    for row in range(rows):
        (tmp_path / f"{row}.png").write_bytes(senses.png(row))
    table = tmp_path / "t.csv"
    table.write_text("id,text,image\n" + "".join(f"{row},{'a ' * (row % 7)},{row}.png\n" for row in range(rows)))
    outputs = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for output, more in zip(outputs, (["--workers", "1"], ["--ray", "--workers", "2"]), strict=True):
        command = [*COMMAND, "score", str(bundle.folder), str(table), "--output", str(output), "--keep", "id", *more]
        settings = {"BRAID_CACHE": "/nowhere", "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(
            command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
    one, two = (output.read_text().splitlines() for output in outputs)
    assert len(one) == rows
    assert one == two
