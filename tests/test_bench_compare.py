"""The comparison with peers: its medians, table, plot and bundles; never its figures."""

import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from service import bundle
from tests.bench import bundles, chart, compare, machine, table

OURS = tomllib.loads(compare.OURS.read_text())


def row(name: str, rate: float, **others: Any) -> dict[str, Any]:
    """One load as the comparison's runner saves it."""
    figures = {"p50": 10, "p99": 15, "cpu_ms": 1, "mib": 100, "ready": 1, "errors": 0, "wrong": 0, "other": 0}
    return {"name": name, "size": "small", "conc": 32, "rps": rate, **figures, **others}


def test_a_line_is_the_median_of_its_rounds_and_the_fastest_comes_first() -> None:
    rows = [row("mosec", 1000), *(row("ours_w2", rate, wrong=1) for rate in (3000, 1, 2000))]
    first, second = table.medians(rows)
    assert (first.name, first.rate, first.slowest, first.fastest, first.bad) == ("ours_w2", 2000, 1, 3000, 3)
    assert second.name == "mosec"


def test_ratios_are_to_the_best_of_the_others() -> None:
    rows = [row("ours_w2", 2000, p50=5), row("mosec", 1000, cpu_ms=2), row("hand", 500, p50=8)]
    (said,) = table.ratios(table.medians(rows))
    assert "2.00 times the requests/s of mosec, 2 workers for 0.50 times its CPU" in said
    assert "p50 0.62 times that of FastAPI by hand; p99 3.0 times p50" in said


def test_a_busy_machine_is_owned_up_to() -> None:
    assert "Not a quiet machine" in table.notes([row("ours", 1, other=0.5)], 10)[1]
    assert len(table.notes([row("ours", 1)], 10)) == 1


def test_the_table_has_a_cell_for_each_heading() -> None:
    lines = table.markdown(table.medians([row("ours_w2", 2000), row("unheard-of", 50)]))
    assert len({line.count("|") for line in lines}) == 1


def test_the_plot_has_a_bar_for_each_server_at_the_most_connections() -> None:
    lines = table.medians([row("ours_w2", 2000), row("mosec", 1000), row("ours_w2", 500, conc=1)])
    root = ElementTree.fromstring(chart.svg(lines))
    _, *bars = root.findall("{http://www.w3.org/2000/svg}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert len(widths) == 2
    assert widths[0] == 2 * widths[1]


def test_all_of_our_contestants_are_asked_for_the_raw_answer() -> None:
    assert {"ours", "ours_w2"} <= OURS.keys()
    assert all(contestant["url"] == "/v1/predict?raw=true" for contestant in OURS.values())


def test_the_machine_and_the_versions_are_named() -> None:
    assert "cores" in machine.describe()[0]
    assert "onnxruntime" in machine.versions({}, OURS)[0]


def test_both_sizes_are_manifests(tmp_path: Path) -> None:
    for name, size in bundles.SIZES.items():
        assert bundle.parse(yaml.safe_dump(bundles.manifest(name, size)), tmp_path).name == name
