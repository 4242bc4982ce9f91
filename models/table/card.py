"""A recipe and its evaluation to the model card: README.md of the bundle."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from models.marks import markdown
from models.table.columns import ANOMALY, EMBEDDING, Column, Target
from models.table.evaluation import Evaluation

ORDER = ["accuracy", "F1", "AUROC", "mAP", "ECE", "MAE", "R2", "coverage", "interval"]
ORDER += ["R@1", "R@5", "R@10", "median rank", "found", "false alarms", "anomalies", "rows"]
COUNTS = ("anomalies", "rows")
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # task -> subset -> measure -> value


def table(scores: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Of one task: a line a subset."""
    names = [name for name in ORDER if any(name in each for each in scores.values())]
    rows = [
        [subset, *(said(name, each[name]) if name in each else "" for name in names)] for subset, each in scores.items()
    ]
    return [["asked -> found" if "R@1" in names else "parts", *names], *rows]


def spread(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> list[list[str]]:
    """Of several trainings: mean ± deviation of each measure."""
    names = [name for name in ORDER if any(name in each for each in scores.values()) and name not in COUNTS]
    rows = [[subset, *(around(name, each.get(name, [])) for name in names)] for subset, each in scores.items()]
    return [["asked -> found" if "R@1" in names else "parts", *names], *rows]


def around(name: str, values: Sequence[float]) -> str:
    return f"{said(name, mean(values))} ± {said(name, stdev(values))}" if len(values) > 1 else ""


def said(name: str, value: float) -> str:
    if name in COUNTS:
        return f"{value:.0f}"
    if name == "median rank":
        return f"{value:.1f}"
    return f"{value:.3g}" if name in ("MAE", "interval") else f"{value:.3f}"


def task(name: str, target: Target) -> str:
    if target.kind == EMBEDDING:
        return f"- **{name}**: embedding, a vector in one space of all parts"
    if target.kind == ANOMALY:
        return f"- **{name}**: anomaly, how badly the parts are rebuilt from a short code; over 1 is unusual"
    what = f"of {', '.join(target.labels)}" if target.labels else f"{', '.join(target.columns)}"
    return f"- **{name}**: {target.kind}, {what}"


WORDS = {
    "F1": "F1, AUROC and mAP are means over classes (F1 of labels: over all of them at once); ECE is the expected "
    "calibration error.",
    "coverage": "Coverage is the share of true values within the interval, whose mean width is *interval*.",
    "R@1": "R@k is the share of rows whose partner is among the first k of all *rows*: by chance it is k / rows.",
    "found": "*Found* is the share of anomalies over the threshold, *false alarms* that of usual rows.",
}


def glossary(scores: Scores) -> str:
    held = {name for each in scores.values() for subset in each.values() for name in subset}
    return " ".join(text for name, text in WORDS.items() if name in held)


def write(
    *,
    title: str,
    about: str,
    limits: str,
    parts: Mapping[str, Column],
    tasks: Mapping[str, Target],
    how: Mapping[str, str],
    found: Evaluation,
    counts: Mapping[str, int],
) -> str:
    """`how`: what was built and what it cost, in words."""
    blocks = [f"# {title}", about.strip() or "Trained on a table by `python -m models train`."]
    blocks.append("\n".join(f"- **{name}**: {part.kind}" for name, part in parts.items()))
    blocks.append("Answers, from any non-empty subset of these parts:")
    blocks.append("\n".join(task(name, target) for name, target in tasks.items()))
    blocks.append(markdown([["what", "how"], *([name, text] for name, text in how.items())]))
    blocks.append("## Quality")
    rows = f"{counts['train']} rows were trained on, {counts['valid']} stopped the training and calibrated"
    blocks.append(f"On {counts['test']} rows of the table that were neither trained on nor calibrated with. {rows}.")
    for name, held in found.scores.items():
        blocks += [f"### {name}", markdown(table(held)) if held else "No row of the test split says it."]
        if found.again and held:
            count = len(found.again) + 1
            blocks.append(f"Mean ± deviation of {count} trainings with other splits and other first weights:")
            blocks.append(markdown(spread(found.spread(name))))
        blocks += [f"![{file.removesuffix('.svg')}]({file})" for file in found.pictures.get(name, [])]
    blocks.append(glossary(found.scores))
    if found.notes:
        blocks += ["Not calibrated, for want of rows:", "\n".join(f"- {note}" for note in found.notes)]
    blocks += [
        "## Limits",
        limits.strip() or "Measured on rows of the same table: rows of another origin may do worse.",
    ]
    blocks.append(
        "`example/` holds one row of that table: do not pass the bundle on if the table is not to be passed on."
    )
    return "\n\n".join(blocks) + "\n"
