"""What single venues need before a call leaves: answers, market fields, keys of a certain shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.venue_harness.server import Answer, Request


@dataclass(frozen=True)
class Oddity:
    market_id: str = "BTCQX"
    base_id: str = "BTC"
    key: str = ""
    secret: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the market beside ccxt's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    """By the end of a path."""
    symbol: str = ""
    """How the market is written, where it is neither its id nor a pair of currencies."""
    side: str = ""
    """How buying is written, where it is no word for it."""
    sends_secret: bool = False
    """The venue is asked with the secret itself in a header."""
    why_not: str = ""
    """Why an order cannot be tried here: named in the docs, and counted by the test."""

    def answer(self) -> Answer | None:
        if not self.answers:
            return None

        def answer(request: Request) -> Any:
            return next((found for path, found in self.answers.items() if request.path.endswith(path)), {})

        return answer


def oddity(venue: str) -> Oddity:
    return ODDITIES.get(venue, _NONE)


def _ed25519_pem() -> str:
    key = Ed25519PrivateKey.from_private_bytes(b"harness secret, 32 bytes of it!!")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


_NONE = Oddity()
_BASE58 = "4wBqpZM9xaSheZzJSMawUKKwhdpChKbZ5eu5ky4Vigw1"
_BINANCE = Oddity(info={"orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"]})
_BYBIT = Oddity(options={"enableUnifiedMargin": False, "enableUnifiedAccount": True})
_KUCOIN = Oddity(answers={"/account/mode": {"code": "200000", "data": {"selfAccountMode": "CLASSIC"}}})
_HUOBI = Oddity(
    answers={"/account/accounts": {"status": "ok", "data": [{"id": 4711, "type": "spot", "state": "working"}]}}
)
_LIBRARY = "its orders are signed by a library that ccxt does not bring"
ODDITIES: dict[str, Oddity] = {
    "alpaca": Oddity(sends_secret=True),
    "apex": Oddity(why_not=_LIBRARY),
    "binance": _BINANCE,
    "binancecoinm": _BINANCE,
    "binanceus": _BINANCE,
    "binanceusdm": _BINANCE,
    "bit2c": Oddity(side="True"),
    "bitbns": Oddity(extra={"uppercaseId": "BTCQX"}),
    "bitfinex": Oddity(side="0.37"),
    "bitrue": _BINANCE,
    "bitteam": Oddity(extra={"numericId": 4711}, symbol="4711"),
    "bittrade": _HUOBI,
    "bitvavo": Oddity(options={"operatorId": 4711}),
    "bybit": _BYBIT,
    "bybiteu": _BYBIT,
    "bybitid": _BYBIT,
    "cex": Oddity(options={"createOrder": {"accountId": "4711"}}),
    "coinbaseinternational": Oddity(why_not="ccxt's client fails before it sends an order there"),
    "blockchaincom": Oddity(sends_secret=True),
    "bullish": Oddity(
        answers={"/login": {"authorizer": "4711", "token": "harness-token"}}, options={"tradingAccountId": "4711"}
    ),
    "delta": Oddity(extra={"numericId": 4711}, symbol="4711"),
    "derive": Oddity(why_not="it wants a limit of the fee with each order, which the adapter does not give"),
    "dydx": Oddity(why_not="the adapter refuses to trade there: ccxt lists no trades of an account"),
    "extended": Oddity(why_not=_LIBRARY),
    "gemini": Oddity(key="account-harness-key"),
    "htx": _HUOBI,
    "hyperliquid": Oddity(base_id="4711", symbol="4711", side="True"),
    "grvt": Oddity(why_not="a session is signed in first, and its cookie comes from the venue"),
    "hibachi": Oddity(info={"underlyingDecimals": 8, "settlementDecimals": 6}, extra={"numericId": 4711}),
    "kucoin": _KUCOIN,
    "kucoinfutures": Oddity(
        answers=_KUCOIN.answers, why_not="ccxt's client compares sizes as floats there and fails on exact ones"
    ),
    "lbank": Oddity(secret="a-short-harness-secret"),
    "lighter": Oddity(why_not=_LIBRARY),
    "modetrade": Oddity(secret=_BASE58),
    "mudrex": Oddity(side="LONG", sends_secret=True),
    "nado": Oddity(
        side="370000000000000000",
        market_id="4711",
        answers={"/query": {"status": "success", "data": {"chain_id": "57073", "endpoint_addr": "0x" + "22" * 20}}},
    ),
    "ndax": Oddity(market_id="4711", answers={"/GetUserAccounts": [4711]}, side="0"),
    "pacifica": Oddity(secret=_BASE58),
    "paradex": Oddity(why_not=_LIBRARY),
    "phemex": Oddity(extra={"priceScale": 0, "valueScale": 0}),
    "polymarket": Oddity(market_id="4711", why_not="ccxt's client fails before it sends an order there"),
    "revolutx": Oddity(secret=_ed25519_pem()),
    "tokocrypto": Oddity(info=_BINANCE.info, side="0"),
    "woofipro": Oddity(secret=_BASE58),
}
