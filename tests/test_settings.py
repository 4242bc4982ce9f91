"""Settings: what the operator decides, read once; a mistake is named."""

from pathlib import Path

import pytest

from service import settings
from service.errors import SettingsError
from service.limits import Limits
from service.settings import Settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"BRAID_{name.upper()}", raising=False)


def test_an_option_beats_a_variable_which_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.read({"port": None}).port == 8000
    monkeypatch.setenv("BRAID_PORT", "9000")
    assert settings.read({"port": None}).port == 9000
    assert settings.read({"port": 9001}).port == 9001


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAID_BUNDLES", "a,b/c")
    monkeypatch.setenv("BRAID_PROVIDERS", "CUDA,CPU")
    read = settings.read({})
    assert read.bundles == (Path("a"), Path("b/c"))
    assert read.providers == ("CUDA", "CPU")


@pytest.mark.parametrize("name", ["BRAID_PROT", "BRAID_", "BRAID_port"])
def test_a_variable_that_does_not_exist_is_named_with_those_that_do(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: no such setting; there are .*BRAID_PORT"):
        settings.read({}, {name: "1"})


def test_other_programs_variables_are_none_of_ours() -> None:
    settings.read({}, {"PATH": "", "BRAIDED": "", "BRAID_DATA": "data"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"), ("PORT", "65536"), ("PORT", "-1"), ("THREADS", "0"), ("QUEUE_ITEMS", "-1"), ("TIMEOUT", "0"),
        ("DRAIN", "-1"), ("LOG", "loud"), ("BODY_BYTES", "32MB"), ("AUDIO_SECONDS", "0"), ("WORKERS", "0"),
        ("GRACE", ""), ("TIMEOUT", "nan"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"BRAID_{name}", value)
    with pytest.raises(SettingsError, match=f"BRAID_{name} "):
        settings.read({})


def test_settings_are_frozen_and_hold_every_limit() -> None:
    read = settings.read({})
    assert isinstance(read, Limits)
    with pytest.raises(ValueError, match="frozen"):
        read.port = 1  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_says_what_it_is(name: str) -> None:
    assert Settings.model_fields[name].description
