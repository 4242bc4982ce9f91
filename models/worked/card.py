"""The words of a recipe and the numbers of its evaluation to the model card: README.md of the bundle."""

from models.detection.fit import Spent
from service.types import Spec


class Card(Spec):
    """What no code can know; Markdown."""

    about: str
    quality: str = ""
    limits: str
    credits: str


def write(card: Card, name: str, quality: list[str], spent: Spent) -> str:
    """`quality`: tables and headings of Markdown."""
    minutes, clock = spent.processor / 60, spent.wall / 60
    cost = f"Training took {minutes:.0f} minutes of one processor core ({clock:.0f} by the clock of a busy machine)."
    made = f"    python -m models train {name} && python -m models evaluate {name} && python -m models export {name}"
    parts = [
        f"# {name}",
        card.about.strip(),
        "## Quality",
        *quality,
        f"{card.quality.strip()} {cost}".strip(),
        f"Made from `models/recipes/{name}.yaml` by",
        made,
        "## Limits",
        card.limits.strip(),
        "## Data and credits",
        card.credits.strip(),
    ]
    return "\n\n".join(parts) + "\n"
