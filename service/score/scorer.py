"""Sources to lines of JSON: encode, run in batches as large as pays, decode. A bad row costs itself only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from service import calibrate
from service.bundle import read
from service.errors import Failed, RequestError, TooLarge
from service.limits import DEFAULTS, Limits
from service.model import Model
from service.score.tables import Source
from service.types import Asked, Parts, Row, Stages


@dataclass(frozen=True)
class Options:
    """How to score; travels to other processes and machines, so it holds what they can load the model from."""

    bundle: Path
    variant: str | None = None
    providers: tuple[str, ...] = ("CPU",)
    batch: int | None = None  # rows; unless given: what pays
    top_k: int | None = None
    threshold: float | None = None
    raw: bool = False
    limits: Limits = DEFAULTS
    cache: Path | None = None


class Scorer:
    """A proven model that takes rows by the hundred."""

    def __init__(self, options: Options) -> None:
        """Raises BundleError, SettingsError."""
        self._options = options
        self._asked = Asked(top_k=options.top_k, threshold=options.threshold)
        self.model = Model(read(options.bundle, options.variant), limits=options.limits, providers=options.providers)
        self.model.prove()
        self.batch = self.model.most or options.batch or calibrated(self.model, options.cache)

    def __call__(self, sources: Sequence[Source]) -> list[bytes]:
        """One line a source, in their order."""
        parts: list[dict[str, bytes] | RequestError] = [self._read(source) for source in sources]
        good: list[tuple[Parts, Stages]] = [(given, {}) for given in parts if isinstance(given, dict)]
        encoded = iter(self.model.encode_all(good))
        rows = [next(encoded) if isinstance(given, dict) else given for given in parts]
        answers = iter(self._run([row for row in rows if not isinstance(row, RequestError)]))
        lines = []
        for source, given, row in zip(sources, parts, rows, strict=True):
            found = row if isinstance(row, RequestError) else next(answers)
            if isinstance(found, RequestError):
                lines.append(rejected(source, found))
            else:
                assert isinstance(given, dict)
                assert isinstance(row, dict)
                answer = self.model.decode(row | found, given, self._asked, raw=self._options.raw)
                lines.append(orjson.dumps({"row": source.row, **source.kept, **answer}, default=str))
        return lines

    def _read(self, source: Source) -> dict[str, bytes] | RequestError:
        if source.trouble:
            return unreadable(source.trouble)
        parts: dict[str, bytes] = {}
        for name, value in source.parts.items():
            try:
                data = contents(value)
            except OSError as error:
                return unreadable(f"{value!s}: {error.strerror}", name)
            most = self.model.manifest.inputs[name].limit(self._options.limits)
            if len(data) > most:
                return TooLarge(f"{len(data)} bytes", part=name, limit=most)
            parts[name] = data
        return parts

    def _run(self, rows: Sequence[Row]) -> list[Row | RequestError]:
        found: list[Row | RequestError] = []
        for start in range(0, len(rows), self.batch):
            batch = rows[start : start + self.batch]
            try:
                found += self.model.run(batch)
            except Exception:  # whatever the graph does not like; which row it is, is found out row by row
                found += [self._alone(row) for row in batch]
        return found

    def _alone(self, row: Row) -> Row | RequestError:
        try:
            return self.model.run([row])[0]
        except Exception:
            return Failed("the model failed on this row")


def calibrated(model: Model, cache: Path | None) -> int:
    """Rows of a batch that pay on this machine: measured, or remembered."""
    plan = calibrate.recall(cache, model) or calibrate.quick(model)
    if plan.next:
        row = model.example.row
        while size := plan.next:
            plan = plan.learn(size, calibrate.rows(model, row, size))
        calibrate.remember(cache, model, plan)
    return plan.batch


def contents(value: str | bytes | Path) -> bytes:
    if isinstance(value, Path):
        return value.read_bytes()
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def unreadable(detail: str, part: str | None = None) -> RequestError:
    return RequestError(detail, part=part)


def rejected(source: Source, error: RequestError) -> bytes:
    """The row, and why; with the columns that were to be kept."""
    code = "unreadable" if type(error) is RequestError else error.code
    why: Mapping[str, Any] = {"code": code, "detail": error.detail, "part": error.part}
    return orjson.dumps({"row": source.row, **source.kept, "error": why}, default=str)
