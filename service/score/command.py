"""braid score: options to a job, its progress, its summary."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from service import settings
from service.bundle import read
from service.score import cluster, job, tables
from service.score.journal import Journal
from service.score.scorer import Options
from service.score.tables import Source, TableError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
Several = list[str] | None


@app.command()
def score(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder with a manifest.yaml.")],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="CSV, TSV, JSONL or Parquet; or a folder whose files of one name are the parts of one row.",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Written when all is done: .jsonl, .csv or .parquet.")],
    column: Annotated[
        Several, typer.Option(metavar="PART=COLUMN", help="Which column a part is, unless it has its name.")
    ] = None,
    keep: Annotated[Several, typer.Option(metavar="COLUMN", help="Copied to the output; may be repeated.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.  [one a core]")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows of one run of the graph.  [measured]")] = None,
    variant: Annotated[str | None, typer.Option(help="Such as fp16 or int8, if the bundle has it.")] = None,
    providers: Annotated[str, typer.Option(help="Such as CUDA,CPU.")] = "CPU",
    top_k: Annotated[int | None, typer.Option(min=1, help="Labels of each answer.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least score of what is listed.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Add the graph's own outputs.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run was cut off.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace output and unfinished run.")] = False,
    ray: Annotated[
        bool, typer.Option("--ray", help="On a Ray cluster, started on this machine unless --address names one.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster, such as ray://host:10001.")] = None,
) -> None:
    """Score a table: every row through the model, exactly as the server would answer it.

    `braid score models/bundles/digits table.csv --output scores.csv`

    Cells of image and audio columns are files, relative to the table; an empty cell is an absent part. Rows that cannot
    be scored go to FILE.rejects.jsonl with the reason, and the run goes on. The order is kept.
    """
    inputs = read(bundle, variant).manifest.inputs
    given = dict(mapping(one) for one in column or [])
    sources = opened(table, inputs, given, keep or [])
    asked = {"top_k": top_k, "threshold": threshold, "raw": raw, "variant": variant}
    limits = settings.read({})
    options = Options(
        bundle.resolve(),
        variant,
        tuple(providers.split(",")),
        batch,
        top_k,
        threshold,
        raw,
        limits=limits,
        cache=limits.cache,
    )
    journal = Journal(output, about(bundle, table, given, keep, asked), resume=resume, overwrite=overwrite)
    rest = itertools.islice(sources, journal.done, None)
    count = workers or (1 if providers != "CPU" else job.cores())
    scored = cluster.run(options, rest, count, address) if ray or address else job.run(options, rest, count)
    console = Console(stderr=True)
    with progress(console) as shown:
        task = shown.add_task("scoring", total=tables.count(table), completed=journal.done)
        for lines in scored:
            journal.add(lines)
            shown.advance(task, len(lines))
    good, bad = journal.finish()
    console.print(f"{good} rows scored: {output}" + (f"; {bad} rejected: {journal.rejects}" if bad else ""))
    raise typer.Exit(0 if good or not bad else 1)


def mapping(given: str) -> tuple[str, str]:
    part, equals, column = given.partition("=")
    if not equals:
        raise TableError(f"--column {given}: say PART=COLUMN")
    return part, column


def opened(
    table: Path, inputs: Mapping[str, tables.Input], given: Mapping[str, str], keep: list[str]
) -> Iterator[Source]:
    """Raises TableError."""
    if table.is_dir():
        if given or keep:
            raise TableError("a folder has no columns")
        return tables.files(table, inputs)
    if not table.is_file():
        raise TableError(f"{table}: no such file")
    if table.suffix not in tables.TABLES:
        raise TableError(f"{table}: tables end in {', '.join(tables.TABLES)}")
    return tables.rows(table, tables.columns(table, inputs, given, keep, tables.names(table)))


def about(
    bundle: Path, table: Path, given: Mapping[str, str], keep: list[str] | None, asked: Mapping[str, object]
) -> dict[str, object]:
    """What must be the same for a run to be gone on with."""
    state = table.stat()
    made = {name: value for name, value in asked.items() if value}
    return {
        "bundle": (bundle / "manifest.yaml").read_text(),
        "table": str(table.resolve()),
        "size": state.st_size,
        "changed": state.st_mtime_ns,
        "columns": given,
        "keep": keep or [],
        **made,
    }


class Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} rows/s" if task.speed else "")


def progress(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console)
