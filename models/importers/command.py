"""python -m models import huggingface: what needs neither torch nor onnx nor transformers."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="Turn a model that was exported elsewhere into a bundle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()
To = Annotated[Path, typer.Argument(metavar="OUT", help="the bundle's folder, whose name is the model's")]
Force = Annotated[bool, typer.Option("--force", help="write over a bundle that is there")]


@app.command()
def huggingface(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a local export: config.json, a graph, processors")],
    to: To,
    variant: Annotated[
        str | None, typer.Option(help="of the graph, such as fp16 or quantized  [the most precise]")
    ] = None,
    force: Force = False,
) -> None:
    """An export of optimum, transformers.js, onnx-community or sentence-transformers: config.json says what it is."""
    from models.importers.huggingface.convert import convert

    made = convert(folder, to, warn, variant=variant, force=force)
    console.print(f"wrote {to}, proven against {made.manifest.reference}; next: braid serve {to}", soft_wrap=True)


def warn(line: str) -> None:
    Console(stderr=True).print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
