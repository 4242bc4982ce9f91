"""The same on a Ray cluster, through Ray Data. The bundle's folder must be at the same path on every machine."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from service.score.job import chunks
from service.score.scorer import Options, Scorer
from service.score.tables import Source, TableError


class Remote:
    """A scorer on a machine of the cluster."""

    def __init__(self, options: Options) -> None:
        self._scorer = Scorer(options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        lines = [b"\n".join(self._scorer(chunk)) for chunk in batch["chunk"]]
        return {"lines": np.array(lines, np.object_)}


def run(options: Options, sources: Iterable[Source], workers: int, address: str | None) -> Iterator[list[bytes]]:
    """`address`: of a cluster that runs; None starts one on this machine. Raises TableError."""
    try:
        import ray
    except ImportError as error:
        raise TableError("--ray needs Ray Data: pip install 'braid[ray]'") from error
    ray.init(
        address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False
    )
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        table = [{"chunk": chunk} for chunk in chunks(sources)]
        if not table:
            return
        data = ray.data.from_items(table)
        scored = data.map_batches(Remote, batch_size=1, concurrency=workers, fn_constructor_args=(options,))
        for row in scored.iter_rows():
            yield row["lines"].split(b"\n")
    finally:
        ray.shutdown()
