"""NautilusTrader's live engines in one process: a quote in, the order at the adapter's door out.

LiveDataEngine, LiveRiskEngine and LiveExecutionEngine on a uvloop, joined as its node joins them, with a venue that is
a stub: nothing is decoded before the quote's object exists, nothing encoded, signed or sent after `submit_order` of
the adapter is called. The risk engine checks as it ships, its throttle raised so that no order is refused.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import uvloop
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import LiveExecEngineConfig, LiveRiskEngineConfig, StrategyConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.live.data_engine import LiveDataEngine
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.live.execution_engine import LiveExecutionEngine
from nautilus_trader.live.risk_engine import LiveRiskEngine
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.events import AccountState
from nautilus_trader.model.identifiers import AccountId, ClientId, TraderId
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.trading.strategy import Strategy

_RATE = "1000000/00:00:01"


class Door(LiveExecutionClient):
    """Notes when an order arrives and does nothing with it."""

    arrived_ns = 0
    arrived: asyncio.Event

    def submit_order(self, command: Any) -> None:
        self.arrived_ns = time.perf_counter_ns()
        self.arrived.set()


class Quoter(Strategy):
    """One post-only limit a quote, a tick behind the best bid."""

    def __init__(self, instrument: Any) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.instrument = instrument
        self.size = Quantity(0.02, instrument.size_precision)
        self.tick = instrument.price_increment.raw

    def on_start(self) -> None:
        self.subscribe_quote_ticks(self.instrument.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        price = Price.from_raw(tick.bid_price.raw - self.tick, tick.bid_price.precision)
        self.submit_order(
            self.order_factory.limit(
                self.instrument.id, OrderSide.BUY, self.size, price, TimeInForce.GTC, post_only=True
            )
        )


def measure(instrument: Any, bids: list[int], decimals: int) -> list[int]:
    """Give the nanoseconds from quote to adapter for every bid, one at a time."""
    return uvloop.run(_measure(instrument, bids, decimals))


async def _measure(instrument: Any, bids: list[int], decimals: int) -> list[int]:
    loop, clock, trader = asyncio.get_running_loop(), LiveClock(), TraderId("BENCH-001")
    bus, cache = MessageBus(trader, clock), Cache()
    portfolio = Portfolio(bus, cache, clock)
    data = LiveDataEngine(loop, bus, cache, clock)
    risk = LiveRiskEngine(
        loop,
        portfolio,
        bus,
        cache,
        clock,
        LiveRiskEngineConfig(max_order_submit_rate=_RATE, max_order_modify_rate=_RATE),
    )
    execution = LiveExecutionEngine(loop, bus, cache, clock, LiveExecEngineConfig(reconciliation=False))
    venue = instrument.id.venue
    door = Door(
        loop=loop,
        client_id=ClientId(venue.value),
        venue=venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        instrument_provider=InstrumentProvider(),
        msgbus=bus,
        cache=cache,
        clock=clock,
    )
    door.arrived = asyncio.Event()
    execution.register_client(door)
    cache.add_instrument(instrument)
    account = AccountId(f"{venue.value}-001")
    door._set_account_id(account)
    zero = Money(0, USDT)
    portfolio.update_account(
        AccountState(
            account_id=account,
            account_type=AccountType.MARGIN,
            base_currency=None,
            reported=True,
            balances=[AccountBalance(Money(1_000_000_000, USDT), zero, Money(1_000_000_000, USDT))],
            margins=[],
            info={},
            event_id=UUID4(),
            ts_event=0,
            ts_init=0,
        )
    )
    strategy = Quoter(instrument)
    strategy.register(trader, portfolio, bus, cache, clock)
    for engine in (data, risk, execution):
        engine.start()
    strategy.start()
    await asyncio.sleep(0)
    amount, tick = Quantity(1, instrument.size_precision), instrument.price_increment.raw
    times = []
    for bid in bids:
        quote = QuoteTick(
            instrument.id,
            Price.from_raw(bid * tick, decimals),
            Price.from_raw((bid + 1) * tick, decimals),
            amount,
            amount,
            0,
            0,
        )
        door.arrived.clear()
        began = time.perf_counter_ns()
        data.process(quote)
        async with asyncio.timeout(5):
            await door.arrived.wait()
        times.append(door.arrived_ns - began)
        await asyncio.sleep(0)
    strategy.stop()
    for engine in (data, risk, execution):
        engine.stop()
        engine.kill()
    return times


def summary(times: list[int]) -> dict[str, Any]:
    values = np.array(times[len(times) // 10 :])
    p50, p90, p99 = (float(np.percentile(values, q)) for q in (50, 90, 99))
    return {"min_ns": int(values.min()), "p50_ns": p50, "p90_ns": p90, "p99_ns": p99, "count": len(values)}
