"""What was measured to pictures of a model card: confusion, reliability, robustness, true against predicted values."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.table.scores import LEVELS, bins
from service.types import Array

MOST = 30  # classes that a confusion matrix has room to name
matplotlib.rcParams["svg.hashsalt"] = "braid"  # the same picture is the same file
matplotlib.rcParams["svg.fonttype"] = "none"


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def canvas(width: float = 4.2, height: float = 3.6) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def confusion(truth: Array, answer: Array, labels: Sequence[str], path: Path) -> None:
    """Rows are the truth, and add up to 1."""
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (truth, answer), 1)
    side = 2.4 + 0.32 * min(len(labels), MOST)
    figure, axes = canvas(side, side)
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(labels) <= MOST:
        axes.set_xticks(range(len(labels)), [literal(label) for label in labels], rotation=90)
        axes.set_yticks(range(len(labels)), [literal(label) for label in labels])
        for i, j in zip(*np.nonzero(counts), strict=True):
            axes.text(
                j,
                i,
                f"{counts[i, j]:.0f}",
                ha="center",
                va="center",
                color="white" if shares[i, j] > 0.5 else "black",
                size=7,
            )
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    save(figure, path)


def reliability(confidence: Array, right: Array, path: Path) -> None:
    """How often an answer of a probability is right; on the diagonal it means what it says."""
    figure, axes = canvas()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    found = list(bins(confidence, right))
    most = max(count for *_, count in found)
    axes.scatter(
        [c for c, _, _ in found], [r for _, r, _ in found], s=[20 + 120 * n / most for *_, n in found], zorder=3
    )
    axes.plot([c for c, _, _ in found], [r for _, r, _ in found])
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability", ylabel="share that is right")
    save(figure, path)


def robustness(lines: dict[str, list[float]], measure: str, path: Path) -> None:
    figure, axes = canvas(5.6)
    for i, (label, line) in enumerate(lines.items()):
        axes.plot(
            LEVELS, line, label=literal(label), color=f"C{i // 2}", linestyle="--" if i % 2 == 0 else "-", marker="o"
        )
    axes.set(xlabel="degradation", ylabel=measure)
    axes.legend(fontsize=7, handlelength=4, loc="upper left", bbox_to_anchor=(1.02, 1))
    save(figure, path)


def unusual(scores: Array, truth: Array, path: Path) -> None:
    """How many rows have which score; over 1 is called an anomaly."""
    figure, axes = canvas(5.6)
    edges = np.geomspace(max(scores.min(), 1e-3), max(scores.max(), 1.1), 24).tolist()
    shown = [(scores[~truth], "usual", "C0"), (scores[truth], "anomaly", "C3")]
    for held, label, colour in shown:
        if len(held):
            axes.hist(held.clip(edges[0]), edges, label=label, color=colour, alpha=0.6)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set(xscale="log", xlabel="score", ylabel="rows")
    axes.legend()
    save(figure, path)


def values(truth: Array, said: Array, interval: Array, name: str, path: Path) -> None:
    """Each with its interval; on the diagonal it is right."""
    figure, axes = canvas()
    error = np.abs(interval.T - said)
    axes.errorbar(truth, said, yerr=error, fmt="o", markersize=3, linewidth=0.5)
    ends = [min(truth.min(), said.min()), max(truth.max(), said.max())]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(xlabel=f"true {literal(name)}", ylabel=f"predicted {literal(name)}")
    save(figure, path)


def literal(text: str) -> str:
    """A label of the table's, of which no sign is mathematics."""
    return text.replace("$", r"\$")
