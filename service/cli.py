"""braid serve | verify | predict | score | bench: the command line."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: its threads would spin against the event loop
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from service import __version__, folders, keys, logs, server, settings, tls, tracing
from service.bundle import CARD, MANIFEST, read, seal
from service.changes import Changes
from service.errors import BraidError, RequestError
from service.explain import check
from service.model import Model
from service.supervisor import Supervisor
from service.types import Asked

app = typer.Typer(
    help="Serve multimodal ONNX models over REST: text, image and sound in one request, any subset of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder with a manifest.yaml, such as models/bundles/digits.")
]


def version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"braid {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BUNDLE...", help="Bundle folders, or folders of bundles; the first is the default model."
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [BRAID_HOST, 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes any free one.  [BRAID_PORT, 8000]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the port.  [BRAID_WORKERS, measured]")
    ] = None,
    providers: Annotated[
        str | None,
        typer.Option(help="Such as CUDA,CPU; all must start.  [BRAID_PROVIDERS, CPU]"),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Such as fp16 or int8, if the bundles have it.  [BRAID_VARIANT, none]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads inside a graph for who is alone.  [BRAID_THREADS, measured]")
    ] = None,
    require_signature: Annotated[
        Path | None, typer.Option(help="Public keys; what none has signed is refused.  [BRAID_REQUIRE_SIGNATURE, none]")
    ] = None,
    log: Annotated[str | None, typer.Option(help="info, warning or off.  [BRAID_LOG, info]")] = None,
) -> None:
    """Serve bundles over HTTP.

    Every option, and much more (README has the table), is also a setting:
    `BRAID_PORT=9000 braid serve models/bundles/digits`.

    Try it: `curl -F text="the number seven" http://127.0.0.1:8000/v1/predict`
    """
    given = {
        "bundles": tuple(bundles) if bundles else None,
        "host": host,
        "port": port,
        "workers": workers,
        "providers": providers,
        "variant": variant,
        "threads": threads,
        "require_signature": require_signature,
        "log": log,
    }
    chosen = settings.read(given)
    keys.check(chosen)
    tls.context(chosen)
    tracing.check(chosen.traces)
    lines = logs.Log(chosen.log)
    Supervisor(partial(server.serve, chosen), chosen, lines, Changes(folders.find(chosen), chosen, lines)).run()


@app.command()
def verify(
    bundle: BundleArgument,
    variant: Annotated[str | None, typer.Option(help="Such as fp16 or int8, if the bundle has it.")] = None,
    require_signature: Annotated[
        Path | None, typer.Option(help="Public keys, one of which must have signed it.")
    ] = None,
) -> None:
    """Replay a bundle's example and print, tensor by tensor, the difference to what training computed; for imported
    bundles to what transformers' processors and the graph computed, where they were at hand.

    `braid verify models/bundles/digits`

    Exit code 0 if all are within tolerance, 1 if not.
    """
    model = Model(read(bundle, variant, vouch=folders.vouch(require_signature)))
    differences = model.replay()
    width = max(map(len, differences))
    good = True
    for tensor, difference in differences.items():
        fine = difference <= model.tolerance(tensor)
        good &= fine
        typer.echo(f"{tensor:<{width}}  {difference:.3e}  {'ok' if fine else f'over {model.tolerance(tensor):g}'}")
    reference = model.manifest.reference
    typer.echo(f"{bundle}: verified against {reference}" if good else f"{bundle}: NOT what {reference} computed")
    raise typer.Exit(0 if good else 1)


@app.command()
def predict(
    bundle: BundleArgument,
    text: Annotated[str | None, typer.Option(help="The part named text.")] = None,
    image: Annotated[Path | None, typer.Option(help="A file for the part named image.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A file for the part named audio.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE for a part of any other name; may be repeated.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Labels in the answer.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A candidate, where labels are the request's.")] = None,
    template: Annotated[str | None, typer.Option(help="A sentence with {} in place of a label.")] = None,
) -> None:
    """Predict once, without a server, and print the same JSON.

    `braid predict models/bundles/digits --text seven --image seven.png`
    """
    model = Model(read(bundle))
    files = {"image": image, "audio": audio} | {
        name: Path(file) for name, _, file in (p.partition("=") for p in part or [])
    }
    parts = {} if text is None else {"text": text.encode()}
    parts |= {name: contents(file) for name, file in files.items() if file is not None}
    asked = Asked(top_k, labels=tuple(label) if label else None, template=template)
    row = model.encode(parts, {})
    if asked.labels:
        row |= model.candidates(parts, asked)
    document = {
        "model": model.manifest.name,
        "version": model.manifest.version,
        **model.decode(row | model.run([row])[0], parts, asked),
    }
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is; seen in metrics.")],
    rate: Annotated[float | None, typer.Option(help="Requests a second that it may send to each worker.")] = None,
    manage: Annotated[bool, typer.Option("--manage", help="It may load and reload models.")] = False,
) -> None:
    """Make an API key: print it, once, and the line for the file of BRAID_KEYS.

    `braid key alice --rate 20`
    """
    made, line = keys.make(name, rate, manage=manage)
    typer.echo(f"key:  {made}\nline: {line}")


@app.command("signing-key")
def signing_key(file: Annotated[Path, typer.Argument(help="Where the private key goes; must not exist.")]) -> None:
    """Make a key pair to sign bundles with: FILE, which stays secret, and FILE.pub, which servers get.

    `braid signing-key release`
    """
    from service import signing  # only here: serving never pays for it

    typer.echo(f"private: {file}\npublic:  {signing.make(file)}")


@app.command()
def sign(
    bundle: BundleArgument,
    key: Annotated[Path, typer.Option(help="File of the private key (PEM, Ed25519).")],
) -> None:
    """Sign a bundle: its manifest, and so all files, whose digests it holds; the model card as well.

    `braid sign models/bundles/digits --key release`
    """
    from service import signing  # only here: serving never pays for it

    private, manifest = signing.private(key), read(bundle).manifest
    if (bundle / CARD).exists() and CARD not in manifest.sha256:
        seal(bundle, manifest, [*manifest.sha256, CARD])
    typer.echo(f"{signing.sign(bundle / MANIFEST, private)}: signs {len(read(bundle).manifest.sha256)} files")


@app.command("explain-check")
def explain_check(
    bundle: BundleArgument,
    samples: Annotated[
        Path | None, typer.Option(help="A folder of folders with files named after the parts; else the example alone.")
    ] = None,
    orders: Annotated[int, typer.Option(min=1, help="Random orders to compare with.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the random orders.")] = 0,
    write: Annotated[bool, typer.Option(help="Put the table into the bundle's model card.")] = False,
) -> None:
    """Are a model's explanations faithful? Deletion and insertion curves against random order.

    `braid explain-check models/bundles/digits`

    Exit code 0 if they are better than random for every part, 1 if not.
    """
    model = Model(read(bundle))
    areas = check.check(model, samples, orders=orders, seed=seed)
    Console().print(check.table(areas))
    if write:
        check.write(bundle, areas, len(check.samples(model, samples)))
    raise typer.Exit(0 if all(map(check.faithful, areas.values())) else 1)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def bench(context: typer.Context) -> None:
    """Put a server under load with real requests and measure it."""
    from service.bench.command import app  # only here: serving never pays for it

    app(context.args, prog_name="braid bench")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def score(context: typer.Context) -> None:
    """Score a whole table, without a server: CSV, JSONL, Parquet or a folder of files."""
    from service.score.command import app  # only here: serving never pays for it

    app(context.args, prog_name="braid score")


def contents(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BraidError(f"{file}: {error.strerror}") from error


def main() -> None:
    """Errors of ours are one line and exit code 2."""
    try:
        app()
    except RequestError as error:
        fail(f"part {error.part}: {error.detail}" if error.part else error.detail)
    except BraidError as error:
        fail(str(error))


def fail(line: str) -> None:
    typer.echo(f"braid: {line}", err=True)
    sys.exit(2)
