"""Our reading of the Binance protocol against ccxt's: for every kind of message, recorded, published and damaged.

Where both read a message they must agree to the last digit; what we refuse is told by name and refused whole; what is
in the recording or published is never refused.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
from typing import Any

import msgspec
import pytest
from capstan_native import L2Book
from hypothesis import given, settings
from hypothesis import strategies as st

from cex.binance import reading
from cex.binance.connection import refusal
from cex.binance.errors import place_error
from cex.binance.messages import ExchangeInfo, OrderAnswer, ReplaceAnswer
from cex.errors import place_error as generic_place_error
from cex.markets import follow
from domain import OrderRejected
from tests.cex.binance.published import MARKETS, MESSAGES
from tests.cex.binance.readings import REFUSALS, SETTINGS, Readings, ccxt_with
from tests.cex.binance.recording import SYMBOL, Recording, record
from tests.cex.binance.test_errors import by_ccxt

EXECUTIONS = {"NEW", "TRADE", "CANCELED", "EXPIRED", "REPLACED", "TRADE_PREVENTION"}
KINDS = (
    "trade",
    "aggTrade",
    "kline",
    "24hrTicker",
    "bookTicker",
    "executionReport",
    "outboundAccountPosition",
    "balanceUpdate",
    "order",
    "orders",
    "myTrades",
    "account",
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return asyncio.run(record())


@pytest.fixture(scope="module")
def info(recording: Recording) -> dict[str, Any]:
    """The sandbox's exchangeInfo, with the markets of the published examples."""
    (body,) = recording["exchangeInfo"]
    info: dict[str, Any] = json.loads(body)
    pattern = next(row for row in info["symbols"] if row["symbol"] == SYMBOL)
    for symbol, (base, quote) in MARKETS.items():
        row = copy.deepcopy(pattern) | {"symbol": symbol, "baseAsset": base, "quoteAsset": quote}
        for rule in row["filters"]:
            # Fine enough for the published prices.
            rule |= {name: "0.00000001" for name in ("tickSize", "stepSize") if name in rule}
        info["symbols"] = [other for other in info["symbols"] if other["symbol"] != symbol] + [row]
    return info


@pytest.fixture(scope="module")
def readings(info: dict[str, Any]) -> Readings:
    read = msgspec.convert(info, ExchangeInfo)
    exchange = ccxt_with(info)
    asyncio.run(_load(exchange))
    return Readings(exchange, {row.symbol: reading.market(SETTINGS, row.symbol, row) for row in read.symbols})


async def _load(exchange: Any) -> None:
    try:
        await exchange.load_markets()
    finally:
        await exchange.close()


@pytest.fixture(scope="module")
def samples(recording: Recording) -> dict[str, list[bytes]]:
    """Recorded and published messages by kind."""
    found = {kind: list(recording.get(kind, ())) for kind in KINDS}
    for kind, rows in MESSAGES.items():
        if kind in found:
            whole = [rows] if kind == "myTrades" else rows
            found[kind] += [json.dumps(message).encode() for message in whole]
    return found


def test_session_holds_every_kind_of_message(recording: Recording) -> None:
    # The sandbox moves no funds between accounts while somebody watches: that one kind is published only.
    assert set(KINDS) - set(recording) == {"balanceUpdate"}
    assert {"listStatus", "orderList", "replacement", "sweep"} <= set(recording)
    reports = [json.loads(data) for data in recording["executionReport"]]
    assert {report["x"] for report in reports} >= EXECUTIONS
    assert {report["X"] for report in reports} >= {"NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"}


@pytest.mark.parametrize("kind", KINDS)
def test_both_read_the_same(kind: str, samples: dict[str, list[bytes]], readings: Readings) -> None:
    ours, theirs = readings.kinds[kind]
    assert samples[kind]
    for data in samples[kind]:
        assert ours(data) == theirs(json.loads(data)), data


EXAMPLES = 120
VALUES: list[Any] = [None, "", "abc", "1e5", "NaN", "-1", -1, 0, 1.5, True, False, [], {}, "0.00000001", 2**63]
VALUES += ["1" * 30, "0", "TRADE", "FILLED", "BUY", "ETHUSDC", "ETH", 7, "7", "0.010", "+1", " 1", "1_000", "٣", "1\n"]


def damaged(message: Any, rng: random.Random) -> Any:
    """Leave fields out, exchange them for one another, and put other values into them."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            walk(value)

    walk(message)
    for _ in range(rng.randint(1, 3)):
        node, key = rng.choice(places)
        if isinstance(node, dict) and key not in node:
            continue
        match rng.randrange(4):
            case 0 if isinstance(node, dict):
                del node[key]
            case 1:
                other, name = rng.choice(places)
                if not isinstance(other, dict) or name in other:
                    node[key] = copy.deepcopy(other[name])
            case _:
                node[key] = rng.choice(VALUES)
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_accept_of_a_damaged_message_is_what_ccxt_reads(
    kind: str, samples: dict[str, list[bytes]], readings: Readings
) -> None:
    ours, theirs = readings.kinds[kind]

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        rng = random.Random(seed)
        message = damaged(json.loads(rng.choice(samples[kind])), rng)
        data = json.dumps(message).encode()
        try:
            read = ours(data)
        except REFUSALS:
            return
        try:
            expected = theirs(message)
        except Exception:
            # ccxt raises whatever its parsers stumble over: it read nothing to compare with.
            return
        assert read == expected, data

    check()


def test_books_agree_after_every_diff(recording: Recording, readings: Readings) -> None:
    instrument = readings.markets[SYMBOL].instrument
    (snapshot,) = recording["snapshot"]
    book = L2Book(str(instrument.tick_size), str(instrument.lot_size), SYMBOL)
    book.apply_snapshot(snapshot)
    exchange = readings.exchange
    theirs = exchange.order_book({}, 1_000)
    first = json.loads(snapshot)
    theirs.reset(exchange.parse_order_book(first, "ETH/USDC", None, "bids", "asks") | {"nonce": first["lastUpdateId"]})
    applied = 0
    for data in recording["depthUpdate"]:
        diff = json.loads(data)
        if diff["u"] <= theirs["nonce"]:
            assert not book.apply_diff(data)
            continue
        assert book.apply_diff(data)
        exchange.handle_order_book_message(None, diff, theirs)
        bids, asks = book.top(1_000)
        shown = [[(float(instrument.price(p)), float(instrument.qty(q))) for p, q in side] for side in (bids, asks)]
        assert shown == [[tuple(map(float, row)) for row in theirs[side]] for side in ("bids", "asks")]
        assert book.last_update_id == theirs["nonce"]
        applied += 1
    assert applied


def test_recorded_refusals_are_sorted_the_same_and_give_the_venues_own_words(recording: Recording) -> None:
    assert len(recording["error"]) >= 6
    for body in recording["error"]:
        theirs = generic_place_error(by_ccxt(400, body.decode()), client_order_id="a", touched=True, status=400)
        ours = place_error(refusal(400, body), client_order_id="a", touched=True)
        assert type(ours) is type(theirs)
        if isinstance(ours, OrderRejected):
            assert (ours.code, ours.reason) == (str(json.loads(body)["code"]), json.loads(body)["msg"])


def test_halves_of_a_replacement_are_the_orders_that_ccxt_reads(recording: Recording, readings: Readings) -> None:
    (body,) = recording["replacement"]
    answer, raw = msgspec.json.decode(body, type=ReplaceAnswer), json.loads(body)
    for half, row in ((answer.cancelled, raw["cancelResponse"]), (answer.placed, raw["newOrderResponse"])):
        assert isinstance(half, OrderAnswer)
        assert readings.told(half) == readings.kinds["order"][1](row)


def test_markets_agree(info: dict[str, Any], readings: Readings) -> None:
    exchange = readings.exchange
    names = [row["symbol"] for row in info["symbols"]]
    wanted = SETTINGS.model_copy(update={"instruments": tuple(names)})
    assert follow(wanted, exchange.markets, exchange.precisionMode) == [readings.markets[name] for name in names]


def test_assets_go_by_the_same_names(readings: Readings) -> None:
    for asset in ("BTC", "BCC", "YOYO", "XBT", "BCHSV", "ETH", "USDT", "1INCH", "币安人生"):
        assert reading.code(asset) == readings.exchange.safe_currency_code(asset)
