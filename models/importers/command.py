"""python -m models import huggingface, onnx, automm, finish: what needs neither torch nor onnx nor transformers."""

from pathlib import Path
from typing import Annotated, get_args

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console

from models.importers import finish as finisher
from models.importers.draft import Origin
from models.importers.finish import Incomplete
from models.importers.guess.given import Given, Role, Task
from models.importers.guess.picture import NORMS, RESIZES
from service.bundle import MANIFEST, explain
from service.errors import BundleError
from service.outputs.embedding import Pooling

app = typer.Typer(
    help="Turn a model that was exported elsewhere into a bundle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()
MODES = tuple(mode for mode in get_args(Pooling) if mode != "none")
To = Annotated[Path, typer.Argument(metavar="OUT", help="the bundle's folder, whose name is the model's")]
Labels = Annotated[Path | None, typer.Option(help="a file: one name a line, or JSON or YAML")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY.KEY=VALUE of the manifest, in YAML; nothing after = removes it; repeatable"),
]
Examples = Annotated[list[str] | None, typer.Option(help="PART=FILE for the bundle's example; else it is drawn")]
Force = Annotated[bool, typer.Option("--force", help="write over a bundle that is there")]


@app.command()
def huggingface(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a local export: config.json, a graph, processors")],
    to: To,
    variant: Annotated[
        str | None, typer.Option(help="of the graph, such as fp16 or quantized  [the most precise]")
    ] = None,
    logit_scale: Annotated[
        float | None, typer.Option(help="of two towers in two graphs: what their cosine is multiplied by")
    ] = None,
    logit_bias: Annotated[float, typer.Option(help="and what is added, as SigLIP does")] = 0.0,
    pooling: Annotated[
        str | None, typer.Option(help="of tokens, where no file says: " + ", ".join(MODES) + "; + joins several")
    ] = None,
    force: Force = False,
) -> None:
    """An export of optimum, transformers.js, onnx-community or sentence-transformers: config.json says what it is."""
    from models.importers.huggingface.convert import convert
    from models.importers.huggingface.similar import Scale

    if pooling and not {*pooling.split("+")} <= {*MODES}:
        raise BundleError(f"--pooling {pooling}: {', '.join(MODES)}, or some of them with + between")
    scale = None if logit_scale is None else Scale(logit_scale, logit_bias)
    made = convert(folder, to, warn, variant=variant, scale=scale, pooling=pooling, force=force)
    console.print(f"wrote {to}, proven against {made.manifest.reference}; next: braid serve {to}", soft_wrap=True)


@app.command()
def onnx(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="a graph; weights in files beside it come along")],
    to: To,
    roles: Annotated[
        list[str] | None,
        typer.Option("--as", help="INPUT=ROLE where the guess is wrong: " + ", ".join(get_args(Role)) + "; repeatable"),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--constant", help="INPUT=VALUE that it is always fed; repeatable")
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="text: a tokenizer.json")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="text: of the longest text")] = None,
    preprocessor: Annotated[
        Path | None, typer.Option(help="image, audio: a preprocessor_config.json of transformers")
    ] = None,
    resize: Annotated[str | None, typer.Option(help="image: " + ", ".join(RESIZES))] = None,
    channels: Annotated[str | None, typer.Option(help="image: RGB or BGR")] = None,
    norm: Annotated[str | None, typer.Option(help="image: " + ", ".join(NORMS))] = None,
    scale: Annotated[
        float | None, typer.Option(help="image: of the grey levels 0 to 255, such as 0.00392156862745098")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="image: taken off after that: one number or three, with commas")
    ] = None,
    std: Annotated[str | None, typer.Option(help="image: and divided by")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="audio: hertz")] = None,
    task: Annotated[str | None, typer.Option(help=", ".join(get_args(Task)))] = None,
    output: Annotated[str | None, typer.Option(help="the tensor that answers")] = None,
    labels: Labels = None,
    activation: Annotated[str | None, typer.Option(help="none, softmax or sigmoid")] = None,
    pooling: Annotated[str | None, typer.Option(help="of an embedding of tokens: mean, cls, max or last")] = None,
    sets: Sets = None,
    example: Examples = None,
    force: Force = False,
) -> None:
    """Start a bundle for any other graph: what the graph does not say is guessed and marked, or left to be completed.

    `python -m models import onnx resnet.onnx bundles/resnet --norm imagenet --resize crop:256 --labels classes.txt`
    """
    from models.importers.guess.convert import start

    said = {
        "roles": assignments(roles, "--as"), "constants": {name: yaml.safe_load(value) for name, value in
        assignments(constants, "--constant").items()}, "tokenizer": tokenizer, "max_tokens": max_tokens,
        "preprocessor": preprocessor, "resize": resize, "channels": channels, "norm": norm, "scale": scale,
        "mean": numbers(mean), "std": numbers(std), "sample_rate": sample_rate, "task": task, "output": output,
        "labels": labels, "activation": activation, "pooling": pooling,
    }  # fmt: skip
    try:
        given = Given.model_validate(said)
    except ValidationError as error:
        raise BundleError(f"--{explain(error).replace('_', '-')}") from error
    draft = start(model, to, given, sets or [], force=force)
    for line in draft.listed(Origin.GUESS):
        warn(f"guessed {line}")
    completed(to, assignments(example, "--example"))


@app.command()
def automm(
    folder: Annotated[Path, typer.Argument(metavar="PREDICTOR", help="what MultiModalPredictor.save has written")],
    to: To,
    graph: Annotated[
        Path | None, typer.Option("--graph", help="what its export_onnx has written  [PREDICTOR/model.onnx]")
    ] = None,
    labels: Labels = None,
    norm: Annotated[str | None, typer.Option(help="timm's mean and std: " + ", ".join(NORMS))] = None,
    mean: Annotated[str | None, typer.Option(help="the same as numbers, with commas")] = None,
    std: Annotated[str | None, typer.Option(help="the same")] = None,
    sets: Sets = None,
    example: Examples = None,
    force: Force = False,
) -> None:
    """A predictor of AutoGluon-MultiModal: pictures, texts, or both by an MLP; its pickles are never opened."""
    from models.importers.automm.convert import start

    given = Given(labels=labels, norm=norm, mean=numbers(mean), std=numbers(std))
    start(folder, to, graph, given, sets or [], force=force)
    completed(to, assignments(example, "--example"))


@app.command()
def finish(
    folder: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="model.onnx, its files and a complete manifest.yaml")
    ],
    example: Examples = None,
) -> None:
    """Complete a folder whose manifest was written or completed by hand: example, digests, proof."""
    completed(folder, assignments(example, "--example"))


def completed(folder: Path, example: dict[str, str]) -> None:
    """Or which lines are still to be completed: exit code 1."""
    try:
        made = finisher.finish(folder, {part: Path(file) for part, file in example.items()})
    except Incomplete as error:
        console.print(f"wrote {folder}; complete these lines of {folder / MANIFEST}:", soft_wrap=True, highlight=False)
        for line in error.lines:
            console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)
        console.print(f"then: python -m models import finish {folder}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    whose = "files given" if len(example) == len(made.manifest.inputs) else "parts drawn by code"
    console.print(f"wrote {folder}, proven on an example of {whose}; next: braid serve {folder}", soft_wrap=True)


def assignments(given: list[str] | None, option: str) -> dict[str, str]:
    """NAME=VALUE; names may hold colons, but no equals sign. Raises BundleError."""
    found = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise BundleError(f"{option} {each}: NAME=VALUE")
        found[name] = value
    return found


def numbers(text: str | None) -> list[float] | None:
    """Raises BundleError."""
    try:
        return [float(number) for number in text.split(",")] if text else None
    except ValueError as error:
        raise BundleError(f"{text}: numbers, with commas between them") from error


def warn(line: str) -> None:
    Console(stderr=True).print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
