"""What a person sees of a demo: a live view while it trades, tables when it has ended."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.data_dir import DataDir


class LiveView:
    """A terminal view that is redrawn a few times a second; shows nothing when not enabled."""

    def __init__(self, *, enabled: bool) -> None:
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True) if enabled else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: dict[str, Any], *, seconds_left: float, restarts: int) -> None:
        if self._live is not None:
            self._live.update(render_status(status, seconds_left=seconds_left, restarts=restarts))


def render_status(status: dict[str, Any], *, seconds_left: float | None, restarts: int) -> Panel:
    """Draw the engine's status file."""
    markets = Table("instrument", "bid", "ask", "spread bps", box=None, pad_edge=False)
    for name, book in status["books"].items():
        if book is None:
            markets.add_row(name, "[red]no valid book[/]", "", "")
        else:
            markets.add_row(name, f"{book['bid']:,.2f}", f"{book['ask']:,.2f}", f"{book['spread_bps']:.2f}")
    for label, mid in status["pools"].items():
        markets.add_row(label, Text("invalid", "red") if mid is None else f"{mid:,.2f}", "", "")
    results = Table("strategy", "result USD", "inventory", "open", box=None, pad_edge=False)
    for name, part in status["strategies"].items():
        inventory = ", ".join(f"{v:+.4f} {k}" for k, v in part["positions"].items())
        results.add_row(name, _signed(part["result"]), inventory, str(part["open_orders"]))
    results.add_row("total", _signed(status["result"]), "", str(status["open_orders"]), style="bold")
    counters = Text(
        f"fills {status['fills']}   swaps {status['swaps']} (+{status['swaps_in_flight']} in flight)   "
        f"orders {status['orders_sent']}   refused by risk {status['risk_rejected']}   "
        f"tick → order p50 {status['tick_to_order_us']['p50']} µs"
    )
    left = "" if seconds_left is None else f" · {seconds_left:.0f} s left"
    title = f"Capstan · {status['state']}{left}" + (f" · {restarts} restarts" if restarts else "")
    return Panel(Group(markets, Text(), results, Text(), counters), title=title, title_align="left")


def print_result(result: dict[str, Any], data: DataDir) -> None:
    """Print the end of a demo."""
    console = Console()
    table = Table(title="Result by strategy and place, USD", title_justify="left", box=None, pad_edge=False)
    places = sorted({place for by in result["pnl"]["by_place"].values() for place in by})
    for column in ("strategy", *places, "total"):
        table.add_column(column, justify="left" if column == "strategy" else "right")
    for name, by in result["pnl"]["by_place"].items():
        cells = [_signed(by.get(place, 0.0)) for place in places]
        table.add_row(name, *cells, _signed(result["pnl"]["by_strategy"][name]))
    table.add_row("total", *[""] * len(places), _signed(result["pnl"]["total"]), style="bold")
    console.print(table)

    facts = Table(box=None, show_header=False, pad_edge=False)
    latency, ledger = result["latency_us"]["tick_to_order"], result["ledger"]
    facts.add_row("fills on the exchange", f"{result['fills']} ({result['fills_maker']} as maker)")
    facts.add_row("swaps on chain", f"{result['swaps']} mined, {result['swaps_failed']} reverted")
    facts.add_row("transactions", f"{result['transactions']}, gas {result['gas']} ETH")
    facts.add_row("fees", ", ".join(f"{fee} {asset}" for asset, fee in result["fees"].items()) or "none")
    facts.add_row("orders sent", str(result["orders"]["sent"]))
    rules = ", ".join(f"{count} {rule}" for rule, count in result["risk"]["by_rule"].items())
    facts.add_row("refused by risk", f"{result['risk']['rejected']}" + (f" ({rules})" if rules else ""))
    facts.add_row("refused by policy", str(result["policy"]["refused"]))
    facts.add_row("tick → order sent", f"p50 {latency['p50']} µs, p99 {latency['p99']} µs of {latency['count']} orders")
    facts.add_row("open orders after stop", str(result["open_orders_after_stop"]))
    facts.add_row("ledger", f"{ledger['entries']} entries, {_verdict(ledger)}")
    if result["restarts"]:
        facts.add_row("engine restarts", str(result["restarts"]))
    if result["halted"]:
        facts.add_row("halted", Text(result["halted"], "red"))
    console.print(facts)
    console.print(f"\nreport: {data.report}\ndata:   {data.root}", soft_wrap=True)


def _verdict(ledger: dict[str, Any]) -> str:
    if ledger["balanced"] and ledger["matches_venues"]:
        return "[green]balanced, equal to exchange and chain to the last unit[/]"
    problems = [] if ledger["balanced"] else ["does not balance"]
    problems += [
        f"{d['account']} {d['asset']}: booked {d['booked']}, found {d['found']}" for d in ledger["differences"]
    ]
    return f"[red]{'; '.join(problems)}[/]"


def _signed(value: float) -> str:
    return f"[{'green' if value >= 0 else 'red'}]{value:+,.2f}[/]"
