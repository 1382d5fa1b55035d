"""Seeded order flow: makes a market that moves, so that there is something to trade with.

Per asset a value follows a random walk with jumps; a pair's fair price is the ratio of two values, so that pairs stay
consistent with one another. Around it trade, per symbol:

    maker    keeps a ladder of bids and asks on a fixed price grid, and moves it with the fair price
    crowd    limit orders near the touch that wait a while, and market orders; arrivals excite further arrivals (Hawkes)
    informed takes whatever the maker or anyone else leaves on the wrong side of the fair price

Time is simulated: `step` advances it by `step_ms`, whatever the clock says, and every draw depends only on the seed and
the number of steps. Floats are statistics here; prices and sizes are rounded onto the grid before they are orders.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import capstan_native as native

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT, AccountSpec, FlowConfig
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.market import Market
from cex.sandbox.orders import NewOrder, Order

_PARTICIPANT_BALANCE: Final = "1000000000"
_CROWD_LIFETIME_STEPS: Final = 200
_REFILL_CHANCE: Final = 0.3
"""That the maker restores an eaten level in a given step."""
_ORDERS_PER_STEP_MAX: Final = 50
"""However excited the crowd is: a bound on the work of one step."""


@dataclass
class _SymbolFlow:
    market: Market
    random: random.Random
    maker: Account
    crowd: Account
    informed: Account
    excitement: float = 0.0
    last_buy: bool = True
    maker_orders: dict[tuple[int, int], Order] = field(default_factory=dict)
    eaten: set[tuple[int, int]] = field(default_factory=set)
    crowd_orders: deque[tuple[int, Order]] = field(default_factory=deque)


class FlowSimulator:
    """The participants of every symbol. See the module."""

    def __init__(self, exchange: Exchange, config: FlowConfig, seed: int, symbols: list[str] | None = None) -> None:
        self._exchange = exchange
        self._config = config
        self._step_s = config.step_ms / 1000
        self._steps = 0
        self._values = {asset: float(price) for asset, price in config.start_prices.items()}
        self._value_random = random.Random(f"{seed}:values")
        self._flows = [
            self._join(exchange.markets[name], seed) for name in (symbols if symbols is not None else exchange.markets)
        ]
        for flow in self._flows:
            self._requote(flow)

    def step(self) -> None:
        """Let `step_ms` of simulated time pass."""
        self._steps += 1
        self._move_values()
        for flow in self._flows:
            self._requote(flow)
            self._take_mispriced(flow)
            self._arrive(flow)
            self._expire(flow)

    def fair_ticks(self, market: Market) -> float:
        """A symbol's fair price in ticks."""
        spec = market.spec
        return self._values[spec.base] / self._values[spec.quote] * UNIT / spec.tick_raw

    # --- parts of a step

    def _join(self, market: Market, seed: int) -> _SymbolFlow:
        name = market.spec.name
        balances = {market.spec.base: _PARTICIPANT_BALANCE, market.spec.quote: _PARTICIPANT_BALANCE}
        maker, crowd, informed = (
            self._exchange.open_account(AccountSpec(f"{role}:{name}", "", balances=balances), is_background=True)
            for role in ("maker", "crowd", "informed")
        )
        return _SymbolFlow(market, random.Random(f"{seed}:{name}"), maker, crowd, informed)

    def _move_values(self) -> None:
        config, draw = self._config, self._value_random
        for asset in self._values:
            if config.start_prices[asset] == "1":
                continue  # The common unit, and what is pegged to it.
            move = draw.gauss(0.0, config.volatility * math.sqrt(self._step_s))
            if draw.random() < config.jump_rate * self._step_s:
                move += draw.gauss(0.0, config.jump_size)
            self._values[asset] *= math.exp(move)

    def _requote(self, flow: _SymbolFlow) -> None:
        """Keep one order at each of the grid's nearest prices a side; an eaten level comes back after a while."""
        config, fair = self._config, self.fair_ticks(flow.market)
        spacing = max(1, round(fair * config.level_spacing_bps / 10_000))
        half_spread = fair * config.half_spread_bps / 10_000
        best_bid = math.floor((fair - half_spread) / spacing) * spacing
        best_ask = math.ceil((fair + half_spread) / spacing) * spacing
        wanted = {(native.BUY, best_bid - i * spacing) for i in range(config.levels) if best_bid > i * spacing}
        wanted |= {(native.SELL, best_ask + i * spacing) for i in range(config.levels)}
        for place, resting in list(flow.maker_orders.items()):
            if resting.status.is_open and place in wanted:
                continue
            if resting.status.is_open:
                self._exchange.cancel(resting)
            else:
                flow.eaten.add(place)
            del flow.maker_orders[place]
        flow.eaten &= wanted
        for place in sorted(wanted - flow.maker_orders.keys()):
            side, price = place
            # Drawn whether or not it is used, so that what clients do does not shift later draws.
            size, soon = flow.random.expovariate(1.0), flow.random.random()
            if place not in flow.eaten or soon < _REFILL_CHANCE:
                flow.eaten.discard(place)
                lots = self._lots(flow, config.level_notional * (0.25 + size))
                order = self._send(flow.market, flow.maker, side, price, lots, "LIMIT")
                if order is not None and order.status.is_open:
                    flow.maker_orders[place] = order

    def _take_mispriced(self, flow: _SymbolFlow) -> None:
        fair, edge = self.fair_ticks(flow.market), 2 * self._config.half_spread_bps / 10_000
        engine = flow.market.engine
        ask, bid = engine.best(native.SELL), engine.best(native.BUY)
        lots = self._lots(flow, self._config.taker_notional)
        if ask is not None and ask[0] < fair * (1 - edge):
            self._send(flow.market, flow.informed, native.BUY, ask[0], min(lots, ask[1]), "LIMIT", "IOC")
        elif bid is not None and bid[0] > fair * (1 + edge):
            self._send(flow.market, flow.informed, native.SELL, bid[0], min(lots, bid[1]), "LIMIT", "IOC")

    def _arrive(self, flow: _SymbolFlow) -> None:
        config, draw = self._config, flow.random
        rate = config.arrival_rate + flow.excitement
        flow.excitement *= math.exp(-config.excitation_decay * self._step_s)
        for _ in range(min(_poisson(draw, rate * self._step_s), _ORDERS_PER_STEP_MAX)):
            flow.excitement += config.excitation * config.excitation_decay
            kind, same_side, size, depth = draw.random(), draw.random(), draw.expovariate(1.0), draw.expovariate(1.0)
            # Order flow is persistent: a buy is more often followed by a buy.
            flow.last_buy = flow.last_buy if same_side < 0.6 else not flow.last_buy
            side = native.BUY if flow.last_buy else native.SELL
            lots = self._lots(flow, config.taker_notional * (0.05 + size))
            if kind < 0.3:
                self._send(flow.market, flow.crowd, side, 0, lots, "MARKET")
                continue
            fair = self.fair_ticks(flow.market)
            away = fair * config.half_spread_bps / 10_000 * (0.3 + 4 * depth)
            price = math.floor(fair - away) if side == native.BUY else math.ceil(fair + away)
            order = self._send(flow.market, flow.crowd, side, price, lots, "LIMIT")
            if order is not None and order.status.is_open:
                flow.crowd_orders.append((self._steps, order))

    def _expire(self, flow: _SymbolFlow) -> None:
        while flow.crowd_orders and flow.crowd_orders[0][0] <= self._steps - _CROWD_LIFETIME_STEPS:
            _, order = flow.crowd_orders.popleft()
            if order.status.is_open:
                self._exchange.cancel(order)

    def _lots(self, flow: _SymbolFlow, value: float) -> int:
        """Lots worth so much of the common unit, rounded down, at least one."""
        spec = flow.market.spec
        return max(1, int(value / self._values[spec.base] * UNIT / spec.lot_raw))

    def _send(
        self,
        market: Market,
        account: Account,
        side: int,
        price: int,
        lots: int,
        type_: str,
        time_in_force: str = "GTC",
    ) -> Order | None:
        if type_ != "MARKET" and price < 1:
            return None
        request = NewOrder(
            side, type_, time_in_force, price_raw=price * market.spec.tick_raw, qty_raw=lots * market.spec.lot_raw
        )
        try:
            return self._exchange.place(account, market.spec.name, request)
        except ApiError:
            # A participant that ran out of one asset sits out, as it would anywhere.
            return None


def _poisson(draw: random.Random, mean: float) -> int:
    """Draw from a Poisson distribution (Knuth); means here are far below one hundred."""
    limit, product, count = math.exp(-min(mean, 100.0)), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count
