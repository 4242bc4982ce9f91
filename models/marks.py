"""Tables of Markdown, and their places in a page that is written by hand."""

from collections.abc import Sequence
from pathlib import Path


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Head and rows."""
    head, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def write(text: str, path: Path, begin: str, end: str) -> None:
    """Between two marks of a file. Raises ValueError where they are not there."""
    page = path.read_text(encoding="utf-8")
    before, mark, rest = page.partition(begin)
    _, last, after = rest.partition(end)
    if not mark or not last:
        raise ValueError(f"{path}: no lines {begin} and {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
