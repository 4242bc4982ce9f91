"""python docker/audit.py: asks for known vulnerabilities of everything that the locks name, by pip-audit.

Exit code 0: none; 1: some; 3: the databases (PyPI's, then OSV's) could not be asked, so nothing is known.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).parent / "lock"
SERVICES = ("pypi", "osv")
OFFLINE = 3


def audited(lock: Path, service: str) -> list[dict[str, object]] | None:
    """Name, version and vulnerabilities of each package; None: the database could not be asked."""
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--no-deps", "--disable-pip", "--require-hashes",
        "--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "10",
    ]  # fmt: skip
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        found: list[dict[str, object]] = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        return None
    return None if any("skip_reason" in package for package in found) else found


def main() -> int:
    code = 0
    for lock in sorted(LOCKS.glob("*.txt")):
        found = next((found for service in SERVICES if (found := audited(lock, service)) is not None), None)
        if found is None:
            sys.stdout.write(f"{lock.name}: neither {' nor '.join(SERVICES)} could be asked; nothing is known\n")
            return OFFLINE
        bad = [package for package in found if package["vulns"]]
        for package in bad:
            names = ", ".join(str(one["id"]) for one in package["vulns"])  # type: ignore[attr-defined]  # of JSON
            sys.stdout.write(f"{lock.name}: {package['name']} {package['version']}: {names}\n")
        sys.stdout.write(f"{lock.name}: {len(found)} packages, {len(bad)} with known vulnerabilities\n")
        code |= bool(bad)
    return code


if __name__ == "__main__":
    sys.exit(main())
