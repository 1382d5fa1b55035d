"""The venue's messages in our own terms: states, fills, instruments. Exact, or refused.

Everything here is a plain function; differential tests compare each with what ccxt makes of the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from cex.account import OrderSnapshot
from cex.binance.messages import ExecutionReport, Listing, OrderAnswer, TradeAnswer
from cex.markets import Market
from cex.numbers import quote_raw, tidy, to_decimal, to_raw
from cex.settings import VenueSettings
from domain import Fill, InputError, Instrument, OrderState, Side, venue_asset

STATES: Final[Mapping[str, OrderState]] = {
    "NEW": OrderState.ACCEPTED,
    "PENDING_NEW": OrderState.ACCEPTED,
    "PARTIALLY_FILLED": OrderState.ACCEPTED,
    "PENDING_CANCEL": OrderState.ACCEPTED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
CODES: Final = {"YOYO": "YOYOW", "XBT": "BTC", "BCHSV": "BSV"}
"""Assets that ccxt, and therefore the rest of the platform, calls otherwise than the venue does."""
USUAL_FEE_BPS: Final = Decimal(10)
"""0.1 %, of whoever has no account; the account's own replaces it."""


def state(status: str) -> OrderState:
    """Read an order's status.

    Raises:
        InputError: Unknown.
    """
    found = STATES.get(status)
    if found is None:
        raise InputError(f"unknown order status {status!r}")
    return found


def code(asset: str) -> str:
    return CODES.get(asset, asset.upper())


def snapshot(market: Market, order: OrderAnswer) -> OrderSnapshot:
    executed = market.instrument.lots(to_decimal(order.executed_qty))
    return OrderSnapshot(order.name, str(order.order_id), state(order.status), executed)


def reported_fill(market: Market, report: ExecutionReport, asset_decimals: int) -> Fill:
    """Read the trade that a report of execution TRADE tells.

    Raises:
        InputError: A number is off the instrument's grid or finer than the venue's unit.
    """
    return _fill(
        market,
        trade_id=report.trade_id,
        order_id=report.order_id,
        client_order_id=report.order_name,
        is_buy=report.side == "BUY",
        price=report.last_price,
        qty=report.last_qty,
        fee=report.fee,
        fee_asset=report.fee_asset or "",
        is_maker=report.is_maker,
        time_ms=report.time,
        asset_decimals=asset_decimals,
    )


def listed_fill(market: Market, trade: TradeAnswer, client_order_id: str, asset_decimals: int) -> Fill:
    """Read a row of `myTrades`; raises as `reported_fill`."""
    return _fill(
        market,
        trade_id=trade.id,
        order_id=trade.order_id,
        client_order_id=client_order_id,
        is_buy=trade.is_buyer,
        price=trade.price,
        qty=trade.qty,
        fee=trade.commission,
        fee_asset=trade.commission_asset,
        is_maker=trade.is_maker,
        time_ms=trade.time,
        asset_decimals=asset_decimals,
    )


def _fill(
    market: Market,
    *,
    trade_id: int,
    order_id: int,
    client_order_id: str,
    is_buy: bool,
    price: str,
    qty: str,
    fee: str,
    fee_asset: str,
    is_maker: bool,
    time_ms: int,
    asset_decimals: int,
) -> Fill:
    instrument = market.instrument
    fee_raw = to_raw(fee, asset_decimals)
    if fee_raw and not fee_asset:
        raise InputError(f"{market.id}: trade {trade_id} has a fee of {fee} and does not say of what")
    price_ticks, qty_lots = instrument.ticks(to_decimal(price)), instrument.lots(to_decimal(qty))
    return Fill(
        venue=str(instrument.venue),
        symbol=instrument.symbol,
        trade_id=str(trade_id),
        client_order_id=client_order_id,
        venue_order_id=str(order_id),
        side=Side.BUY if is_buy else Side.SELL,
        price_ticks=price_ticks,
        qty_lots=qty_lots,
        quote_raw=quote_raw(instrument, price_ticks, qty_lots),
        fee_asset=code(fee_asset) if fee_asset else instrument.quote.symbol,
        fee_raw=fee_raw,
        is_maker=is_maker,
        venue_time_ns=time_ms * 1_000_000,
    )


def market(settings: VenueSettings, symbol: str, listing: Listing) -> Market:
    """Make the followed market of a listing, under the name that the settings give it.

    Raises:
        InputError: It does not trade now, or its steps cannot be read.
    """
    if listing.status != "TRADING" or not listing.is_spot_trading_allowed:
        raise InputError(f"{settings.id}: {symbol} does not trade at the moment")
    filters = {str(row.get("filterType")): row for row in listing.filters}
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    base, quote = (code(asset) for asset in (listing.base_asset, listing.quote_asset))
    instrument = Instrument(
        venue=settings.venue_id,
        symbol=symbol,
        base=venue_asset(settings.venue_id, base, settings.asset_decimals),
        quote=venue_asset(settings.venue_id, quote, settings.asset_decimals),
        tick_size=_step(settings, symbol, filters, "PRICE_FILTER", "tickSize"),
        lot_size=_step(settings, symbol, filters, "LOT_SIZE", "stepSize"),
        min_notional=to_decimal(notional.get("minNotional", 0)).normalize(),
        maker_fee_bps=USUAL_FEE_BPS,
        taker_fee_bps=USUAL_FEE_BPS,
    )
    return Market(instrument, f"{base}/{quote}", listing.symbol)


def _step(
    settings: VenueSettings, symbol: str, filters: Mapping[str, Mapping[str, Any]], name: str, field: str
) -> Decimal:
    step = to_decimal((filters.get(name) or {}).get(field, 0))
    if step <= 0:
        raise InputError(f"{settings.id}:{symbol}: the venue states no step in {name}")
    return tidy(step)
