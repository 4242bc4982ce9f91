"""Twenty seconds of tests/soak/run.py; `make soak MINUTES=30` runs it for longer, and measures what grows."""

import pytest

from tests.soak.run import soak


@pytest.mark.parametrize("isolation", ["off", "process"])
def test_ten_seconds_of_mixed_load_with_swaps_and_kills(isolation: str, capsys: pytest.CaptureFixture[str]) -> None:
    well = soak(10, 2, isolation=isolation, clients=4)
    assert well, capsys.readouterr().out
