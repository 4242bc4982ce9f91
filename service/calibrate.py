"""How a model runs best on this machine: measured on its own example, cached; only speed depends on it."""

import hashlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from service import __version__
from service.engine import VERSION
from service.model import Model
from service.types import Row, Spec

INLINE_ENCODE = 0.001  # seconds; below, a thread hop costs more than it gives
INLINE_RUN = 0.0005  # seconds of one row; below, the graph runs on the event loop itself
HEAVY_RUN = 0.01  # seconds of one row; above, one process serves all cores: threads share the weights
ENOUGH = 0.05  # seconds of one measurement
GAIN = 0.95  # a larger batch, which takes more memory, must cost a row less than this share of a smaller one's
DEFAULT = 8  # rows of a batch, until more is known; of a heavy graph, which gains little by it, one
MOST = 16  # rows of a batch


class Plan(Spec):
    """Seconds are processor seconds of one thread: whatever else the machine or the process does, they hold."""

    encode: float = Field(description="seconds to encode the example")
    runs: dict[int, float] = Field(description="rows of a batch -> seconds a row")

    def learn(self, size: int, seconds: float) -> "Plan":
        return self.model_copy(update={"runs": {**self.runs, size: seconds}})

    @property
    def inline(self) -> bool:
        """The graph runs on the event loop."""
        return self.runs[1] < INLINE_RUN

    @property
    def heavy(self) -> bool:
        return self.runs[1] > HEAVY_RUN

    @property
    def batch(self) -> int:
        """The largest batch that still pays."""
        return self.best if len(self.runs) > 1 or self.heavy else DEFAULT

    @property
    def next(self) -> int | None:
        """The batch size to measure next, unless the last two were no gain."""
        size = 2 * max(self.runs)
        return size if size <= min(MOST, 4 * self.best) else None

    @property
    def best(self) -> int:
        best = 1
        for size, seconds in sorted(self.runs.items()):
            if seconds < GAIN * self.runs[best]:
                best = size
        return best

    def pace(self, size: int, lanes: int) -> float:
        """Seconds from one answer to the next, at best, in batches of `size`."""
        return (self.encode + self.row(size)) / lanes

    def row(self, size: int) -> float:
        """Seconds a row in batches of `size`, as far as was measured."""
        return self.runs[max(known for known in self.runs if known <= size)]

    def inline_encode(self, share: float) -> bool:
        """Whether parts of `share` times the example's bulk are encoded on the event loop."""
        return self.encode * share < INLINE_ENCODE

    def __str__(self) -> str:
        rows = ", ".join(f"{size}: {seconds * 1e6:.0f}" for size, seconds in sorted(self.runs.items()))
        where = "on the event loop" if self.inline else "in an engine thread"
        graph = f"graph {where}, us a row by batch {{{rows}}}"
        return f"encode {self.encode * 1e6:.0f} us; {graph}; batches up to {self.batch}"


def quick(model: Model) -> Plan:
    """What must be known before the first request."""
    parts, row, _ = model.example
    return Plan(encode=best(lambda: model.encode(parts, {})), runs={1: rows(model, row, 1)})


def rows(model: Model, row: Row, size: int) -> float:
    """Seconds a row in batches of `size`."""
    return best(lambda: model.run([row] * size)) / size


def best(work: Callable[[], object]) -> float:
    """Of up to five runs, after one that warms up."""
    work()
    clock = time.thread_time  # the graph runs in the calling thread; others may be at work
    took: list[float] = []
    while len(took) < 2 or (len(took) < 5 and sum(took) < ENOUGH):
        start = clock()
        work()
        took.append(clock() - start)
    return min(took)


def key(model: Model) -> str:
    """Changes with the bundle, the machine and the versions that decide speed."""
    about = (
        model.bundle.digest, model.bundle.variant,
        model.engine.providers, model.decoders is None,
        platform.machine(), processor(), len(os.sched_getaffinity(0)), VERSION, __version__,
    )  # fmt: skip
    return hashlib.sha256(repr(about).encode()).hexdigest()


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), "")


def recall(folder: Path | None, model: Model) -> Plan | None:
    try:
        return Plan.model_validate_json((folder / f"{key(model)}.json").read_text()) if folder else None
    except (OSError, ValidationError):
        return None


def remember(folder: Path | None, model: Model, plan: Plan) -> None:
    """Does nothing where nothing can be written."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{key(model)}.{os.getpid()}"
        draft.write_text(plan.model_dump_json())
        draft.replace(folder / f"{key(model)}.json")
    except OSError:
        return
