"""A run's money, read from its fills and samples. Floats: they inform, they decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from engine.data.captures import Events
from engine.records import EventFlag
from engine.sdk.run import VALUE_DECIMALS, Market

if TYPE_CHECKING:
    from engine.backtest.run import Finished

UNIT: Final = 10.0**VALUE_DECIMALS
Floats = npt.NDArray[np.float64]


def curve(run: Finished) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The net result and when it was looked at."""
    if not len(run.samples):
        return np.zeros(0), np.zeros(0, np.int64)
    return run.samples[:, 1] / UNIT, run.samples[:, 0]


def net_result(run: Finished) -> float:
    return float(run.samples[-1, 1]) / UNIT if len(run.samples) else 0.0


def positions(run: Finished, instrument: int) -> Floats:
    """Base units or contracts held at each look."""
    return np.asarray(run.samples[:, lots_column(run, instrument)] * float(run.markets[instrument].lot_size))


def mids(run: Finished, instrument: int) -> Floats:
    """The mid at each look, NaN while there is none."""
    twice = run.samples[:, lots_column(run, instrument) + 1]
    return np.where(twice > 0, twice / 2 * float(run.markets[instrument].tick_size), np.nan)


def exposure(run: Finished, instrument: int) -> Floats:
    """What is held at each look, valued at the mid in quote units; below zero when short."""
    market = run.markets[instrument]
    held = positions(run, instrument)
    if market.contract == "inverse":
        return np.asarray(held * float(market.face or 0))
    return np.asarray(np.nan_to_num(held * mids(run, instrument)))


def capital(run: Finished) -> float:
    """What was held at the start, in the account's asset at the first mids; what nothing prices counts as nothing."""
    first = {run.config.account: 1.0}
    for at, market in enumerate(run.markets):
        known = mids(run, at) if len(run.samples) else np.zeros(0)
        known = known[~np.isnan(known)]
        if market.quote == run.config.account and len(known):
            first.setdefault(market.base, float(known[0]))
    return sum(float(amount) * first.get(place.partition("/")[2], 0.0) for place, amount in run.config.capital.items())


def fills_in(run: Finished, instrument: int) -> Events:
    found: Events = run.fills[run.fills["instrument"] == instrument]
    return found


def signed(fills: Events) -> npt.NDArray[np.int64]:
    """Lots bought (+) and sold (-)."""
    return np.where(fills["side"] == 0, fills["size"], -fills["size"])


def mark_end(run: Finished, instrument: int) -> float:
    """The last mid, in quote units."""
    if not len(run.samples):
        return 0.0
    return float(run.samples[-1][lots_column(run, instrument) + 1]) / 2 * float(run.markets[instrument].tick_size)


def gross_result(run: Finished, instrument: int) -> float:
    """What the trades and the position they left are worth at the last mid, in quote units, before costs."""
    market, fills, mark = run.markets[instrument], fills_in(run, instrument), mark_end(run, instrument)
    if not len(fills) or mark == 0.0:
        return 0.0
    prices, lots = fills["price"] * float(market.tick_size), signed(fills) * float(market.lot_size)
    if market.contract == "inverse":
        face = float(market.face or 0)
        return float((lots * face / prices).sum() - lots.sum() * face / mark) * mark
    return float(lots.sum() * mark - (lots * prices).sum())


def fees_paid(run: Finished, instrument: int) -> float:
    """In quote units."""
    return float(fee_values(run, instrument).sum())


def fee_values(run: Finished, instrument: int) -> Floats:
    """Each fill's fee in quote units; what was taken in base is worth its trade's price."""
    market, fills = run.markets[instrument], fills_in(run, instrument)
    in_base = (fills["flags"] & EventFlag.FEE_BASE != 0) | (market.contract == "inverse")
    raw = fills["aux"][:, 1].astype(np.float64)
    prices = fills["price"] * float(market.tick_size)
    return np.asarray(np.where(in_base, raw / 10**market.base_decimals * prices, raw / 10**market.quote_decimals))


def volume(run: Finished, instrument: int) -> float:
    """In quote units."""
    return float(values(run.markets[instrument], fills_in(run, instrument)).sum())


def values(market: Market, fills: Events) -> Floats:
    """Each fill's value in quote units."""
    lots = fills["size"] * float(market.lot_size)
    return (
        lots * float(market.face or 0)
        if market.contract == "inverse"
        else lots * fills["price"] * float(market.tick_size)
    )


def lots_column(run: Finished, instrument: int) -> int:
    return 2 + len(run.config.strategies) + 2 * instrument
