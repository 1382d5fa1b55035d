"""Where a result went: spread, slippage, fees, funding, gas; and how good the fills were.

The paper result is what the same trades would have made at the mid that was seen when each order got its price. From
there, exactly: paper - spread - slippage = gross; gross - fees + funding + swaps = net.
A taker pays half the spread it saw (spread), and whatever the price was worse than the touch it saw, by latency or by
depth (slippage). A maker earns the distance to the mid at which it traded (spread, below zero), and pays what the mid
moved between its quote and its fill (slippage).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.backtest.looks import HORIZONS_S
from engine.backtest.money import fee_values, fees_paid, fills_in, gross_result, mark_end, net_result, signed, values
from engine.backtest.run import Finished
from engine.records import EventFlag

Floats = npt.NDArray[np.float64]

_WEI: Final = 1e18


class Costs(NamedTuple):
    """In the account's asset. Costs are positive."""

    paper: float
    spread: float
    slippage: float
    gross: float
    fees: float
    funding: float
    """Received (+) or paid (-)."""
    swaps: float
    """What swaps gained or lost, gas left out."""
    gas: float
    net: float


class Judged(NamedTuple):
    """Fills of one instrument, in quote units a fill."""

    value: Floats
    is_maker: npt.NDArray[np.bool_]
    spread: Floats
    slippage: Floats
    effective_bps: Floats
    """Twice the distance to the mid it traded at, of that mid; below zero for a maker."""
    after_bps: Floats
    """How far the mid went our way after the fill, from our price: a column for each horizon, NaN beyond the end."""
    waited_s: Floats
    """From the order's price to its fill."""


def costs_of(run: Finished) -> Costs:
    """Take a result apart."""
    judged = [judge(run, at) for at in range(len(run.markets))]
    spread = sum(float(one.spread.sum()) for one in judged)
    slippage = sum(float(one.slippage.sum()) for one in judged)
    gross = sum(gross_result(run, at) for at in range(len(run.markets)))
    fees = sum(fees_paid(run, at) for at in range(len(run.markets)))
    net = net_result(run)
    rest, gas = net - (gross - fees), gas_paid(run)
    return Costs(
        paper=gross + spread + slippage,
        spread=spread,
        slippage=slippage,
        gross=gross,
        fees=fees,
        funding=0.0 if run.config.pools else rest,
        swaps=rest + gas if run.config.pools else 0.0,
        gas=gas,
        net=net,
    )


def gas_paid(run: Finished) -> float:
    """At the last price of the chain's coin; 0 when nothing prices it."""
    wei = sum(swap.gas_wei for swap in run.settlements)
    if not wei:
        return 0.0
    priced = [at for at, market in enumerate(run.markets) if market.base == run.config.chain.coin]
    return wei / _WEI * mark_end(run, priced[0]) if priced else 0.0


def judge(run: Finished, instrument: int) -> Judged:
    """Compare each fill with the market around it. Fills without a book around them cost nothing here."""
    market, fills = run.markets[instrument], fills_in(run, instrument)
    looks = run.looks[run.fills["instrument"] == instrument]
    value, sign = values(market, fills), np.sign(signed(fills)).astype(np.float64)
    price = fills["price"].astype(np.float64)
    decided = _mid(looks["decided_bid"], looks["decided_ask"])
    now = _mid(looks["bid"], looks["ask"])
    is_maker = (fills["flags"] & EventFlag.MAKER) != 0
    touch = np.where(sign > 0, looks["decided_ask"], looks["decided_bid"]).astype(np.float64)
    # In ticks a unit: the middle term splits what the price was worse than the mid that was seen.
    middle = np.where(is_maker, price - np.where(np.isnan(now), decided, now), touch - decided)
    spread, total = sign * middle, sign * (price - decided)
    known = ~np.isnan(decided)
    share = np.where(known, value / price, 0.0)
    return Judged(
        value=value,
        is_maker=is_maker,
        spread=np.where(known, spread, 0.0) * share,
        slippage=np.where(known, total - spread, 0.0) * share,
        effective_bps=2e4 * sign * (price - now) / now,
        after_bps=1e4 * sign[:, None] * (_half(looks["mids_after"]) - price[:, None]) / price[:, None],
        waited_s=(fills["time_exchange_ns"] - looks["decided_ns"]) / 1e9,
    )


def quality_of(run: Finished) -> dict[str, Any]:
    """Fill quality in a few figures, makers and takers apart; means are weighted by value."""
    judged = [judge(run, at) for at in range(len(run.markets))]
    made: dict[str, Any] = {}
    for name, is_maker in (("maker", True), ("taker", False)):
        parts = [_part(one, one.is_maker == is_maker) for one in judged]
        parts = [one for one in parts if len(one.value)]
        if not parts:
            continue
        value = np.concatenate([one.value for one in parts])
        made[name] = {
            "fills": len(value),
            "value": round(float(value.sum()), 2),
            "effective_spread_bps": _weighted(np.concatenate([one.effective_bps for one in parts]), value),
            "slippage_bps": round(1e4 * sum(float(one.slippage.sum()) for one in parts) / float(value.sum()), 4),
            "waited_s_median": round(float(np.median(np.concatenate([one.waited_s for one in parts]))), 6),
            **{
                f"after_{seconds}s_bps": _weighted(np.concatenate([one.after_bps[:, at] for one in parts]), value)
                for at, seconds in enumerate(HORIZONS_S)
            },
        }
    return made


def fee_rate_bps(run: Finished) -> float | None:
    """Fees over what was traded."""
    fees = sum(float(fee_values(run, at).sum()) for at in range(len(run.markets)))
    value = sum(float(values(market, fills_in(run, at)).sum()) for at, market in enumerate(run.markets))
    return 1e4 * fees / value if value else None


def _part(one: Judged, chosen: npt.NDArray[np.bool_]) -> Judged:
    return Judged(
        value=one.value[chosen],
        is_maker=one.is_maker[chosen],
        spread=one.spread[chosen],
        slippage=one.slippage[chosen],
        effective_bps=one.effective_bps[chosen],
        after_bps=one.after_bps[chosen],
        waited_s=one.waited_s[chosen],
    )


def _weighted(values: Floats, weights: Floats) -> float | None:
    known = ~np.isnan(values)
    total = float(weights[known].sum())
    return round(float((values[known] * weights[known]).sum()) / total, 4) if total > 0.0 else None


def _mid(bids: npt.NDArray[np.int64], asks: npt.NDArray[np.int64]) -> Floats:
    return np.where((bids > 0) & (asks > 0), (bids + asks) / 2.0, np.nan)


def _half(twice: npt.NDArray[np.int64]) -> Floats:
    return np.where(twice > 0, twice / 2.0, np.nan)
