"""One target under libFuzzer: python -m tests.fuzz.one TARGET CORPUS [libFuzzer's options]. See run.py."""

import sys

import atheris  # in an environment of its own: .venv/fuzz

with atheris.instrument_imports(include=["service.inputs", "service.web", "json"]):
    from tests.fuzz import targets


def main() -> None:
    target = targets.TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
