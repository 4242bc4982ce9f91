"""What has been scored so far, a line a row, beside the output until all is done; then the output itself."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from service.score.tables import TableError

ENDINGS = (".csv", ".jsonl", ".parquet")
GROUP = 10_000  # rows of a Parquet file written at once


class Journal:
    """OUTPUT.part: one line about the run, then one a row. A line that was cut off by a crash is not counted."""

    def __init__(self, output: Path, about: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Raises TableError."""
        if output.suffix not in ENDINGS:
            raise TableError(f"{output}: the output ends in {', '.join(ENDINGS)}")
        self.output, self._path = output, output.with_name(output.name + ".part")
        self._rejects = output.with_name(output.name + ".rejects.jsonl")
        head = orjson.dumps(about, default=str)
        self.done = 0
        if self._path.exists() and not overwrite:
            if not resume:
                raise TableError(f"{self._path}: an unfinished run; --resume goes on with it, --overwrite begins anew")
            self._check(head)
            self._file = self._path.open("ab")
            return
        if output.exists() and not overwrite:
            raise TableError(f"{output}: exists; --overwrite replaces it")
        output.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb")
        self._file.write(head + b"\n")

    def _check(self, head: bytes) -> None:
        """Counts whole lines and cuts the rest off."""
        whole = 0
        with self._path.open("rb+") as file:
            if file.readline() != head + b"\n":
                raise TableError(f"{self._path}: begun with another bundle, table or options; --overwrite begins anew")
            whole = file.tell()
            for line in file:
                if line.endswith(b"\n"):
                    self.done += 1
                    whole += len(line)
            file.truncate(whole)

    def add(self, lines: Sequence[bytes]) -> None:
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()

    def finish(self) -> tuple[int, int]:
        """Writes output and rejects; returns how many rows are in each."""
        self._file.close()
        good, bad = 0, 0
        with self._rejects.open("wb") as rejects:
            for line in self._lines():
                if is_rejected(line):
                    rejects.write(line)
                    bad += 1
                else:
                    good += 1
        if not bad:
            self._rejects.unlink()
        draft = self.output.with_name(self.output.name + ".draft")
        {".jsonl": self._jsonl, ".csv": self._csv, ".parquet": self._parquet}[self.output.suffix](draft)
        draft.replace(self.output)
        self._path.unlink()
        return good, bad

    @property
    def rejects(self) -> Path:
        return self._rejects

    def _lines(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            next(file)
            yield from file

    def _good(self) -> Iterator[dict[str, Any]]:
        for line in self._lines():
            if not is_rejected(line):
                yield flat(orjson.loads(line))

    def _jsonl(self, draft: Path) -> None:
        with draft.open("wb") as file:
            file.writelines(line for line in self._lines() if not is_rejected(line))

    def _names(self) -> list[str]:
        found: dict[str, None] = {}
        for row in self._good():
            found |= dict.fromkeys(row)
        return list(found)

    def _csv(self, draft: Path) -> None:
        names = self._names()
        with draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in self._good():
                writer.writerow({name: cell(value) for name, value in row.items()})

    def _parquet(self, draft: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        kinds: dict[str, Any] = {}
        for row in self._good():
            for name, value in row.items():
                if value is not None:
                    kind = arrow(value, pyarrow)
                    kinds[name] = kind if kinds.get(name, kind) == kind else pyarrow.string()
        schema = pyarrow.schema(list(kinds.items()))
        with pyarrow.parquet.ParquetWriter(draft, schema) as writer:
            group: list[dict[str, Any]] = []
            for row in self._good():
                group.append({name: fitted(row.get(name), kind, pyarrow) for name, kind in kinds.items()})
                if len(group) == GROUP:
                    writer.write_table(pyarrow.Table.from_pylist(group, schema))
                    group.clear()
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def is_rejected(line: bytes) -> bool:
    return b'"error":' in line and "error" in orjson.loads(line)


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """`outputs` to one column a number: digit.label, digit.score; `parts` to part.text, true where it was used."""
    found = {name: value for name, value in row.items() if name not in ("outputs", "parts", "raw")}
    for output, said in row["outputs"].items():
        found |= {f"{output}.{key}": value for key, value in said.items()}
    for part, said in row["parts"].items():
        found[f"part.{part}"] = said["used"]
        if "weight" in said:
            found[f"part.{part}.weight"] = said["weight"]
    return found | {f"raw.{name}": value for name, value in row.get("raw", {}).items()}


def cell(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value


def is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) in (int, float) for one in value)


def arrow(value: Any, pyarrow: Any) -> Any:
    if isinstance(value, bool):
        return pyarrow.bool_()
    if isinstance(value, int | float):
        return pyarrow.float64()
    return pyarrow.list_(pyarrow.float64()) if is_numbers(value) else pyarrow.string()


def fitted(value: Any, kind: Any, pyarrow: Any) -> Any:
    if value is None or kind != pyarrow.string():
        return value
    return value if isinstance(value, str) else orjson.dumps(value).decode()
