"""What is installed is known, and what SECURITY.md says of numbers and files is so."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from service.limits import Limits
from service.settings import Settings
from tests.process import ROOT

SECURITY = (ROOT / "SECURITY.md").read_text()
README = (ROOT / "README.md").read_text()
LOCKS = sorted((ROOT / "docker/lock").glob("*.txt"))
TOOLS = ROOT / ".venv/audit/bin"
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_of_a_lock_is_pinned_by_its_hashes(lock: Path) -> None:
    blocks = re.split(r"^(?=[a-z0-9._-]+(?:\[[^]]*\])?==)", lock.read_text(), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(PIN.findall(lock.read_text())) > 0
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.skipif(not TOOLS.exists(), reason="make .venv/audit/ready")
def test_the_bill_of_materials_is_valid_and_holds_what_the_image_installs(tmp_path: Path) -> None:
    made = tmp_path / "braid.cdx.json"
    lock = ROOT / "docker/lock/cpu.txt"
    command = [str(TOOLS / "cyclonedx-py"), "requirements", str(lock), "--pyproject", str(ROOT / "pyproject.toml")]
    subprocess.run([*command, "--sv", "1.6", "--of", "JSON", "--validate", "-o", str(made)], check=True, timeout=280)
    document = json.loads(made.read_text())
    assert document["bomFormat"] == "CycloneDX"
    found = {(one["name"], one["version"]) for one in document["components"]}
    assert found == set(PIN.findall(lock.read_text()))
    assert all(one["externalReferences"][0]["hashes"] for one in document["components"])


@pytest.mark.skipif(not TOOLS.exists(), reason="make .venv/audit/ready")
def test_no_lock_names_a_known_vulnerability_where_one_can_ask() -> None:
    run = subprocess.run(
        [str(TOOLS / "python"), "docker/audit.py"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode in (0, 3), run.stdout  # 3: no database to be reached from here, which it says
    assert "packages" in run.stdout or "nothing is known" in run.stdout


def written(value: float) -> str:
    if value >= 2**10 and value % 2**10 == 0:
        return f"{value // 2**20:g} MiB" if value % 2**20 == 0 else f"{value // 2**10:g} KiB"
    return f"{value:,g}".replace(",", " ") if value >= 10_000 else f"{value:g}"


@pytest.mark.parametrize("name", Limits.model_fields)
def test_the_limits_of_readme_are_those_of_the_code(name: str) -> None:
    default = Settings.model_fields[name].default
    (row,) = re.findall(rf"^\| `BRAID_{name.upper()}` \| ([^|]+) \|", README, re.MULTILINE)
    assert row.strip() in (written(default), f"{default:,}".replace(",", " ")), default


def test_the_limits_of_security_are_settings_with_their_numbers() -> None:
    rows = re.findall(
        r"^\|[^|]*\| ((?:`BRAID_\w+`(?: [^`|]+)?)(?:, `BRAID_\w+`(?: [^`|]+)?)*) \|", SECURITY, re.MULTILINE
    )
    pairs = [pair for row in rows for pair in re.findall(r"`BRAID_(\w+)` ([^,|]+)", row)]
    assert len(pairs) >= 20
    for name, number in pairs:
        default = Settings.model_fields[name.lower()].default
        assert number.strip() in (written(default), f"{default:,}".replace(",", " "), str(default)), name


def test_commands_that_security_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", SECURITY)) <= targets
    for path in re.findall(r"`((?:pytest )?(?:service|tests|docker)/[\w./-]+)", SECURITY):
        assert (ROOT / path.removeprefix("pytest ")).exists(), path
