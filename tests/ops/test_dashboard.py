"""The picture of the dashboard is made of a real run, and every panel has something to show."""

import shutil
from pathlib import Path

import pytest

from tests.ops import dashboard


@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")
def test_every_panel_has_something_to_show(tmp_path: Path) -> None:
    found = {panel.title: panel.lines for panel in dashboard.run(tmp_path / "dashboard.png", 20)}
    assert [title for title, lines in found.items() if not lines] == []
    seconds, values = found["Saturation: in flight"]["digits"]
    assert len(seconds) > 10
    assert max(values) > 50
    assert {"digits 200", "digits 429", "digits 415"} <= found["Traffic: requests a second"].keys()
    assert (tmp_path / "dashboard.png").read_bytes()[:4] == b"\x89PNG"
