"""A report to what a person reads: tables, and why not to believe them."""

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from service.bench.report import Report, Spread

BUSY = 0.9  # of a core: above, the client itself may be what is slow
LATE = 0.005  # seconds that the client may miss its schedule by


def show(report: Report, console: Console) -> None:
    console.print(f"[bold]{escape(report.url)}[/bold]")
    kind = f"{report.rate:g} requests/s due, at most " if report.rate else "closed loop, "
    console.print(f"{kind}{report.connections} connections, {report.seconds:g} s after {report.warmup:g} s of warm-up")
    for table in tables(report):
        console.print(table)
    for warning in warnings(report):
        console.print(f"[yellow]{escape(warning)}[/yellow]")


def tables(report: Report) -> list[RenderableType]:
    head = ("requests", "requests/s")
    requests = grid("", *head)
    for name, share in report.mix.items() if len(report.mix) > 1 else ():
        requests.add_row(escape(name), str(share.answered), f"{share.requests_per_second:.1f}", *cells(share.latency))
    whole = (str(report.answered), f"{report.requests_per_second:.1f}", *cells(report.latency))
    requests.add_row("all", *whole, style="bold")
    found: list[RenderableType] = [requests]
    if report.stages:
        server = grid("in the server")
        for name, spread in report.stages.items():
            server.add_row(escape(name), *cells(spread))
        found.append(server)
    if report.errors:
        faults = Table("error", "requests", "the first one said")
        for name, fault in report.errors.items():
            faults.add_row(name, str(fault.count), escape(fault.detail))
        found.append(faults)
    return found


def grid(first: str, *more: str) -> Table:
    table = Table(first)
    for name in (*more, "p50 ms", "p90 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="right")
    return table


def cells(spread: Spread | None) -> tuple[str, ...]:
    values = (spread.p50, spread.p90, spread.p99, spread.max) if spread else ()
    return tuple(f"{1000 * value:.2f}" for value in values) or ("-",) * 4


def warnings(report: Report) -> list[str]:
    """Why not to believe the figures."""
    found = []
    if report.client_cores > BUSY:
        found.append(f"this client used {report.client_cores:.2f} cores: it may be what is slow, not the server")
    if report.late and report.late.p99 > LATE:
        found.append(f"this client missed its schedule by up to {1000 * report.late.max:.0f} ms: is the machine busy?")
    return found
