"""python -m tests.fuzz.run --seconds 600 [TARGET...]: atheris on each target in turn; exit code 1 if it found anything.

libFuzzer mutates the seeds and keeps what reaches new code of ours; of the libraries underneath only the outcome is
seen. What it finds is left in the folder of --keep as crash-*, and belongs, made small, into tests/fuzz/corpus/TARGET,
where `make check` replays it.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import targets

MEMORY = 1024  # MiB
SECONDS = 5  # of one input


def fuzz(name: str, seconds: int, keep: Path | None) -> bool:
    """In a process of its own, since libFuzzer ends its process. Whether nothing was found."""
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place)
        for seed in targets.seeds(name):
            (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        begun = len(list(corpus.iterdir()))
        options = [
            f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY}", "-max_len=20000",
            "-print_final_stats=1", f"-artifact_prefix={keep or corpus.parent}/crash-{name}-",
        ]  # fmt: skip
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(corpus), *options]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = next((line.split()[-1] for line in run.stderr.splitlines() if "number_of_executed_units" in line), "?")
        sys.stdout.write(
            f"{name:13} {runs:>9} runs, {begun:4} seeds, {len(list(corpus.iterdir())) - begun:5} found new code\n"
        )
        sys.stdout.flush()
        if run.returncode:
            sys.stdout.write(run.stdout[-3000:] + run.stderr[-5000:])
        return run.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for all of them together")
    parser.add_argument("--keep", type=Path, help="folder for what is found")
    given = parser.parse_args()
    chosen = given.targets or list(targets.TARGETS)
    each = max(1, given.seconds // len(chosen))
    found = [name for name in chosen if not fuzz(name, each, given.keep)]
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
