"""What figures depend on: the machine, and the versions of what was measured."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

OURS = ("braid", "onnxruntime", "uvicorn", "numpy", "pillow", "tokenizers")
ASK = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"


def describe() -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return [
        f"- {date.today()}, {processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}."
    ]


def processor() -> str:
    """As Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions(environments: Mapping[str, Path], contestants: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Braid's, then each environment's: what the comparison installs there by name, and onnxruntime."""
    said = [f"{asked(Path(sys.executable), OURS)} (commit {commit()})"]
    for folder in dict.fromkeys(environments.values()):
        tables = [table for table in contestants.values() if table.get("venv", "base") == folder.name]
        packages = [name.split("[")[0] for table in tables for name in table.get("pip", "").split()]
        if packages and (folder / "bin" / "python").exists():
            said.append(asked(folder / "bin" / "python", [*packages, "onnxruntime"]))
    return [f"- Versions: {'; '.join(said)}."]


def asked(python: Path, packages: tuple[str, ...] | list[str]) -> str:
    done = subprocess.run([python, "-c", ASK, *packages], capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"{', '.join(packages)} of unknown version"


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
