"""The followed instruments: tick, lot and least notional from ccxt's markets, fees from the account where it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

import structlog

from cex.connection import Connection
from cex.limiter import Lane
from cex.numbers import plain, tidy, to_decimal
from cex.settings import VenueSettings
from cex.venues import profile_of
from domain import Asset, InputError, Instrument, PlatformError, Side, VenueUnavailable, venue_asset

log = structlog.get_logger(__name__)

SIGNIFICANT_DIGITS, _TICK_SIZE = 3, 4
"""ccxt's ways to state precisions."""
_DECADES_DOWN = 2
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
    contract_size: Decimal = Decimal(1)
    """What one contract is of the base asset, where the venue counts contracts. Lots are always of the base asset."""

    price_digits: int | None = None
    """The most significant digits that the venue takes in a price, where it has no fixed tick."""

    @property
    def id(self) -> str:
        return self.instrument.id

    def lots(self, amount: object) -> int:
        """Count the lots in an amount of the venue's.

        Raises:
            InputError: Not a number, or off the grid.
        """
        return self.instrument.lots(to_decimal(amount) * self.contract_size)

    def with_fees(self, maker: Decimal, taker: Decimal) -> Market:
        """Give the market with other fee rates, 0.001 for a thousandth."""
        instrument = replace(self.instrument, maker_fee_bps=maker * 10_000, taker_fee_bps=taker * 10_000)
        return replace(self, instrument=instrument)

    def price_text(self, ticks: int, side: Side) -> str:
        """Write a price; one of too many digits is moved to the next that the venue takes, never against us."""
        price = self.instrument.price(ticks)
        if self.price_digits is not None:
            unit = Decimal(1).scaleb(price.adjusted() - self.price_digits + 1)
            if price % unit:
                price = price.quantize(unit, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)
        return plain(price)

    def amount_text(self, lots: int) -> str:
        """Write lots as the venue's amount; never rounded, because a lot is a whole number of the venue's steps."""
        return plain(self.instrument.qty(lots) / self.contract_size)


def follow(
    settings: VenueSettings,
    markets: Mapping[str, Mapping[str, Any]],
    precision_mode: int,
    last_prices: Mapping[str, Decimal] = MappingProxyType({}),
) -> list[Market]:
    """Find the configured symbols among ccxt's loaded markets: spot, and perpetual swaps settled in their quote.

    Where a spot market and a swap share a name of the venue's, it means the spot market; ccxt's name
    (`BTC/USDC:USDC`) means the swap. `last_prices`, by ccxt's symbol, are needed where prices have significant digits.

    Raises:
        InputError: A symbol is not listed, not active, or its steps cannot be read.
    """
    followed, profile = [], profile_of(settings.exchange)
    for symbol, market in find(settings, markets).items():
        contract_size = Decimal(1) if market.get("spot") else to_decimal(market.get("contractSize") or 1)
        last_price = last_prices.get(market["symbol"])
        digits = int(market["precision"]["price"]) if precision_mode == SIGNIFICANT_DIGITS else profile.price_digits
        followed.append(
            Market(
                _instrument(settings, symbol, market, precision_mode, contract_size, last_price),
                market["symbol"],
                market["id"],
                is_spot=bool(market.get("spot")),
                contract_size=contract_size,
                price_digits=digits or None,
            )
        )
    return followed


def find(settings: VenueSettings, markets: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Give ccxt's market of each configured symbol.

    Raises:
        InputError: It is not listed, or not active.
    """
    known = sorted((m for m in markets.values() if m.get("spot") or _is_linear_swap(m)), key=lambda m: bool(m["spot"]))
    by_id = {str(market["id"]): market for market in known}
    by_name = {bare_name(str(market["id"])): market for market in known}
    by_unified = {str(market["symbol"]): market for market in known}
    found = {}
    for symbol in settings.instruments:
        market = by_id.get(symbol) or by_unified.get(symbol) or by_name.get(bare_name(symbol))
        if market is None:
            raise InputError(
                f"{settings.id}: {settings.exchange} lists no spot market and no linear perpetual swap {symbol}",
                hint=f"it lists {len(known)} others, such as {', '.join(sorted(by_id)[:5])}",
            )
        if market.get("active") is False:
            raise InputError(f"{settings.id}: {symbol} does not trade at the moment")
        found[symbol] = market
    return found


def bare_name(symbol: str) -> str:
    """Write a symbol without what separates its two assets: `ETH/USDC` and `eth-usdc` are `ETHUSDC`."""
    return symbol.translate(_SEPARATORS).upper()


async def last_prices(connection: Connection) -> dict[str, Decimal]:
    """Ask for the prices of the configured symbols, where ticks are made from them; nothing elsewhere.

    Raises:
        VenueUnavailable: No answer, or none with a price.
    """
    exchange = connection.exchange
    if exchange.precisionMode != SIGNIFICANT_DIGITS:
        return {}
    prices = {}
    for market in find(connection.settings, exchange.markets).values():
        unified = market["symbol"]
        ticker = await connection.query(f"price of {unified}", partial(exchange.fetch_ticker, unified), starting=True)
        price = ticker.get("last") or ticker.get("close") or ticker.get("bid")
        if price is None:
            raise VenueUnavailable(f"{connection.settings.id}: {unified} has no price yet")
        prices[unified] = to_decimal(price)
    return prices


def _is_linear_swap(market: Mapping[str, Any]) -> bool:
    return bool(market.get("swap") and market.get("linear") and market.get("settle") == market.get("quote"))


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
    return market.with_fees(maker, taker)


def _instrument(
    settings: VenueSettings,
    symbol: str,
    market: Mapping[str, Any],
    mode: int,
    contract_size: Decimal,
    last_price: Decimal | None,
) -> Instrument:
    where = f"{settings.id}:{symbol}"
    cost_min = ((market.get("limits") or {}).get("cost") or {}).get("min")
    return Instrument(
        venue=settings.venue_id,
        symbol=symbol,
        base=_asset(settings, market["base"]),
        quote=_asset(settings, market["quote"]),
        tick_size=_tick(where, market, mode, last_price, profile_of(settings.exchange).price_digits),
        lot_size=tidy(_step(where, "amount", market, mode, None) * contract_size),
        min_notional=to_decimal(cost_min) if cost_min is not None else Decimal(0),
        maker_fee_bps=_bps(market.get("maker")),
        taker_fee_bps=_bps(market.get("taker")),
    )


def _asset(settings: VenueSettings, code: str) -> Asset:
    return venue_asset(settings.venue_id, code, settings.asset_decimals)


def _step(where: str, what: str, market: Mapping[str, Any], mode: int, last_price: Decimal | None) -> Decimal:
    value = (market.get("precision") or {}).get(what)
    if value is None:
        raise InputError(f"{where}: the venue states no step for its {what}")
    if mode == SIGNIFICANT_DIGITS and what == "price":
        return _step_of_digits(where, int(value), last_price)
    # Venues of significant digits have them in prices only; their sizes have decimal places.
    step = to_decimal(value) if mode == _TICK_SIZE else Decimal(1).scaleb(-int(value))
    if step <= 0:
        raise InputError(f"{where}: {what} step must be positive, found {step}")
    return tidy(step)


def _tick(where: str, market: Mapping[str, Any], mode: int, last_price: Decimal | None, price_digits: int) -> Decimal:
    tick = _step(where, "price", market, mode, last_price)
    # ccxt states the tick of the present price; prices that fell have more decimals.
    return tick.scaleb(-_DECADES_DOWN) if price_digits and mode == _TICK_SIZE else tick


def _step_of_digits(where: str, digits: int, last_price: Decimal | None) -> Decimal:
    """Choose a tick for prices of so many significant digits: as fine as they get down to a hundredth of the last."""
    if last_price is None or last_price <= 0:
        raise InputError(f"{where}: the venue has no price by which its step could be told")
    return Decimal(1).scaleb(last_price.adjusted() - digits + 1 - _DECADES_DOWN)


def _bps(rate: object) -> Decimal:
    return to_decimal(rate) * 10_000 if rate is not None else Decimal(0)
