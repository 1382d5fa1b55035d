"""What routed orders of a backtest cost, parent by parent: as decided, and as executed. Floats: they inform.

As decided: the split's cost and the best single place's, of the same moment and the same shown books and pools, from
the signals. As executed: fills with their fees and swaps with their gas, against the first mid the parent saw.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from engine.backtest.run import Finished
from engine.records import EventFlag
from engine.strategies.routed_order_settings import RoutedOrderSettings

_OTHERS: Final = {"arrival", "cost", "bound", "single", "single_place"}


@dataclass(frozen=True, slots=True)
class Parent:
    """One parent order. Costs in basis points of its value at arrival; more is worse."""

    strategy: str
    side: str
    qty: float
    executed: float
    """Base units; an inverse contract is worth its face at its trade's price."""
    arrival: float
    price: float
    """Average all-in price of what was executed. `shortfall_bps`: that price against arrival."""
    shortfall_bps: float
    decided_bps: float
    """What the first split was to cost against arrival. `single_bps`: the best single place alone."""
    single_bps: float
    single_place: str
    bound_bps: float
    """No split costs less, as decided."""
    split: dict[str, float]
    """The first round's base units by place."""
    rounds: int

    @property
    def saved_bps(self) -> float:
        """What the first split costs less than the best single place, as decided; never negative."""
        return self.single_bps - self.decided_bps


def parents(run: Finished, *, gas_price: float = 0.0) -> list[Parent]:
    """Give every routed order of a run that split at least once.

    Args:
        run: A finished backtest.
        gas_price: Quote units of one coin that gas is paid in.
    """
    base, quote = _executed(run, gas_price)
    rounds = defaultdict(list)
    for signal in run.signals:
        if signal.name == "routed":
            rounds[signal.strategy].append(signal)
    found = []
    for at, settings in enumerate(run.config.strategies):
        if not isinstance(settings, RoutedOrderSettings) or not rounds[settings.id]:
            continue
        first, sign = rounds[settings.id][0], 1.0 if settings.side == "buy" else -1.0
        arrival = _number(first.inputs["arrival"])

        def bps(price: float, arrival: float = arrival, sign: float = sign) -> float:
            return sign * (price / arrival - 1.0) * 1e4

        sent, price = first.value, abs(quote[at] / base[at]) if base[at] else float("nan")
        found.append(
            Parent(
                strategy=settings.id,
                side=settings.side,
                qty=float(settings.qty),
                executed=abs(base[at]),
                arrival=arrival,
                price=price,
                shortfall_bps=bps(price),
                decided_bps=bps(abs(_number(first.inputs["cost"])) / sent),
                single_bps=bps(abs(_number(first.inputs["single"])) / sent),
                bound_bps=bps(abs(_number(first.inputs["bound"])) / sent),
                single_place=str(first.inputs["single_place"]),
                split={name: _number(units) for name, units in first.inputs.items() if name not in _OTHERS},
                rounds=len(rounds[settings.id]),
            )
        )
    return found


def _executed(run: Finished, gas_price: float) -> tuple[list[float], list[float]]:
    """Base bought (+) and quote paid (-) of each strategy, fees and gas in."""
    base, quote = [0.0] * len(run.config.strategies), [0.0] * len(run.config.strategies)
    for fill in run.fills:
        at = _strategy(int(fill["aux"][0]))
        market = run.markets[fill["instrument"]]
        sign = 1.0 if fill["side"] == 0 else -1.0
        price, lots = int(fill["price"]) * float(market.tick_size), int(fill["size"]) * float(market.lot_size)
        is_inverse = market.contract == "inverse"
        fee = float(fill["aux"][1])
        in_base = is_inverse or bool(int(fill["flags"]) & EventFlag.FEE_BASE)
        fee = fee / 10**market.base_decimals * price if in_base else fee / 10**market.quote_decimals
        qty = lots * float(market.face or 0) / price if is_inverse else lots
        base[at] += sign * qty
        quote[at] -= sign * qty * price + fee
    for swap in run.settlements:
        at = _strategy(swap.client_id)
        quote[at] -= swap.gas_wei / 1e18 * gas_price
        settings = run.config.strategies[at]
        if not swap.is_mined or not isinstance(settings, RoutedOrderSettings):
            continue
        token_base, token_quote = _decimals(run, settings)
        if settings.side == "buy":
            base[at] += swap.amount_out / 10**token_base
            quote[at] -= swap.amount_in / 10**token_quote
        else:
            base[at] -= swap.amount_in / 10**token_base
            quote[at] += swap.amount_out / 10**token_quote
    return base, quote


def _decimals(run: Finished, settings: RoutedOrderSettings) -> tuple[int, int]:
    """Decimals of the base and the quote token of the pools an order uses."""
    name = settings.routes[0].instrument
    symbol = run.config.instruments[name].base
    pool = next(pool for pool in run.config.pools if pool.id in settings.pools)
    base, quote = (pool.token0, pool.token1) if pool.token0.form == symbol else (pool.token1, pool.token0)
    return base.decimals, quote.decimals


def _strategy(client_id: int) -> int:
    """The strategy's place in a client id: run 16, epoch 12, strategy 8, sequence 28 bits."""
    return client_id >> 28 & 0xFF


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
