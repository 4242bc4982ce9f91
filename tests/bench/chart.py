"""The comparison's medians to a bar for each server, as SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.bench.table import Line, digits

WIDTH, LEFT, RIGHT, TOP, ROW = 800, 310, 210, 62, 28
OURS, OTHERS = "#4269d0", "#b8bdc9"


def svg(lines: Sequence[Line]) -> str:
    """Requests a second at the most connections, the CPU they cost beside them."""
    most = max(line.connections for line in lines)
    shown = [line for line in lines if line.connections == most]
    height, best = TOP + ROW * len(shown) + 12, max(line.rate for line in shown)
    title = f"{shown[0].size.upper()} model: requests a second at {most} connections"
    size = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<title>{title}</title><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="20" y="26" font-size="15" font-weight="bold">{title}</text>',
        '<text x="20" y="46" fill="#666">and milliseconds of CPU for each of them</text>',
    ]
    for number, line in enumerate(shown):
        parts += bar(line, TOP + ROW * number, (WIDTH - LEFT - RIGHT) * line.rate / best)
    return "\n".join([*parts, "</svg>\n"])


def bar(line: Line, top: float, width: float) -> list[str]:
    weight = "bold" if line.ours else "normal"
    words = f"{line.rate:.{digits(line.rate)}f}/s, {line.cpu:.2f} ms"
    title = escape(line.title.replace("**", ""))
    colour = OURS if line.ours else OTHERS
    return [
        f'<text x="{LEFT - 10}" y="{top + 18}" text-anchor="end" font-weight="{weight}">{title}</text>',
        f'<rect x="{LEFT}" y="{top + 4}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>',
        f'<text x="{LEFT + width + 8:.1f}" y="{top + 18}" font-weight="{weight}">{words}</text>',
    ]
