"""The followed instruments: tick, lot and least notional from ccxt's markets, fees from the account where it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import structlog

from cex.connection import Connection
from cex.limiter import Lane
from cex.numbers import to_decimal
from cex.settings import VenueSettings
from domain import Asset, InputError, Instrument, PlatformError, venue_asset

log = structlog.get_logger(__name__)

_DECIMAL_PLACES, _SIGNIFICANT_DIGITS = 2, 3
_SEPARATORS = str.maketrans("", "", "-_/ ")


@dataclass(frozen=True, slots=True)
class Market:
    """An instrument and the names it goes by."""

    instrument: Instrument
    unified: str
    """ccxt's symbol, `ETH/USDC`."""
    venue_symbol: str
    """The venue's, as its own API wants it."""
    is_spot: bool = True
    """Something is bought and sold, not a position held: there is nothing that could only be reduced."""

    @property
    def id(self) -> str:
        return self.instrument.id


def follow(settings: VenueSettings, markets: Mapping[str, Mapping[str, Any]], precision_mode: int) -> list[Market]:
    """Find the configured symbols among ccxt's loaded markets (spot only).

    Raises:
        InputError: A symbol is not listed, not active, or its steps cannot be read.
    """
    spot = [market for market in markets.values() if market.get("spot")]
    by_id = {str(market["id"]): market for market in spot}
    by_name = {str(market["id"]).translate(_SEPARATORS).upper(): market for market in spot}
    by_unified = {str(market["symbol"]): market for market in spot}
    followed = []
    for symbol in settings.instruments:
        market = by_id.get(symbol) or by_unified.get(symbol) or by_name.get(symbol.translate(_SEPARATORS).upper())
        if market is None:
            raise InputError(
                f"{settings.id}: {settings.exchange} lists no spot market {symbol}",
                hint=f"it lists {len(spot)} others, such as {', '.join(sorted(by_id)[:5])}",
            )
        if market.get("active") is False:
            raise InputError(f"{settings.id}: {symbol} does not trade at the moment")
        followed.append(Market(_instrument(settings, symbol, market, precision_mode), market["symbol"], market["id"]))
    return followed


async def with_account_fees(connection: Connection, market: Market) -> Market:
    """Give the market with the account's own fees; where the venue does not tell them, with the market's."""
    exchange = connection.exchange
    try:
        if connection.speaks_binance:
            answer = await connection.query(
                f"fees of {market.id}",
                lambda: exchange.private_get_account_commission({"symbol": market.venue_symbol}),
                lane=Lane.QUERY,
                weight=20,
            )
            kinds = [answer.get(kind) or {} for kind in ("standardCommission", "taxCommission", "specialCommission")]
            maker, taker = (sum((to_decimal(k.get(s, 0)) for k in kinds), Decimal(0)) for s in ("maker", "taker"))
        elif exchange.has.get("fetchTradingFee"):
            answer = await connection.query(
                f"fees of {market.id}", lambda: exchange.fetch_trading_fee(market.unified), lane=Lane.QUERY
            )
            maker, taker = to_decimal(answer["maker"]), to_decimal(answer["taker"])
        else:
            return market
    except (PlatformError, KeyError) as exc:
        log.warning("fees.unknown", instrument=market.id, error=str(exc))
        return market
    instrument = replace(market.instrument, maker_fee_bps=maker * 10_000, taker_fee_bps=taker * 10_000)
    return replace(market, instrument=instrument)


def _instrument(settings: VenueSettings, symbol: str, market: Mapping[str, Any], mode: int) -> Instrument:
    where = f"{settings.id}:{symbol}"
    cost_min = ((market.get("limits") or {}).get("cost") or {}).get("min")
    return Instrument(
        venue=settings.venue_id,
        symbol=symbol,
        base=_asset(settings, market["base"]),
        quote=_asset(settings, market["quote"]),
        tick_size=_step(where, "price", market, mode),
        lot_size=_step(where, "amount", market, mode),
        min_notional=to_decimal(cost_min) if cost_min is not None else Decimal(0),
        maker_fee_bps=_bps(market.get("maker")),
        taker_fee_bps=_bps(market.get("taker")),
    )


def _asset(settings: VenueSettings, code: str) -> Asset:
    return venue_asset(settings.venue_id, code, settings.asset_decimals)


def _step(where: str, what: str, market: Mapping[str, Any], mode: int) -> Decimal:
    value = (market.get("precision") or {}).get(what)
    if value is None or mode == _SIGNIFICANT_DIGITS:
        raise InputError(f"{where}: the venue states no fixed step for its {what}")
    step = Decimal(1).scaleb(-int(value)) if mode == _DECIMAL_PLACES else to_decimal(value)
    if step <= 0:
        raise InputError(f"{where}: {what} step must be positive, found {step}")
    return step.normalize() if step == step.to_integral_value() else Decimal(f"{step:f}".rstrip("0"))


def _bps(rate: object) -> Decimal:
    return to_decimal(rate) * 10_000 if rate is not None else Decimal(0)
