"""What several commands of `python -m models` take, and where they print."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Data = Annotated[Path, typer.Option(envvar="BRAID_DATA", help="the table; or the folder of an example's data")]
Work = Annotated[Path, typer.Option(help="samples, runs and results are kept here")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="threads of one training step  [as many as there are idle cores]")
]
Count = Annotated[int | None, typer.Option("--rows", min=30, help="of the table  [some thousand]")]
WORK = Path(".cache/models")
console = Console()


def say(text: str) -> None:
    """As it is, however narrow the terminal: a command in it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def idle() -> int:
    """Cores that nobody else uses: threads that wait for a busy one are slower than one thread. One at least."""
    return max(1, (os.cpu_count() or 1) - round(os.getloadavg()[0]))


def bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )


def require(condition: bool, message: str) -> None:
    if not condition:
        raise FileNotFoundError(message)
