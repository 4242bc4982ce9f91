"""Latencies to a plot of them by percentile, as SVG; each step to the right is the slowest tenth of the one before."""

import math
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

from service.bench.report import percentile

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 64, 24, 56, 48
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")
MARKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
STEPS = 200  # points of a line
TICKS = 5  # about as many lines across
LEAST = 0.001  # milliseconds that the whole height may stand for
Axis = Callable[[float], float]


def svg(title: str, lines: Mapping[str, Sequence[float]]) -> str:
    """`lines`: name -> latencies in seconds; at least one line, and in each at least one latency."""
    ordered = {name: sorted(1000 * value for value in values) for name, values in lines.items()}
    right = max(1.0, math.log10(max(map(len, ordered.values()))))
    highest = max(LEAST, *(values[-1] for values in ordered.values()))
    tick = nice(highest / TICKS)
    top = tick * math.ceil(highest / tick)

    def x(share: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * -math.log10(1 - share) / right

    def y(milliseconds: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * milliseconds / top

    marks = [mark for mark in MARKS if -math.log10(1 - mark) <= right]
    shares = [1 - 10 ** (-right * k / STEPS) for k in range(STEPS + 1)]
    parts = [*frame(title), *grid(x, y, marks, [tick * k for k in range(round(top / tick) + 1)])]
    for number, (name, values) in enumerate(ordered.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(share):.1f},{y(percentile(values, share)):.1f}" for share in shares)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(ordered) > 1:
            parts.append(words(LEFT + 12, TOP + 18 * (number + 1), name, f'fill="{colour}" font-weight="bold"'))
    return "\n".join([*parts, "</svg>\n"])


def frame(title: str) -> list[str]:
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        words(LEFT, 22, title, 'font-size="14" font-weight="bold"'),
        words(LEFT, 42, "milliseconds", 'fill="#666"'),
        words(middle, HEIGHT - 10, "percentile of requests", 'fill="#666" text-anchor="middle"'),
    ]


def grid(x: Axis, y: Axis, marks: Sequence[float], ticks: Sequence[float]) -> list[str]:
    parts = []
    for tick in ticks:
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(words(LEFT - 8, y(tick) + 4, f"{tick:g}", 'text-anchor="end"'))
    for mark in marks:
        parts.append(f'<path d="M{x(mark):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(words(x(mark), HEIGHT - BOTTOM + 18, f"{100 * mark:.7g}", 'text-anchor="middle"'))
    return parts


def words(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def nice(step: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next((power * digit for digit in (1, 2, 5) if power * digit >= step), power * 10)
