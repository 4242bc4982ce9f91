"""The names of classes: from a file of them, or from what an exporter has written into the graph."""

import ast
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from models.importers.guess.given import Given
from service.errors import BundleError


def named(given: Given, metadata: Mapping[str, str]) -> list[str]:
    """Labels in the order of their classes. Raises BundleError."""
    if given.labels:
        return listed(given.labels)
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))  # Ultralytics writes a dict, as Python shows it
    except (ValueError, SyntaxError):
        return []
    return ordered(names)


def listed(file: Path) -> list[str]:
    """One a line; or JSON or YAML: a list, or names by number, also under id2label or names."""
    readers: dict[str, Callable[[str], Any]] = {".json": json.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load}
    try:
        found = readers.get(file.suffix, lines)(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BundleError(f"--labels {file}: not readable") from error
    if isinstance(found, dict):
        found = found.get("id2label") or found.get("names") or found
    if not (labels := ordered(found)):
        raise BundleError(f"--labels {file}: neither a list of names nor names by number")
    return labels


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def ordered(names: Any) -> list[str]:
    if isinstance(names, dict):
        try:
            return [str(name) for _, name in sorted((int(number), name) for number, name in names.items())]
        except ValueError:
            return []
    return [str(name) for name in names] if isinstance(names, list) else []
