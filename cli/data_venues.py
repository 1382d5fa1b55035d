"""`capstan data record` and `history`: a venue's market data from now on, and what it still tells of the past."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.books import JsonOption
from domain import InputError

if TYPE_CHECKING:
    from cex import VenueSettings
    from cex.feeds.data import Datum
    from cex.feeds.history import History
    from cex.feeds.recorder import Recorder

FLUSH_S = 1.0

ExchangeArgument = Annotated[str, typer.Argument(help="ccxt's id: binance, okx, kraken, …")]
BaseUrl = Annotated[str | None, typer.Option(help="Ask this server instead: a sandbox, a proxy.")]


def record(
    exchange: ExchangeArgument,
    symbols: Annotated[list[str], typer.Argument(help="As the venue writes them: ETHUSDC.")],
    out: Annotated[Path, typer.Option(help="A folder; each symbol becomes a file in it.")],
    seconds: Annotated[float, typer.Option(min=0, help="Stop after this; 0 goes on until SIGINT or SIGTERM.")] = 0,
    feeds: Annotated[int, typer.Option(min=1, max=4, help="Connections per symbol, merged into one.")] = 1,
    levels: Annotated[int, typer.Option(min=1, max=500, help="A side, of venues whose books come as states.")] = 100,
    base_url: BaseUrl = None,
    as_json: JsonOption = False,
) -> None:
    """Write books and trades down as they come, for `capstan data import`. Files that exist are never overwritten."""
    from cex import VenueSettings

    settings = VenueSettings(
        id="recorded",
        exchange=exchange,
        testnet=False,
        base_url=base_url,
        instruments=tuple(symbols),
        feeds=feeds,
        depth_levels=levels,
    )
    told = asyncio.run(_record(settings, out, seconds))
    if as_json:
        output.emit(told)
        return
    for one in told["files"]:
        counts = ", ".join(f"{count:,} {what}" for what, count in one["lines"].items()) or "nothing"
        typer.echo(f"{one['path']}: {counts}")
        typer.echo(f"  --symbol {one['symbol']} --tick {one['tick']} --lot {one['lot']} --venue {exchange}")


def history(
    kind: Annotated[str, typer.Argument(help="candles, trades, funding or open-interest.")],
    exchange: ExchangeArgument,
    symbol: Annotated[str, typer.Argument(help="The venue's, or ccxt's: ETHUSDC, ETH/USDT:USDT.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    since: Annotated[str, typer.Option(help="ISO time, UTC where it says no zone: 2026-01-31 or 2026-01-31T12:00.")],
    until: Annotated[str, typer.Option(help="ISO time, exclusive; now without it.")] = "",
    timeframe: Annotated[str, typer.Option(help="Of candles and open interest: 1m, 1h, 1d.")] = "1h",
    base_url: BaseUrl = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what the venue still tells of the past, page by page, into a table for research and backtests."""
    from cex import VenueSettings
    from cex.feeds.history import KINDS

    if kind not in KINDS:
        raise InputError(f"unknown kind {kind!r}", hint=f"there are {', '.join(KINDS)}")
    if out.exists():
        raise InputError(f"{out} exists already", hint="name another file")
    begin = _instant_ms(since)
    end = _instant_ms(until) if until else int(datetime.now(UTC).timestamp() * 1000)
    if begin >= end:
        raise InputError(f"expected --since before --until, found {since} and {until or 'now'}")
    settings = VenueSettings(id="history", exchange=exchange, testnet=False, base_url=base_url, instruments=(symbol,))
    count = asyncio.run(_history(settings, kind, symbol, timeframe, begin, end, out))
    if as_json:
        output.emit({"path": str(out), "rows": count})
    else:
        typer.echo(f"{out}: {count:,} rows")


async def _record(settings: VenueSettings, out: Path, seconds: float) -> dict[str, Any]:
    from cex import CcxtVenue
    from cex.feeds.recorder import Recorder
    from runtime import SystemClock
    from runtime.processes import stop_on_signals

    stop = asyncio.Event()
    stop_on_signals(stop)
    venue, recorders = CcxtVenue(settings, clock=SystemClock()), dict[str, Recorder]()
    files: list[dict[str, Any]] = []
    with ExitStack() as stack:
        await venue.connect(lambda _event: None)
        try:
            out.mkdir(parents=True, exist_ok=True)
            paths = {name: out / f"{market.venue_symbol}.capture" for name, market in venue.markets.items()}
            if taken := [path for path in paths.values() if path.exists()]:
                raise InputError(f"{taken[0]} exists already", hint="name another folder")
            handles = []
            for name, market in venue.markets.items():
                handles.append(stack.enter_context(paths[name].open("xb")))
                recorders[name] = Recorder(handles[-1], market)
            venue.on_data, venue.on_raw = _to(recorders), lambda name, data, at: recorders[name].raw(data, at)
            try:
                await venue.follow()
            except BaseException:
                # Nothing was recorded: the same command may be given again.
                for path in paths.values():
                    path.unlink()
                raise
            output.say(f"recording {', '.join(recorders)} into {out}; Ctrl-C ends it")
            if seconds:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            while not stop.is_set():
                try:
                    async with asyncio.timeout(FLUSH_S):
                        await stop.wait()
                except TimeoutError:
                    for handle in handles:
                        handle.flush()
        finally:
            await venue.stop()
        for handle in handles:
            handle.flush()
            os.fsync(handle.fileno())
    for name, market in venue.markets.items():
        files.append(
            {
                "path": str(paths[name]),
                "symbol": market.venue_symbol,
                "tick": f"{market.instrument.tick_size:f}",
                "lot": f"{market.instrument.lot_size:f}",
                "lines": dict(recorders[name].tally),
            }
        )
    return {"files": files}


def _to(recorders: dict[str, Recorder]) -> Any:
    def take(datum: Datum) -> None:
        recorders[datum.instrument].take(datum)

    return take


async def _history(
    settings: VenueSettings, kind: str, symbol: str, timeframe: str, begin: int, end: int, out: Path
) -> int:
    import polars as pl
    from rich.console import Console

    from cex.feeds.history import History
    from runtime import SystemClock

    columns: dict[str, list[Any]] = {}
    async with History(settings, SystemClock()) as history_:
        with Console(stderr=True).status(f"asking {settings.exchange} for {kind} of {symbol} …") as status:
            async with aclosing(_rows(history_, kind, symbol, timeframe, begin, end)) as rows:
                async for number, row in _numbered(rows):
                    for name, value in row.items():
                        columns.setdefault(name, []).append(value)
                    if number % 1_000 == 0:
                        status.update(f"{number:,} rows, at {datetime.fromtimestamp(row['time'] / 1e9, UTC)}")
    if not columns:
        raise InputError(f"{settings.exchange} tells no {kind} of {symbol} between these times")
    frame = pl.DataFrame(columns).with_columns(pl.from_epoch("time", time_unit="ns").dt.replace_time_zone("UTC"))
    partial = out.with_name(out.name + ".partial")
    frame.write_parquet(partial)
    partial.replace(out)
    return frame.height


async def _rows(
    told: History, kind: str, symbol: str, timeframe: str, begin: int, end: int
) -> AsyncGenerator[dict[str, Any], None]:
    """Give rows with a `time` in ns: candles and rates as floats, for research; trades and amounts as exact text."""
    if kind == "candles":
        async for candle in told.candles(symbol, timeframe, begin, end):
            prices = {name: float(getattr(candle, name)) for name in ("open", "high", "low", "close", "volume")}
            yield {"time": candle.venue_ns, **prices}
    elif kind == "trades":
        async for trade in told.trades(symbol, begin, end):
            yield {
                "time": trade.venue_ns,
                "id": trade.trade_id,
                "price": f"{trade.price:f}",
                "qty": f"{trade.qty:f}",
                "is_buyer_maker": trade.is_buyer_maker,
            }
    elif kind == "funding":
        async for funding in told.funding(symbol, begin, end):
            yield {"time": funding.venue_ns, "rate": float(funding.rate)}
    else:
        async for interest in told.open_interest(symbol, timeframe, begin, end):
            texts = {name: getattr(interest, name) for name in ("amount", "value")}
            yield {"time": interest.venue_ns, **{k: None if v is None else f"{v:f}" for k, v in texts.items()}}


async def _numbered(rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    number = 0
    async for row in rows:
        number += 1
        yield number, row


def _instant_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"not an ISO time: {text!r}", hint="2026-01-31, or 2026-01-31T12:00+00:00") from exc
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
