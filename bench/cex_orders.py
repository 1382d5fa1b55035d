"""An order's way through this process, against ccxt's: built and signed, its answer and its reports read.

Nothing is sent: ccxt's own methods run up to the socket, whose place is taken by a function that encodes what it is
given as the socket would. What is read ends on both sides in the same values of ours. Processor time, in microseconds
an order. With an Ed25519 key our WebSocket is a session that has logged on, so that nothing is signed there; by REST
every order is, and nearly all of our time is OpenSSL's signature, which ccxt makes as well: told, not judged.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import ccxt.pro
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.rows import Row, figure_row, interleaved, ratio_row
from cex.account import Account
from cex.binance.connection import BinanceConnection
from cex.binance.forms import Forms
from cex.binance.messages import OrderAnswer
from cex.binance.reading import snapshot
from cex.binance.signing import Signer
from cex.binance.user_stream import BinanceUserStream
from cex.connection import Connection
from cex.markets import Market
from cex.numbers import price_text, qty_text
from cex.reports import Reports
from cex.settings import VenueSettings
from domain import Instrument, OrderType, Side, TimeInForce, VenueId, venue_asset
from domain.events import Event
from runtime import Secret, SystemClock

BUILD_RATIO = 10
REPORT_RATIO = 3
_COUNT = 300
_SYMBOL, _UNIFIED = "ETHUSDC", "ETH/USDC"
_SETTINGS = VenueSettings(id="v", exchange="binance", instruments=(_SYMBOL,))
_MARKET = Market(
    Instrument(
        venue=VenueId("v"),
        symbol=_SYMBOL,
        base=venue_asset(VenueId("v"), "ETH"),
        quote=venue_asset(VenueId("v"), "USDC"),
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_notional=Decimal(5),
        maker_fee_bps=Decimal(10),
        taker_fee_bps=Decimal(10),
    ),
    _UNIFIED,
    _SYMBOL,
)
_MARKETS = {_MARKET.id: _MARKET}
_HMAC = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
_ED25519 = (
    Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


def run() -> list[Row]:
    """Measure; takes about twenty seconds."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    rows = list[Row]()
    for kind, secret in (("HMAC", _HMAC), ("Ed25519", _ED25519)):
        peer = _Peer(secret)
        try:
            for door in ("WebSocket", "REST"):
                name = f"limit order built and signed, {kind}, {door}"
                target = None if (kind, door) == ("Ed25519", "REST") else BUILD_RATIO
                rows.append(_row(name, _ours_built(secret, door), peer.built(door), target))
            if kind == "HMAC":
                rows.append(_row("an order's answer read", _ours_answered, peer.answered, BUILD_RATIO))
                rows.append(_row("report of a trade to fill and state", _ours_reported, peer.reported, REPORT_RATIO))
        finally:
            await peer.exchange.close()
    return rows


def _row(name: str, ours: Callable[[], object], peer: Callable[[], object], target: float | None) -> Row:
    spent, peers = interleaved(ours, peer, clock=time.process_time)
    make = figure_row if target is None else partial(ratio_row, target=target)
    return make(
        topic="cex",
        name=name,
        ours=spent / _COUNT * 1e6,
        unit="us",
        peer_name=f"ccxt.pro {ccxt.pro.__version__}",
        ratio=peers / spent,
    )


# --- ours


def _ours_built(secret: str, door: str) -> Callable[[], object]:
    signer, instrument = Signer("key", Secret(secret)), _MARKET.instrument
    forms = Forms(signer, 3_000)

    def build() -> None:
        for number in range(_COUNT):
            form = forms.place(_SYMBOL, Side.BUY, OrderType.LIMIT, TimeInForce.GTC)
            price, size = price_text(instrument, 300_000 + number), qty_text(instrument, 1_000 + number)
            values = (f"c{number:016x}", price, size, time.time_ns() // 1_000_000)
            if door == "REST":
                form.query(values)
            elif signer.can_log_on:
                form.session_message(str(number), values)
            else:
                form.message(str(number), values)

    return build


def _ours_answered() -> None:
    read = msgspec.json.Decoder(OrderAnswer).decode
    for number in range(_COUNT):
        snapshot(_MARKET, read(_answer(number)))


def _ours_reported() -> None:
    told: list[Event] = []
    reports = Reports(told.append, lambda _order: None)
    connection = BinanceConnection(_SETTINGS, SystemClock(), None)
    stream = BinanceUserStream(connection, _MARKETS, reports, on_up=lambda: None, on_down=lambda _why: None)
    for number in range(_COUNT):
        stream._take(_report(number))
    assert len(told) == 2 * _COUNT


# --- ccxt's


class _Peer:
    """ccxt.pro with one market and no network; its own methods up to the socket."""

    def __init__(self, secret: str) -> None:
        self.exchange: Any = ccxt.pro.binance(
            {
                "apiKey": "key",
                "secret": secret,
                "enableRateLimit": False,
                "number": str,
                "options": {"recvWindow": 3_000, "newOrderRespType": {"limit": "RESULT", "market": "RESULT"}},
            }
        )
        market = {"id": _SYMBOL, "symbol": _UNIFIED, "base": "ETH", "quote": "USDC", "baseId": "ETH", "quoteId": "USDC"}
        market |= {"spot": True, "type": "spot", "active": True, "limits": {}, "info": {"orderTypes": ["LIMIT"]}}
        market |= {"precision": {"price": "0.01", "amount": "0.0001"}, "inverse": False, "linear": False}
        self.exchange.set_markets([market | {"swap": False, "future": False, "option": False, "contract": False}])
        self._account = Account(Connection(_SETTINGS, SystemClock(), None), _MARKETS, Reports(_ignore, _ignore))
        self._socket: Any = self.exchange.client("wss://localhost/ws-api/v3")
        self._built = 0
        self.exchange.watch = self._watch
        self.exchange.fetch = self._fetch

    def built(self, door: str) -> Callable[[], object]:
        create = self.exchange.create_order if door == "REST" else self.exchange.create_order_ws

        def build() -> None:
            before = self._built
            for number in range(_COUNT):
                price, size = f"{3_000 + number / 100:.2f}", f"{0.1 + number / 10_000:.4f}"
                call = create(_UNIFIED, "limit", "buy", size, price, {"clientOrderId": f"c{number:016x}"})
                try:
                    call.send(None)
                except (StopIteration, _AtTheSocketError):
                    continue
                raise AssertionError("ccxt waited for something")
            assert self._built == before + _COUNT

        return build

    def answered(self) -> None:
        exchange, account = self.exchange, self._account
        for number in range(_COUNT):
            # As its WebSocket client decodes it.
            account.snapshot(_MARKET, exchange.parse_order(json.loads(_answer(number))))

    def reported(self) -> None:
        told: list[Event] = []
        exchange, reports = self.exchange, Reports(told.append, lambda _order: None)
        exchange.orders = exchange.myTrades = None
        for number in range(_COUNT):
            self._socket.handle_text_or_binary_message(_report(number).decode())
            order, trade = exchange.orders[-1], exchange.myTrades[-1]
            name = str(order["clientOrderId"])
            reports.fill(_MARKET.id, self._account.fill(_MARKET, trade, name), 1)
            known = self._account.snapshot(_MARKET, order)
            reports.state(name, _MARKET.id, known.state, known.executed_lots, 1, venue_order_id=known.venue_order_id)
        assert len(told) == 2 * _COUNT

    async def _watch(self, _url: str, _hash: str, message: Any, *_rest: Any) -> Any:
        self.exchange.json(message)
        self._built += 1
        return {}

    async def _fetch(self, *_request: Any) -> Any:
        self._built += 1
        raise _AtTheSocketError


class _AtTheSocketError(Exception):
    """Ends ccxt's REST call where its bytes would leave, before it reads an answer."""


def _ignore(*_: object) -> None:
    """Take what nobody needs."""


# --- messages


def _answer(number: int) -> bytes:
    return (
        b'{"symbol":"ETHUSDC","orderId":%d,"orderListId":-1,"clientOrderId":"c%016x","transactTime":1700000000000,'
        b'"price":"3000.00000000","origQty":"0.10000000","executedQty":"0.00000000","cummulativeQuoteQty":"0.00000000",'
        b'"status":"NEW","timeInForce":"GTC","type":"LIMIT","side":"BUY","origQuoteOrderQty":"0.00000000",'
        b'"workingTime":1700000000000,"selfTradePreventionMode":"NONE"}' % (number + 1, number)
    )


def _report(number: int) -> bytes:
    return (
        b'{"subscriptionId":0,"event":{"e":"executionReport","E":1700000000001,"s":"ETHUSDC","c":"c%016x","S":"BUY",'
        b'"o":"LIMIT","f":"GTC","q":"0.10000000","p":"3000.00000000","P":"0.00000000","F":"0.00000000","g":-1,"C":"",'
        b'"x":"TRADE","X":"FILLED","r":"NONE","i":%d,"l":"0.10000000","z":"0.10000000","L":"3000.00000000",'
        b'"n":"0.00010000","N":"ETH","T":1700000000000,"t":%d,"I":1,"w":false,"m":false,"M":true,"O":1700000000000,'
        b'"Z":"300.00000000","Y":"300.00000000","Q":"0.00000000","W":1700000000000,"V":"NONE"}}'
        % (number, number + 1, number + 1)
    )
