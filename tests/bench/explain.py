"""python -m tests.bench.explain BUNDLE: what explanations cost on one core, as CPU time beside one run of the graph."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from service import bundle
from service.explain import places, shapley, target
from service.explain.occlusion import Method
from service.model import Model
from service.types import NOTHING, Parts, Row


def asked(model: Model, parts: Parts) -> tuple[Row, target.Target]:
    """The row with its answer, and the number to explain."""
    row = model.encode(parts, {})
    row |= model.run([row])[0]
    return row, target.choose(model.manifest.given(parts), row, NOTHING, {})


def works(model: Model) -> dict[str, Callable[[], object]]:
    """By name, in the order in which they are taken in each round."""
    parts, _, _ = model.bundle.example()
    row, chosen = asked(model, parts)

    def shares() -> object:
        return places.answered(shapley.explained(model, row, list(parts), chosen), model.run)

    def inside(alone: Parts) -> Callable[[], object]:
        one, of = asked(model, alone)
        question = places.Question(model, alone, one, of, Method())
        return lambda: places.answered(places.places(question), model.run)

    heat = {f"places in {name}": inside({name: data}) for name, data in parts.items()}
    return {"one run": lambda: model.run([row]), "parts": shares, **heat}


def main(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE")] = Path("models/bundles/digits"),
    rounds: Annotated[int, typer.Option(help="of all works, one after the other")] = 50,
) -> None:
    """Medians over rounds that take turns, so that what else the machine does meets all of them alike."""
    every = works(Model(bundle.read(folder)))
    took: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(rounds):
        for name, work in every.items():
            start = time.process_time()
            work()
            took[name].append(time.process_time() - start)
    one = median(took["one run"])
    for name, found in took.items():
        typer.echo(f"{name:<16} {1e3 * median(found):7.2f} ms   {median(found) / one:6.1f} times one run")


if __name__ == "__main__":
    typer.run(main)
