"""How the public market looks on Binance's wire: trades, candles, books and tickers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cex.sandbox.candles import Candle
from cex.sandbox.config import SymbolSpec
from cex.sandbox.market import DAY_MS, Market
from cex.sandbox.orders import AggregateTrade, PublicTrade
from cex.sandbox.windows import WINDOW_LETTERS, window_view
from cex.sandbox.wire import JSON, units

_DAY_LETTERS: Final = WINDOW_LETTERS | {
    "x": "prevClosePrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
}

# --- public trades and candles


def trade_view(trade: PublicTrade) -> JSON:
    return {
        "id": trade.id,
        "price": units(trade.price * trade.symbol.tick_raw),
        "qty": units(trade.lots * trade.symbol.lot_raw),
        "quoteQty": units(trade.quote_raw),
        "time": trade.time_ms,
        "isBuyerMaker": trade.is_buyer_maker,
        "isBestMatch": True,
    }


def trade_event(trade: PublicTrade) -> JSON:
    return {
        "e": "trade",
        "E": trade.time_ms,
        "s": trade.symbol.name,
        "t": trade.id,
        "p": units(trade.price * trade.symbol.tick_raw),
        "q": units(trade.lots * trade.symbol.lot_raw),
        "T": trade.time_ms,
        "m": trade.is_buyer_maker,
        "M": True,
    }


def aggregate_view(trade: AggregateTrade) -> JSON:
    return {
        "a": trade.id,
        "p": units(trade.price * trade.symbol.tick_raw),
        "q": units(trade.lots * trade.symbol.lot_raw),
        "f": trade.first_trade_id,
        "l": trade.last_trade_id,
        "T": trade.time_ms,
        "m": trade.is_buyer_maker,
        "M": True,
    }


def aggregate_event(trade: AggregateTrade) -> JSON:
    return {"e": "aggTrade", "E": trade.time_ms, "s": trade.symbol.name, **aggregate_view(trade)}


def candle_view(candle: Candle, spec: SymbolSpec) -> list[Any]:
    tick, lot = spec.tick_raw, spec.lot_raw
    return [
        candle.open_ms,
        units(candle.open * tick),
        units(candle.high * tick),
        units(candle.low * tick),
        units(candle.close * tick),
        units(candle.lots * lot),
        candle.close_ms,
        units(candle.quote_raw),
        candle.trades,
        units(candle.taker_buy_lots * lot),
        units(candle.taker_buy_quote_raw),
        "0",
    ]


def candle_event(candle: Candle, spec: SymbolSpec, interval: str, now_ms: int) -> JSON:
    tick, lot = spec.tick_raw, spec.lot_raw
    return {
        "e": "kline",
        "E": now_ms,
        "s": spec.name,
        "k": {
            "t": candle.open_ms,
            "T": candle.close_ms,
            "s": spec.name,
            "i": interval,
            "f": candle.first_trade_id,
            "L": candle.last_trade_id,
            "o": units(candle.open * tick),
            "c": units(candle.close * tick),
            "h": units(candle.high * tick),
            "l": units(candle.low * tick),
            "v": units(candle.lots * lot),
            "n": candle.trades,
            "x": now_ms > candle.close_ms,
            "q": units(candle.quote_raw),
            "V": units(candle.taker_buy_lots * lot),
            "Q": units(candle.taker_buy_quote_raw),
            "B": "0",
        },
    }


# --- books and tickers


def levels_view(spec: SymbolSpec, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
    tick, lot = spec.tick_raw, spec.lot_raw
    return [[units(price * tick), units(lots * lot)] for price, lots in levels]


def depth_view(market: Market, limit: int) -> JSON:
    return {
        "lastUpdateId": market.update_id,
        "bids": levels_view(market.spec, market.engine.levels(0, limit)),
        "asks": levels_view(market.spec, market.engine.levels(1, limit)),
    }


def depth_event(
    spec: SymbolSpec, changes: tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]], now_ms: int
) -> JSON:
    first_id, final_id, bids, asks = changes
    return {
        "e": "depthUpdate",
        "E": now_ms,
        "s": spec.name,
        "U": first_id,
        "u": final_id,
        "b": levels_view(spec, bids),
        "a": levels_view(spec, asks),
    }


def best_prices(market: Market) -> tuple[str, str, str, str]:
    """Best bid, its size, best ask, its size; zeros for an empty side."""
    spec = market.spec
    (bid, bid_lots), (ask, ask_lots) = (market.engine.best(side) or (0, 0) for side in (0, 1))
    tick, lot = spec.tick_raw, spec.lot_raw
    return units(bid * tick), units(bid_lots * lot), units(ask * tick), units(ask_lots * lot)


def book_ticker_view(market: Market) -> JSON:
    bid, bid_qty, ask, ask_qty = best_prices(market)
    return {"symbol": market.spec.name, "bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}


def book_ticker_event(market: Market) -> JSON:
    bid, bid_qty, ask, ask_qty = best_prices(market)
    return {"u": market.update_id, "s": market.spec.name, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}


def day_view(market: Market, now_ms: int) -> JSON:
    """The rolling day as REST's `ticker/24hr`."""
    bid, bid_qty, ask, ask_qty = best_prices(market)
    day = window_view(market, now_ms - DAY_MS, now_ms, is_mini=False)
    return day | {
        "prevClosePrice": day["openPrice"],
        "lastQty": units(market.last_lots * market.spec.lot_raw),
        "bidPrice": bid,
        "bidQty": bid_qty,
        "askPrice": ask,
        "askQty": ask_qty,
    }


def ticker_event(market: Market, now_ms: int) -> JSON:
    """The rolling day as the `@ticker` stream's."""
    day = day_view(market, now_ms)
    return {"e": "24hrTicker", "E": now_ms} | {letter: day[field] for letter, field in _DAY_LETTERS.items()}


def mini_ticker_event(market: Market, now_ms: int) -> JSON:
    day = ticker_event(market, now_ms)
    return {"e": "24hrMiniTicker", **{key: day[key] for key in ("E", "s", "c", "o", "h", "l", "v", "q")}}


def average_price_event(market: Market, now_ms: int) -> JSON:
    price = units(market.average_price(now_ms) * market.spec.tick_raw)
    return {"e": "avgPrice", "E": now_ms, "s": market.spec.name, "i": "5m", "w": price, "T": now_ms}
