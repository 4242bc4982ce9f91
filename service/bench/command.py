"""braid bench: options to a run, its progress, its report."""

import resource
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service.bench import plot, report, tables, target
from service.bench.load import Load, Plan
from service.bench.requests import Samples, Subset, Upload, example, files, mix, requests, upload, words
from service.errors import BraidError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
Several = list[str] | None
Paths = list[Path] | None


@app.command()
def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="Server, or its full predict URL with any query.")],
    text: Annotated[
        Several, typer.Option(metavar="WORDS|PATH", help="Words, a file, or a folder; may be repeated.")
    ] = None,
    image: Annotated[Paths, typer.Option(metavar="PATH", help="A file, or a folder of files; may be repeated.")] = None,
    audio: Annotated[Paths, typer.Option(metavar="PATH", help="A file, or a folder of files; may be repeated.")] = None,
    part: Annotated[Several, typer.Option(metavar="NAME=PATH", help="Files for a part of any other name.")] = None,
    bundle: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Send the example of this bundle.")] = None,
    mix_: Annotated[
        str,
        typer.Option(
            "--mix", metavar="MIX", help="Subsets and their weights, such as text+image+audio:3,image:1.  [all parts]"
        ),
    ] = "",
    connections: Annotated[int, typer.Option(min=1, help="How many at once.")] = 32,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Requests a second, whatever the server does (open loop).")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure.")] = 10.0,
    warmup: Annotated[float, typer.Option(min=0.0, help="Seconds of load before that.")] = 1.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a request has failed.")] = 30.0,
    header: Annotated[
        Several, typer.Option(metavar="'NAME: VALUE'", help="Sent with each request; may be repeated.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures here.")] = None,
    svg: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw latencies by percentile here.")
    ] = None,
) -> None:
    """Put a server under load with real requests and measure it.

    `braid bench http://127.0.0.1:8000 --bundle models/bundles/digits`

    Closed loop: each of `--connections` sends its next request when the last is answered: what the server can do.
    Open loop, `--rate 500`: requests fall due at that rate and their latency counts from then, even while none of
    the connections is free: what users feel.

    `braid bench http://127.0.0.1:8000 --text seven --image photos/ --mix text+image:3,image:1 --rate 500 --plot a.svg`

    Exit code 1 if no request at all was answered.
    """
    if svg and svg.suffix != ".svg":
        raise BraidError(f"--plot: {svg}: only SVG is written; give a name that ends in .svg")
    for file in filter(None, (json, svg)):
        if not file.parent.is_dir():  # before the run, not after it
            raise BraidError(f"{file}: there is no folder {file.parent}")
    aim, headers = target.parse(url), [split(line) for line in header or ()]
    samples = collected(text, image, audio, part, bundle)
    if not samples:
        raise BraidError(nothing_to_send(target.parts(aim, headers)))
    subsets = mix(mix_, samples)
    plan = Plan(connections, rate, warmup, seconds, timeout)
    load = Load(aim, plan, requests(aim, samples, subsets, headers))
    cores = run(load)
    found = report.report(load, aim.url, subsets, cores)
    if json:
        write(json, found.model_dump_json(indent=2) + "\n")
    if svg and found.answered:
        write(svg, plot.svg(f"Latency of {found.requests_per_second:.0f} requests/s", drawn(load, subsets)))
    tables.show(found, Console())
    raise typer.Exit(0 if found.answered else 1)


def run(load: Load) -> float:
    """The cores that this client used meanwhile."""
    whole = load.plan.warmup + load.plan.seconds
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=whole)
        start, used = time.perf_counter(), cpu()
        uvloop.run(
            load.run(lambda: progress.update(task, completed=time.perf_counter() - start, description=now(load)))
        )
        return (cpu() - used) / (time.perf_counter() - start)


def now(load: Load) -> str:
    """Of the last second."""
    since = time.perf_counter() - 1
    recent = []
    for answer in reversed(load.answers):
        if answer.end < since:
            break
        recent.append(answer)
    fine = sorted(answer.end - answer.start for answer in recent if report.good(answer.outcome))
    p50 = f"p50 {1000 * report.percentile(fine, 0.5):.1f} ms" if fine else "no answers"
    faults = f", {len(recent) - len(fine)} errors/s" if len(fine) < len(recent) else ""
    return f"{len(fine)} requests/s, {p50}{faults}"


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def collected(
    text: Sequence[str] | None,
    image: Sequence[Path] | None,
    audio: Sequence[Path] | None,
    part: Sequence[str] | None,
    bundle: Path | None,
) -> Samples:
    """Part name -> uploads; what is given by name replaces the bundle's example. Raises BraidError."""
    samples: dict[str, list[Upload]] = example(bundle) if bundle else {}
    if text:
        samples["text"] = [upload for each in text for upload in words(each)]
    paths: dict[str, list[Path]] = {"image": list(image or ()), "audio": list(audio or ())}
    for each in part or ():
        name, equals, path = each.partition("=")
        if not name or not equals:
            raise BraidError(f"--part {each}: give NAME=FILE")
        paths.setdefault(name, []).append(Path(path))
    return samples | {name: uploads(found) for name, found in paths.items() if found}


def uploads(paths: Iterable[Path]) -> list[Upload]:
    return [upload(file) for path in paths for file in files(path)]


def split(line: str) -> tuple[str, str]:
    name, colon, value = (piece.strip() for piece in line.partition(":"))
    if not name or not colon or not line.isascii() or not line.isprintable():
        raise BraidError(f"--header {line!r}: give 'Name: value'")
    return name, value


def nothing_to_send(parts: Sequence[str]) -> str:
    own = ("text", "image", "audio")
    options = [f"--{name} FILE" if name in own else f"--part {name}=FILE" for name in parts or own]
    return f"nothing to send; give {', '.join(options)} (or folders), or --bundle FOLDER for its example"


def drawn(load: Load, subsets: Sequence[Subset]) -> dict[str, list[float]]:
    """One line for all requests, and one a subset if there are several."""
    lines = {"all": report.latencies(load)}
    for number, subset in enumerate(subsets) if len(subsets) > 1 else ():
        lines[subset.name] = report.latencies(load, number)
    return {name: values for name, values in lines.items() if values}


def write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise BraidError(f"{path}: {error.strerror}") from error
