"""python -m models: new, train, evaluate, export, compare, head, quantize, sanity, import, and those of examples.py.

Commands import what they need when they run: torch is not needed for what does not train with it.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models import examples, steps
from models.importers import command as importers
from models.options import WORK, Data, Threads, Work, bars, console, idle, require, say
from models.table import draft, lines
from models.table.columns import UNLABELLED
from models.variant import BOUNDS, USUAL, Device, Kind, Order
from service.errors import BundleError

app = typer.Typer(
    help="Make models that `braid serve` can serve: get the data, train, evaluate, export a bundle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(importers.app, name="import")

Name = Annotated[str, typer.Argument(help="a recipe of models/recipes/, or the path of a .yaml file")]
Trained = Annotated[str, typer.Argument(help="a recipe, or the folder that training on a table has left")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="of the model; NAME.yaml is written")],
    data: Annotated[Path, typer.Option(help="the table: CSV, JSONL or Parquet")],
    label: Annotated[
        list[str] | None, typer.Option(help="column to predict, where the guess is wrong; repeatable")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="embedding or anomaly: what no column need tell  [what the columns tell]")
    ] = None,
    force: Annotated[bool, typer.Option(help="write over a NAME.yaml that exists")] = False,
) -> None:
    """Write a first recipe for a table: parts, task, labels and sizes as guessed, with comments."""
    file = Path(name).with_suffix(".yaml") if not name.endswith(".yaml") else Path(name)
    require(force or not file.exists(), f"{file} exists; --force writes over it")
    require(task in (None, *UNLABELLED), f"no task {task!r}; there are {', '.join(UNLABELLED)}, or none to name")
    file.write_text(draft.write(file.stem, lines.read(data), label or [], task), encoding="utf-8")
    say(f"wrote {file}; next: python -m models train {file} --data {data} --output runs/{file.stem}")


@app.command()
def train(
    name: Name,
    data: Data = Path("data"),
    work: Work = WORK,
    output: Annotated[Path | None, typer.Option(help="of a table: the folder of the run  [runs/NAME]")] = None,
    resume: Annotated[bool, typer.Option(help="go on where an interrupted training stopped")] = False,
    skip_bad: Annotated[bool, typer.Option(help="of a table: leave bad rows out, and say which")] = False,
    threads: Threads = None,
) -> None:
    """Train what a recipe says, on a table or on the data of an example."""
    folder = output or Path("runs") / Path(name).stem
    steps.train(name, data, work, folder, resume=resume, skip=skip_bad, threads=threads or idle())


@app.command("evaluate")
def evaluate_(name: Trained, data: Data = Path("data"), work: Work = WORK) -> None:
    """Ask the trained networks what they have never seen; prints the model card's table and keeps it for `export`."""
    steps.evaluate(name, data, work)


@app.command()
def export(
    name: Trained,
    to: Annotated[
        Path | None, typer.Option("--to", "--output", help="the bundle's folder  [models/bundles/NAME, bundles/NAME]")
    ] = None,
    work: Work = WORK,
) -> None:
    """Write the bundle: graph, example, manifest, model card; checked against torch before it is kept."""
    steps.export(name, work, to)


@app.command()
def head(
    run: Annotated[Path, typer.Argument(help="the folder that training a network on a table has left")],
    data: Annotated[Path, typer.Option(help="the same table")],
    output: Annotated[Path, typer.Option(help="the folder of the new run")],
    classifier: Annotated[str, typer.Option(help="svm, linear_svm, tree, forest or logistic")] = "svm",
    regressor: Annotated[str, typer.Option(help="svm, tree, forest, linear, ridge or lasso")] = "ridge",
    threads: Threads = None,
) -> None:
    """Put scikit-learn in the place of a trained network's heads, the network being frozen."""
    from models.classic import frozen

    frozen.train(run, data, output, classifier, regressor, bars(), console, threads=threads or idle())
    say(f"fitted; next: python -m models evaluate {output}")


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="recipes for one table")],
    data: Annotated[Path, typer.Option(help="the table")],
    output: Annotated[Path, typer.Option(help="runs and bundles are kept here")] = Path("runs/compare"),
    fusions: Annotated[
        str, typer.Option(help="each recipe with these kinds of fusion: all, or some, with commas")
    ] = "",
    into: Annotated[
        Path | None, typer.Option(help="a Markdown file with a line <!-- compare --> and one <!-- end -->")
    ] = None,
    threads: Threads = None,
) -> None:
    """Train several recipes on one table; print what each costs and how good it is."""
    from models.table import compare as comparer

    recipes = comparer.variants([steps.given(name) for name in names], fusions)
    found = comparer.compare(recipes, data, output, bars, console, threads=threads or idle())
    comparer.show(found, console)
    if into:
        comparer.write(found, into)
        say(f"wrote {into}")


@app.command()
def quantize(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="a folder with a manifest.yaml")],
    kind: Annotated[Kind | None, typer.Option(help="int8 unless --for cuda  [fp16 there]")] = None,
    bound: Annotated[
        float | None, typer.Option(min=1e-6, help="largest difference of an output  [fp16 0.01, int8 0.15]")
    ] = None,
    device: Annotated[
        Device, typer.Option("--for", help="cuda: CPU time decides nothing, CUDA is not measured")
    ] = Device.CPU,
    examples: Annotated[Path | None, typer.Option(help="labelled rows: LABEL/EXAMPLE/PART.*, for accuracy")] = None,
) -> None:
    """Add a smaller variant of the graph, compared with the original; refused if it is slower or off by too much."""
    from models import quantize as quantizer

    kind = kind or USUAL[device]
    bound = BOUNDS[kind] if bound is None else bound
    quantizer.quantize(Order(folder=folder, kind=kind, bound=bound, device=device, examples=examples), console)
    say(f"wrote {folder}; next: braid verify {folder} --variant {kind}")


@app.command()
def sanity(
    name: Annotated[str, typer.Argument(help="a recipe whose bundle is there: digits")] = "digits",
    data: Data = Path("data"),
    bundle: Annotated[Path | None, typer.Option(help="its bundle  [models/bundles/NAME]")] = None,
    work: Work = WORK,
    samples: Annotated[int, typer.Option(min=2, help="of each part")] = 50,
    write: Annotated[bool, typer.Option(help="put the table into the bundle's model card")] = False,
) -> None:
    """Do explanations show what was learnt? Compares them with those of random weights, and with torch's gradients."""
    from models import recipe
    from models import sanity as check
    from models.datasets import digits
    from service.bundle import read

    chosen, folder = recipe.read(name), bundle or Path("models/bundles") / name
    found = check.run(chosen, digits.read(data / chosen.name), read(folder), work / chosen.name, samples)
    for part, one in found.items():
        say(f"{part:<6} random weights {one.randomised:+.2f}, integrated gradients {one.gradients:+.2f}")
    if write:
        check.write(folder, found)
    require(check.good(found), "explanations agree with noise about as much as with gradients")


for command in (examples.data, examples.table, examples.make, examples.parts):
    app.command()(command)


def main() -> None:
    """What the user can put right is one line and exit code 2."""
    try:
        app()
    except (OSError, ValueError, BundleError) as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
