"""From instruments and strategies to what the native engine is made of: plain dictionaries, numbered by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from domain import Asset, InputError, Instrument, VenueId, venue_asset
from engine.risk_limits import native_limits, native_shares, order_lots_max
from engine.sdk.strategy import Strategy, subscriptions

if TYPE_CHECKING:
    from engine.sdk.pools import PoolTerms
    from engine.settings import RiskLimits

Native: TypeAlias = tuple[str, dict[str, Any]]
"""A native kernel: its kind and its parameters, see `native/python/src/sdk/settings.rs`."""

VALUE_DECIMALS: Final = 8
"""Results and values are whole numbers of so many decimals of the account's unit."""
NATIVE_WAKES: Final = 1 << 0 | 1 << 9 | 1 << 3 | 1 << 4
"""Books, stale books, fills and reports."""


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument of a run. Fees in basis points, negative ones are rebates."""

    name: str
    """`venue:SYMBOL`."""
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    contract: str = "spot"
    """`spot`, `linear` or `inverse`."""
    face: Decimal | None = None
    notional_min: Decimal = Decimal(0)
    maker_fee_bps: Decimal = Decimal(0)
    taker_fee_bps: Decimal = Decimal(0)
    base_decimals: int = 8
    quote_decimals: int = 8

    @property
    def venue(self) -> str:
        return self.name.partition(":")[0]


def terms(market: Market) -> Instrument:
    """What strategies are told of a market; the live engine tells them the same."""
    venue = VenueId(market.venue)
    return Instrument(
        venue=venue,
        symbol=market.name.partition(":")[2],
        base=venue_asset(venue, market.base, market.base_decimals),
        quote=venue_asset(venue, market.quote, market.quote_decimals),
        tick_size=market.tick_size,
        lot_size=market.lot_size,
        min_notional=market.notional_min,
        maker_fee_bps=market.maker_fee_bps,
        taker_fee_bps=market.taker_fee_bps,
    )


def engine_config(
    markets: Sequence[Market],
    strategies: Sequence[tuple[str, Strategy | Native]],
    *,
    account: str,
    run: int = 1,
    seed: int = 0,
    can_amend: bool = False,
    risk: RiskLimits | None = None,
    pools: Sequence[PoolTerms] = (),
    gas: tuple[Asset, str] | None = None,
) -> dict[str, Any]:
    """Number everything a run consists of.

    Args:
        markets: Instrument `i` of the events is the i-th.
        strategies: Name and strategy, in the order in which they are told.
        account: The quote asset that results are in.
        run: Part of every client id.
        seed: In the journal's header.
        can_amend: Whether the venues change price and size of a resting order in one message.
        risk: What the gate enforces; without it nothing is bounded (tests and benches).
        pools: Pool `i` of the events is the i-th.
        gas: What swaps' gas is paid in, and the economic asset it is a form of.

    Raises:
        InputError: A contract that cannot be counted in integers, no instrument is quoted in `account`, or what a
            pool trades has no price.
    """
    venues = list(dict.fromkeys(m.venue for m in markets))
    assets: dict[str, dict[str, Any]] = {}
    symbols = list(dict.fromkeys([account, *(m.base for m in markets), *(m.quote for m in markets)]))
    marks = _marks(markets, account)
    for market in markets:
        for symbol, decimals in ((market.base, market.base_decimals), (market.quote, market.quote_decimals)):
            key = f"{market.venue}/{symbol}"
            if assets.setdefault(key, _asset(key, decimals, symbols.index(symbol)))["decimals"] != decimals:
                raise InputError(f"{market.name}: {symbol} is counted with other decimals elsewhere at {market.venue}")
    place = {key: at for at, key in enumerate(assets)}
    names = [m.name for m in markets]
    made: dict[str, Any] = {
        "run": run,
        "seed": seed,
        "assets": list(assets.values()),
        "economics": [{"symbol": symbol, "mark": marks.get(symbol)} for symbol in symbols],
        "venues": [{"name": name, "fee_asset": None, "can_amend": can_amend} for name in venues],
        "instruments": [_instrument(m, venues, place) for m in markets],
        "strategies": [{"name": name, "subscriptions": _subscriptions(what, names)} for name, what in strategies],
    }
    if pools or gas is not None:
        _add_chain(made, pools, gas, account, marks)
    if risk is not None:
        _bound(made, risk, markets)
    return made


def _add_chain(
    config: dict[str, Any],
    pools: Sequence[PoolTerms],
    gas: tuple[Asset, str] | None,
    account: str,
    marks: Mapping[str, int],
) -> None:
    """Add pools and what they trade, after everything the exchanges have."""
    symbols = [economic["symbol"] for economic in config["economics"]]
    place = {asset["id"]: at for at, asset in enumerate(config["assets"])}

    def number(asset: Asset, form: str) -> int:
        if form != account and form not in marks:
            raise InputError(f"{asset.id}: no instrument prices {form} in {account}", hint="what is it a form of?")
        made = _asset(asset.id, asset.decimals, symbols.index(form))
        at = place.setdefault(asset.id, len(config["assets"]))
        if at == len(config["assets"]):
            config["assets"].append(made)
        if config["assets"][at] != made:
            raise InputError(f"{asset.id} is described in two ways")
        return at

    config["pools"] = [
        {
            "id": pool.id,
            "token0": number(pool.token0, pool.forms[0]),
            "token1": number(pool.token1, pool.forms[1]),
            "fee_pips": pool.fee_pips,
        }
        for pool in pools
    ]
    config["gas_asset"] = None if gas is None else number(*gas)


def _bound(config: dict[str, Any], risk: RiskLimits, markets: Sequence[Market]) -> None:
    """Add the limits of the gate."""
    config["limits"] = native_limits(risk, value_decimals=VALUE_DECIMALS)
    names = [strategy["name"] for strategy in config["strategies"]]
    shares = native_shares(risk, names, value_decimals=VALUE_DECIMALS)
    for strategy, share in zip(config["strategies"], shares, strict=True):
        strategy["capital"] = share
    config["order_lots_max"] = [order_lots_max(risk, m.base, m.lot_size) for m in markets]
    instruments, assets = [m.name for m in markets], [asset["id"] for asset in config["assets"]]
    pools = [pool["id"] for pool in config.get("pools", ())]
    if unknown := sorted(set(risk.blacklist) - {*instruments, *assets, *pools}):
        raise InputError(f"risk.blacklist: there is no {', '.join(unknown)} in this run")
    config["blacklist"] = {
        "instruments": [at for at, name in enumerate(instruments) if name in risk.blacklist],
        "assets": [at for at, name in enumerate(assets) if name in risk.blacklist],
        "pools": [at for at, name in enumerate(pools) if name in risk.blacklist],
    }


def decimal_parts(value: Decimal) -> tuple[int, int]:
    """Split a positive decimal into digits and scale: 0.05 is (5, 2)."""
    sign, digits, exponent = value.normalize().as_tuple()
    if not isinstance(exponent, int) or sign:
        raise InputError(f"{value} is no positive number")
    number = int("".join(map(str, digits)))
    return (number, -exponent) if exponent <= 0 else (number * 10**exponent, 0)


def _asset(key: str, decimals: int, economic: int) -> dict[str, Any]:
    return {"id": key, "decimals": decimals, "economic": economic}


def _marks(markets: Sequence[Market], account: str) -> Mapping[str, int]:
    """The first instrument that prices each asset in the account's."""
    marks: dict[str, int] = {}
    for at, market in enumerate(markets):
        if market.quote == account:
            marks.setdefault(market.base, at)
    if not marks:
        raise InputError(f"no instrument is quoted in the account's asset, {account}")
    return marks


def _instrument(market: Market, venues: list[str], place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "symbol": market.name.partition(":")[2],
        "venue": venues.index(market.venue),
        "base": place[f"{market.venue}/{market.base}"],
        "quote": place[f"{market.venue}/{market.quote}"],
        "tick": decimal_parts(market.tick_size),
        "lot": decimal_parts(market.lot_size),
        "contract": market.contract,
        "face": None if market.face is None else decimal_parts(market.face),
        "notional_min": int(market.notional_min * 10**market.quote_decimals),
        "maker_fee": _fee(market.maker_fee_bps),
        "taker_fee": _fee(market.taker_fee_bps),
        "terms": terms(market),
    }


def _fee(bps: Decimal) -> int:
    """Basis points as the kernel counts fees, in 1e-8 of the value."""
    fee = bps * 10_000
    if fee != int(fee):
        raise InputError(f"a fee of {bps} bps is finer than 0.0001 bps")
    return int(fee)


def _subscriptions(strategy: Strategy | Native, names: list[str]) -> list[tuple[int | None, int]]:
    if isinstance(strategy, Strategy):
        return subscriptions(strategy, names)
    return [(strategy[1]["instrument"], NATIVE_WAKES)]
