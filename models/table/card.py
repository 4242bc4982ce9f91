"""A recipe and its evaluation to the model card: README.md of the bundle."""

from collections.abc import Mapping, Sequence

from models.table.columns import Column, Target

ORDER = ["accuracy", "F1", "AUROC", "mAP", "ECE", "MAE", "R2", "coverage", "interval", "rows"]
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # task -> subset -> measure -> value


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Head and rows."""
    head, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def table(scores: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Of one task: a line a subset."""
    names = [name for name in ORDER if any(name in each for each in scores.values())]
    rows = [
        [subset, *(said(name, each[name]) if name in each else "" for name in names)] for subset, each in scores.items()
    ]
    return [["parts", *names], *rows]


def said(name: str, value: float) -> str:
    if name == "rows":
        return f"{value:.0f}"
    return f"{value:.3g}" if name in ("MAE", "interval") else f"{value:.3f}"


def task(name: str, target: Target) -> str:
    what = f"of {', '.join(target.labels)}" if target.labels else f"{', '.join(target.columns)}"
    return f"- **{name}**: {target.kind}, {what}"


def write(
    *,
    title: str,
    about: str,
    limits: str,
    parts: Mapping[str, Column],
    tasks: Mapping[str, Target],
    how: Mapping[str, str],
    scores: Scores,
    pictures: Mapping[str, Sequence[str]],
    notes: Sequence[str],
    counts: Mapping[str, int],
) -> str:
    """`pictures`: task -> files beside the card. `how`: what was built and what it cost, in words."""
    blocks = [f"# {title}", about.strip() or "Trained on a table by `python -m models train`."]
    blocks.append("\n".join(f"- **{name}**: {part.kind}" for name, part in parts.items()))
    blocks.append("Answers, from any non-empty subset of these parts:")
    blocks.append("\n".join(task(name, target) for name, target in tasks.items()))
    blocks.append(markdown([["what", "how"], *([name, text] for name, text in how.items())]))
    blocks.append("## Quality")
    rows = f"{counts['train']} rows were trained on, {counts['valid']} stopped the training and calibrated"
    blocks.append(f"On {counts['test']} rows of the table that were neither trained on nor calibrated with. {rows}.")
    for name, found in scores.items():
        blocks += [f"### {name}", markdown(table(found)) if found else "No row of the test split says it."]
        blocks += [f"![{file.removesuffix('.svg')}]({file})" for file in pictures.get(name, [])]
    blocks.append(
        "F1, AUROC and mAP are means over classes (F1 of labels: over all of them at once); ECE is the expected "
        "calibration error."
    )
    if notes:
        blocks += ["Not calibrated, for want of rows:", "\n".join(f"- {note}" for note in notes)]
    blocks += [
        "## Limits",
        limits.strip() or "Measured on rows of the same table: rows of another origin may do worse.",
    ]
    blocks.append(
        "`example/` holds one row of that table: do not pass the bundle on if the table is not to be passed on."
    )
    return "\n\n".join(blocks) + "\n"
