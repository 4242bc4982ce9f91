"""python -m tests.bench.score BUNDLE: CPU time of `braid score` on one core, beside preprocessing and graph alone."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from service.score.journal import Journal
from service.score.scorer import Options, Scorer
from service.score.tables import Source


def loop(scorer: Scorer, sources: Sequence[Source]) -> None:
    """Files, preprocessing and graph, and nothing else."""
    for start in range(0, len(sources), scorer.batch):
        parts = [
            {name: value.read_bytes() for name, value in source.parts.items() if isinstance(value, Path)}
            for source in sources[start : start + scorer.batch]
        ]
        rows = scorer.model.encode_all([(given, {}) for given in parts])
        scorer.model.run([row for row in rows if isinstance(row, dict)])


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main(
    bundle: Annotated[Path, typer.Argument()] = Path("models/bundles/digits"),
    rows: Annotated[int, typer.Option()] = 3000,
    rounds: Annotated[int, typer.Option()] = 5,
) -> None:
    scorer = Scorer(Options(bundle))
    parts = dict(scorer.model.bundle.example_files())
    sources = [Source(row, parts) for row in range(rows)]
    took: dict[str, list[float]] = {"loop": [], "score": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            took["loop"].append(seconds(lambda: loop(scorer, sources)))
            journal = Journal(Path(folder) / f"{number}.jsonl", {}, resume=False, overwrite=False)

            def score(journal: Journal = journal) -> None:
                for start in range(0, rows, 64):
                    journal.add(scorer(sources[start : start + 64]))
                journal.finish()

            took["score"].append(seconds(score))
    each = {name: median(found) / rows for name, found in took.items()}
    for name, one in each.items():
        typer.echo(f"{name:<6} {1e6 * one:7.1f} us a row, {1 / one:7.0f} rows/s on one core")
    typer.echo(f"score reaches {each['loop'] / each['score']:.2f} of the loop")


if __name__ == "__main__":
    typer.run(main)
