"""The native path as a whole: other keys, both doors, and nothing of ccxt in the process."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cex import CcxtVenue
from domain import OrderState, Side, VenueError
from domain.events import BookChanged
from runtime import SystemClock
from tests.cex.lab import OURS, THEIRS, SandboxLab, sandbox
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order, cancel_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@asynccontextmanager
async def ed25519_lab(folder: Path, **changes: Any) -> AsyncIterator[SandboxLab]:
    """Give a lab whose account has an Ed25519 key, in a file."""
    secret = folder / "key.pem"
    secret.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret.chmod(0o600)
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ours = dataclasses.replace(OURS, secret=None, ed25519_public_key=public)
    async with sandbox(accounts=(ours, THEIRS)) as url, aiohttp.ClientSession() as session:
        lab = SandboxLab(url, session)
        lab.venue = CcxtVenue(lab.settings(secret=f"file:{secret}", **changes), clock=SystemClock())
        await lab.venue.start(lab.recorder)
        lab.instrument = next(iter(lab.venue.instruments.values()))
        try:
            yield lab
        finally:
            await lab.venue.stop()


@pytest.mark.parametrize("orders", ["auto", "rest"])
async def test_ed25519_key_trades_by_both_doors(orders: str, tmp_path: Path) -> None:
    async with ed25519_lab(tmp_path, orders=orders) as lab:
        assert lab.venue._orders.socket.is_logged_on is (orders == "auto")
        await lab.counter(Side.SELL, ASK, LOTS)
        taker, maker = an_order(lab, Side.BUY, ASK), an_order(lab, Side.BUY, BID)
        await lab.venue.place(taker)
        await lab.recorder.until_state(taker.client_order_id, OrderState.FILLED)
        await lab.venue.place(maker)
        await lab.venue.cancel(cancel_of(maker))
        await lab.recorder.until_state(maker.client_order_id, OrderState.CANCELED)
        assert [fill.trade_id for fill in await lab.venue.fills()] == [fill.trade_id for fill in lab.recorder.fills()]


@pytest.mark.parametrize("skew_ms", [0, 5_000])
async def test_session_logs_on_again_after_its_connection_was_lost(tmp_path: Path, skew_ms: int) -> None:
    async with ed25519_lab(tmp_path) as lab:
        await lab.fault(fault="clock_skew", skew_ms=skew_ms)
        await lab.strike("abort_sockets")
        placed = 0
        while not (placed and lab.venue._orders.socket.is_logged_on):
            try:
                await lab.venue.place(an_order(lab, Side.BUY, BID - placed))
                placed += 1
            except VenueError:
                await lab.round_trip()  # Lost with the connection, refused by its time, or not compared with REST yet.
        assert await lab.venue.cancel_all() >= placed


async def test_orders_go_on_by_rest_while_the_order_socket_is_away(tmp_path: Path) -> None:
    """The stream of our own trades is what an order needs; its door may be any."""
    async with ed25519_lab(tmp_path) as lab:
        socket = lab.venue._orders.socket
        await socket._drop()
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        assert await lab.venue.open_orders() == [order.client_order_id]
        await lab.venue.cancel(cancel_of(order))
        assert await lab.venue.open_orders() == []


SCRIPT = """
import asyncio, sys
from cex import CcxtVenue
from domain.events import CancelOrder, PlaceOrder
from domain import OrderType, Side, TimeInForce
from runtime import SystemClock
from cex.settings import VenueSettings

async def main():
    settings = VenueSettings.model_validate_json(sys.argv[1])
    venue = CcxtVenue(settings, clock=SystemClock())
    await venue.start(lambda event: None)
    await venue.place(PlaceOrder(client_order_id="one", strategy="s", instrument="sandbox:ETHUSDC", side=Side.BUY,
        type=OrderType.LIMIT, time_in_force=TimeInForce.GTC, price_ticks=290_000, qty_lots=100))
    await venue.cancel(CancelOrder(client_order_id="one", instrument="sandbox:ETHUSDC"))
    assert await venue.balances() and not await venue.fills() and await venue.cancel_all() == 0
    await venue.stop()

asyncio.run(main())
print(sorted(name for name in sys.modules if name.partition(".")[0] == "ccxt"))
"""


async def test_nothing_of_ccxt_is_imported() -> None:
    async with sandbox() as url, aiohttp.ClientSession() as session:
        chosen = SandboxLab(url, session).settings().model_dump_json()
        command = [sys.executable, "-c", SCRIPT, chosen]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


async def test_instruments_go_by_the_names_of_the_settings(tmp_path: Path) -> None:
    async with ed25519_lab(tmp_path, instruments=("ETH/USDC",)) as lab:
        assert list(lab.venue.instruments) == ["sandbox:ETH/USDC"]
        assert lab.recorder.of(BookChanged)[-1].instrument == "sandbox:ETH/USDC"
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        assert await lab.venue.cancel_all() == 1
