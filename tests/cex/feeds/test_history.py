"""Histories page by page: complete, in order, each row once; against the sandbox and a server of a futures venue."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest
from aiohttp import web
from typer.testing import CliRunner

from cex import CcxtVenue, VenueSettings
from cex.feeds.contracts import ContractPoll, funding_of
from cex.feeds.data import Datum, Funding, OpenInterest
from cex.feeds.history import History
from cex.markets import Market
from cex.sandbox import FlowConfig
from cli.data_venues import _record
from cli.main import app
from domain import InputError, VenueUnavailable
from engine.data import read_bars, read_funding
from runtime import ManualClock
from tests.cex.lab import sandbox, sandbox_lab

HOUR_MS = 3_600_000
BEGIN_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
ROWS = 25
REST_OF_A_CANDLE = [0, "1", 1, "1", "1", "0"]
PAGE = 10


def futures_server() -> web.Application:
    """Candles, trades, funding and open interest of one USD-M contract, at most `PAGE` rows an answer."""
    symbol = {
        "symbol": "ETHUSDT", "pair": "ETHUSDT", "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": "ETH",
        "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "100000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "10000", "stepSize": "0.001"},
        ],
    }  # fmt: skip
    hours = [BEGIN_MS + number * HOUR_MS for number in range(ROWS)]

    def since(request: web.Request) -> list[tuple[int, int]]:
        begin = int(request.query.get("startTime", 0))
        return [(number, time) for number, time in enumerate(hours) if time >= begin][:PAGE]

    answers: dict[str, Any] = {
        "/fapi/v1/exchangeInfo": lambda _r: {"symbols": [symbol], "rateLimits": []},
        "/fapi/v1/time": lambda _r: {"serverTime": BEGIN_MS},
        "/fapi/v1/klines": lambda r: [
            [time, f"{100 + n}.5", f"{101 + n}.25", f"{99 + n}", f"{100 + n}.75", f"{n}.001", *REST_OF_A_CANDLE]
            for n, time in since(r)
        ],
        "/fapi/v1/aggTrades": lambda r: [
            {"a": 2 * n + k, "p": "100.25", "q": f"0.{n + 1:03}", "f": n, "l": n, "T": time, "m": k == 0}
            for n, time in since(r)
            for k in (0, 1)
        ],
        "/fapi/v1/fundingRate": lambda r: [
            {"symbol": "ETHUSDT", "fundingTime": time, "fundingRate": f"-0.0000{n:04}"} for n, time in since(r)
        ],
        "/futures/data/openInterestHist": lambda r: [
            {"symbol": "ETHUSDT", "sumOpenInterest": f"{n}.5", "sumOpenInterestValue": f"{n}00.25", "timestamp": time}
            for n, time in since(r)
        ],
        "/fapi/v1/premiumIndex": lambda _r: {
            "symbol": "ETHUSDT", "markPrice": "100.10", "indexPrice": "100.20", "lastFundingRate": "0.0001",
            "nextFundingTime": BEGIN_MS + HOUR_MS, "time": BEGIN_MS,
        },
        "/fapi/v1/openInterest": lambda _r: {"symbol": "ETHUSDT", "openInterest": "12.5", "time": BEGIN_MS},
    }  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        if request.path not in answers:
            raise web.HTTPNotFound(text=request.path)
        return web.json_response(answers[request.path](request))

    server = web.Application()
    server.router.add_get("/{path:.*}", answer)
    return server


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    runner = web.AppRunner(futures_server(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    await runner.cleanup()


@asynccontextmanager
async def history_of(base_url: str, now_ms: int = BEGIN_MS + 1_000 * HOUR_MS) -> AsyncIterator[History]:
    settings = VenueSettings(id="fut", exchange="binanceusdm", base_url=base_url, instruments=("ETHUSDT",))
    async with History(settings, ManualClock(now_ms * 1_000_000)) as history:
        yield history


END_MS = BEGIN_MS + 1_000 * HOUR_MS


async def test_candles_are_complete_in_order_and_once(base_url: str) -> None:
    async with history_of(base_url) as history:
        candles = [candle async for candle in history.candles("ETHUSDT", "1h", BEGIN_MS, END_MS)]
        assert [candle.venue_ns for candle in candles] == [(BEGIN_MS + n * HOUR_MS) * 10**6 for n in range(ROWS)]
        assert [str(candle.open) for candle in candles[:2]] == ["100.5", "101.5"]
        assert candles[0].instrument == "fut:ETHUSDT"
        some = [c async for c in history.candles("ETHUSDT", "1h", BEGIN_MS + 3 * HOUR_MS, BEGIN_MS + 5 * HOUR_MS)]
        assert [candle.venue_ns for candle in some] == [candle.venue_ns for candle in candles[3:5]]


async def test_candle_that_is_not_closed_is_left_out(base_url: str) -> None:
    async with history_of(base_url, BEGIN_MS + 4 * HOUR_MS + 1) as history:
        candles = [candle async for candle in history.candles("ETHUSDT", "1h", BEGIN_MS, END_MS)]
    assert len(candles) == 4


async def test_trades_of_one_instant_on_two_pages_are_each_told_once(base_url: str) -> None:
    async with history_of(base_url) as history:
        trades = [trade async for trade in history.trades("ETH/USDT:USDT", BEGIN_MS, END_MS)]
    assert [int(trade.trade_id) for trade in trades] == list(range(2 * ROWS))
    assert [trade.is_buyer_maker for trade in trades[:2]] == [True, False]


async def test_funding_and_open_interest_are_read_exactly(base_url: str) -> None:
    async with history_of(base_url) as history:
        rates = [one async for one in history.funding("ETHUSDT", BEGIN_MS, END_MS)]
        interest = [one async for one in history.open_interest("ETHUSDT", "1h", BEGIN_MS, END_MS)]
    assert [f"{one.rate:f}" for one in rates] == [f"-0.0000{n:04}" for n in range(ROWS)]
    assert [(str(one.amount), str(one.value)) for one in interest[:2]] == [("0.5", "0.25"), ("1.5", "100.25")]
    assert len(interest) == ROWS


async def test_what_the_venue_lacks_is_said(base_url: str) -> None:
    async with history_of(base_url) as history:
        with pytest.raises(InputError, match="no candles of '7m'"):
            await anext(history.candles("ETHUSDT", "7m", BEGIN_MS, END_MS))
        with pytest.raises(InputError, match="lists no market XYZ"):
            await anext(history.candles("XYZ", "1h", BEGIN_MS, END_MS))
    with pytest.raises(VenueUnavailable):
        async with history_of("http://127.0.0.1:9"):
            pass


async def test_funding_and_open_interest_of_a_followed_contract_are_asked(base_url: str) -> None:
    async with sandbox_lab() as lab:
        instrument = lab.instrument
    told: list[Datum] = []
    async with history_of(base_url) as history:
        market = Market(instrument, "ETH/USDT:USDT", "ETHUSDT", is_spot=False)
        await ContractPoll(history._connection, market, told.append).ask()
    funding, interest = told
    assert isinstance(funding, Funding)
    assert (str(funding.rate), funding.is_next, str(funding.mark)) == ("0.0001", True, "100.10")
    assert funding.due_ns == (BEGIN_MS + HOUR_MS) * 10**6
    assert isinstance(interest, OpenInterest)
    assert str(interest.amount) == "12.5"


def test_rate_is_due_when_it_is_paid_not_when_the_one_after_it_is() -> None:
    """OKX tells both."""
    row = {"fundingRate": "0.0001", "fundingTimestamp": 1_000, "nextFundingTimestamp": 2_000}
    assert funding_of("x", row, 0).due_ns == 1_000 * 10**6


async def test_commands_write_tables_that_research_reads(base_url: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["data", *arguments], catch_exceptions=False)

    for kind in ("candles", "funding", "trades", "open-interest"):
        out = tmp_path / f"{kind}.parquet"
        told = await asyncio.to_thread(
            run, "history", kind, "binanceusdm", "ETHUSDT", "--since", "2023-11-01", "--until", "2024-01-01",
            "--base-url", base_url, "--out", str(out), "--json",
        )  # fmt: skip
        assert told.exit_code == 0, told.output
        rows = json.loads(told.stdout.splitlines()[-1])["rows"]
        assert rows == (2 * ROWS if kind == "trades" else ROWS)
    assert read_bars(tmp_path / "candles.parquet").height == ROWS
    assert read_funding(tmp_path / "funding.parquet")["rate"][1] == -1e-8
    assert pl.read_parquet(tmp_path / "trades.parquet")["qty"][0] == "0.001"


async def test_recording_is_imported_as_told(tmp_path: Path) -> None:
    """The whole way: a sandbox with its order flow, two connections, a capture, an event store."""
    async with sandbox(flow=FlowConfig(arrival_rate=30.0), seed=3) as url:
        arguments = ["record", "binance", "ETHUSDC", "--base-url", url, "--feeds", "2"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "data", *arguments, "--out", str(tmp_path / "rec"), "--json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        capture = tmp_path / "rec" / "ETHUSDC.capture"
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while process.returncode is None and not (capture.exists() and b"depthUpdate" in capture.read_bytes()):
                async with session.get(f"{url}/_sandbox/health") as response:
                    await response.read()
        process.send_signal(signal.SIGINT)
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    [one] = json.loads(stdout)["files"]
    assert one["lines"]["diffs"] > 0
    assert one["lines"]["snapshots"] >= 1
    imported = await asyncio.to_thread(
        CliRunner().invoke, app,
        ["data", "import", one["path"], "--out", str(tmp_path / "x.events"), "--symbol", one["symbol"],
         "--tick", one["tick"], "--lot", one["lot"], "--json"],
    )  # fmt: skip
    assert imported.exit_code == 0, imported.output
    tally = json.loads(imported.stdout.splitlines()[-1])["messages"]
    assert tally["messages"] == sum(one["lines"].get(kind, 0) for kind in ("diffs", "snapshots", "trades"))
    assert tally["gaps"] == 0


async def test_recording_that_cannot_begin_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command may be given again: files that exist are never overwritten."""

    async def fail(_venue: CcxtVenue) -> None:
        raise VenueUnavailable("no valid book")

    monkeypatch.setattr(CcxtVenue, "follow", fail)
    async with sandbox() as url:
        settings = VenueSettings(id="r", exchange="binance", base_url=url, instruments=("ETHUSDC",))
        for _ in range(2):
            with pytest.raises(VenueUnavailable, match="no valid book"):
                await _record(settings, tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
