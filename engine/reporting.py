"""What a run did, worked out by replaying its journal: the same figures after a crash as without one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from domain import OrderState, Side
from domain import events as e
from engine.market import PoolMarket
from engine.native import NativeKernel


@dataclass(slots=True)
class Sample:
    """The state of the run at one instant, for plots. Values in the unit of account."""

    time_ns: int
    result: float
    by_strategy: dict[str, float]
    position_values: dict[str, float]
    spreads_bps: dict[str, float]
    mids: dict[str, float]
    pool_mids: dict[str, float]


@dataclass(slots=True)
class RunSummary:
    """Counts and results of one run."""

    started_ns: int = 0
    ended_ns: int = 0
    events: int = 0
    restarts: int = 0
    orders_sent: int = 0
    orders_by_state: Counter[str] = field(default_factory=Counter)
    fills: Counter[str] = field(default_factory=Counter)
    maker_fills: int = 0
    volume: float = 0.0
    swaps: Counter[str] = field(default_factory=Counter)
    swap_reasons: Counter[str] = field(default_factory=Counter)
    gas_wei: int = 0
    fees: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    risk_rejected: Counter[str] = field(default_factory=Counter)
    halted: str = ""
    result: float = 0.0
    by_strategy: dict[str, float] = field(default_factory=dict)
    by_place: dict[str, dict[str, float]] = field(default_factory=dict)
    """Strategy → place (`sandbox`, `eip155:1337`) → result there; the two legs of an arbitrage offset each other."""
    samples: list[Sample] = field(default_factory=list)
    trades: list[tuple[int, str, str, Side, float, float]] = field(default_factory=list)
    """(time, instrument, strategy, side, price, quantity) of every fill."""


def summarize(kernel: NativeKernel, events: Iterable[e.Event]) -> RunSummary:
    """Replay `events` through a fresh kernel and count.

    Args:
        kernel: Built as for the run, not stepped yet; it ends in the run's final state.
        events: The run's journal.
    """
    summary = RunSummary()
    for event in events:
        booked = kernel.trades_booked
        settles = isinstance(event, e.SwapSettled) and event.intent_id in kernel.swaps
        for command in kernel.step(event):
            match command:
                case e.PlaceOrder():
                    summary.orders_sent += 1
                case e.RiskRejected():
                    summary.risk_rejected[command.rule] += 1
        summary.events += 1
        summary.started_ns = summary.started_ns or event.time_ns
        summary.ended_ns = event.time_ns
        match event:
            case e.FillReported() if kernel.trades_booked > booked:
                _count_fill(summary, kernel, event)
            case e.SwapSettled() if settles:
                summary.swaps[event.status] += 1
                summary.gas_wei += int(event.gas_cost_wei)
                if event.status != "mined":
                    summary.swap_reasons[event.reason] += 1
            case e.EngineRestarted() if event.epoch > 0:
                summary.restarts += 1
            case e.TimerFired():
                summary.samples.append(_sample(kernel, event.time_ns))
    summary.orders_by_state.update(order.state.value for order in kernel.orders.orders.values())
    summary.halted = kernel.halted
    summary.result = kernel.result()
    summary.by_strategy = {s: kernel.result(s) for s in kernel.portfolio.strategies()}
    summary.by_place = {s: kernel.portfolio.result_by_place(kernel.marks, s) for s in kernel.portfolio.strategies()}
    return summary


def to_json(summary: RunSummary) -> dict[str, Any]:
    """The summary's part of the demo's JSON line; results in the unit of account, rounded to cents of a cent."""
    return {
        "fills": sum(summary.fills.values()),
        "fills_maker": summary.maker_fills,
        "volume": round(summary.volume, 2),
        "swaps": summary.swaps["mined"],
        "swaps_failed": summary.swaps["failed"],
        "orders": {
            "sent": summary.orders_sent,
            **{s.value: summary.orders_by_state[s.value] for s in OrderState if summary.orders_by_state[s.value]},
        },
        "risk": {"rejected": sum(summary.risk_rejected.values()), "by_rule": dict(summary.risk_rejected)},
        "policy": {"refused": summary.swaps["refused"], "reasons": dict(summary.swap_reasons)},
        "pnl": {
            "total": round(summary.result, 4),
            "by_strategy": {name: round(value, 4) for name, value in summary.by_strategy.items()},
            "by_place": {
                name: {place: round(value, 4) for place, value in places.items()}
                for name, places in summary.by_place.items()
            },
        },
        "gas_wei": str(summary.gas_wei),
        "fees_raw": {asset: str(raw) for asset, raw in sorted(summary.fees.items())},
        "events": summary.events,
        "restarts": summary.restarts,
        "halted": summary.halted,
        "seconds_traded": round((summary.ended_ns - summary.started_ns) / 1e9, 2),
    }


def _count_fill(summary: RunSummary, kernel: NativeKernel, event: e.FillReported) -> None:
    fill = event.fill
    instrument = kernel.markets.instruments[f"{fill.venue}:{fill.symbol}"]
    summary.fills[fill.venue] += 1
    summary.maker_fills += fill.is_maker
    summary.volume += fill.quote_raw / instrument.quote.unit
    summary.fees[f"{fill.venue}/{fill.fee_asset}"] += fill.fee_raw
    summary.trades.append(
        (
            event.time_ns,
            instrument.id,
            kernel.strategy_of(fill.client_order_id),
            fill.side,
            float(instrument.price(fill.price_ticks)),
            float(instrument.qty(fill.qty_lots)),
        )
    )


def _sample(kernel: NativeKernel, time_ns: int) -> Sample:
    books = {name: book for name, book in kernel.markets.books.items() if book.valid}
    return Sample(
        time_ns=time_ns,
        result=kernel.result(),
        by_strategy={s: kernel.result(s) for s in kernel.portfolio.strategies()},
        position_values={
            symbol: kernel.portfolio.position(symbol) * kernel.marks[symbol]
            for symbol, mark in kernel.portfolio.mark_instruments().items()
            if mark is not None
        },
        spreads_bps={name: (b.asks[0][0] - b.bids[0][0]) / b.mid_ticks * 1e4 for name, b in books.items()},
        mids={name: b.mid for name, b in books.items()},
        pool_mids={p.id: p.mid(_base_of(kernel, p)) for p in kernel.markets.pools.values() if p.replica.is_valid},
    )


def _base_of(kernel: NativeKernel, pool: PoolMarket) -> str:
    """The token of a pool that has a price; the other is the unit of account (or the pair has no natural base)."""
    symbol = kernel.portfolio.economic_symbol(pool.token0.id)
    return pool.token0.id if kernel.portfolio.mark_instruments()[symbol] is not None else pool.token1.id
