"""Strategies on one desk: one alone trades as without it, opposite ones meet, each within its capital, sums exact."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from domain import Fill, InputError, Side
from domain.events import BookChanged, FillReported
from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.run import Finished, run_backtest
from engine.netting.context import MemberContext
from engine.strategies.catalog import make
from engine.strategies.netted import Netted, NettedSettings
from tests.engine.strategies.desk import Desk

HERE = Path(__file__).parent
IMBALANCE = {
    "kind": "order-book-imbalance", "instrument": "one:ETHUSDC", "qty": "0.5", "position_max": "2", "enter": "0.3",
    "leave": "0.05",
}  # fmt: skip
TREND = {"kind": "moving-average", "instrument": "one:ETHUSDC", "bar_s": 1, "equity": "3000", "shorts": True}


def config(*strategies: dict[str, Any]) -> BacktestConfig:
    return BacktestConfig.model_validate(
        {
            "account": "USDC",
            "data": [{"kind": "synthetic", "instrument": "one:ETHUSDC", "seconds": 40, "price": "3000", "size": "2"}],
            "instruments": {
                "one:ETHUSDC": {
                    "base": "ETH", "quote": "USDC", "tick_size": "0.01", "lot_size": "0.001", "taker_fee_bps": "4",
                }
            },
            "strategies": strategies,
            "risk": {
                "order_notional_max": 10**6, "position_notional_max": 10**6, "exposure_notional_max": 10**7,
                "drawdown_max": 10**6, "messages_per_second_max": 10_000, "executions_max": 60_000,
            },
        }
    )  # fmt: skip


def run(*strategies: dict[str, Any]) -> Finished:
    made = config(*strategies)
    return run_backtest(made, load_events(made, HERE), HERE)


def netted(*members: dict[str, Any], capital: str = "100000", **more: Any) -> dict[str, Any]:
    return {"kind": "netted", "members": [{"strategy": m, "capital": capital} for m in members], **more}


def moves(run_: Finished) -> np.ndarray:
    return np.stack([run_.fills[name] for name in ("time_local_ns", "side", "price", "size")], axis=1)


def paid(run_: Finished) -> int:
    return int(run_.fills["aux"][:, 1].sum())


def test_one_member_alone_trades_as_it_would_without_a_desk():
    alone, desk = run(IMBALANCE), run(netted(IMBALANCE))
    assert len(alone.fills) > 20
    assert (moves(alone) == moves(desk)).all()
    bars = {**TREND, "fast": 3, "slow": 8}
    alone, desk = run(bars), run(netted(bars))
    assert len(alone.fills) > 4
    assert (moves(alone) == moves(desk)).all()


def test_opposite_targets_meet_before_they_reach_the_venue():
    slow = {**TREND, "fast": 3, "slow": 8}
    quick = {**TREND, "fast": 2, "slow": 5, "equity": "2000"}
    reverse = {"kind": "rsi", "instrument": "one:ETHUSDC", "bar_s": 1, "equity": "3000", "shorts": True, "length": 3}
    members = [slow, quick, reverse]
    apart = run(*({**member, "id": f"m{at}"} for at, member in enumerate(members)))
    desk = run(netted(*members))
    shared = run(netted(*members, cross=False))
    assert desk.fills["size"].sum() < 0.9 * shared.fills["size"].sum()
    assert paid(desk) < 0.9 * paid(apart)


def test_the_rows_add_up_to_every_fill_and_every_fee():
    made = Desk(NettedSettings(**netted(IMBALANCE, {**IMBALANCE, "depth": 1, "qty": "0.3"}, cross=False)))
    made.book(299_990, 300_010)
    strategy = made.strategy
    assert isinstance(strategy, Netted)
    assert strategy.desk.ledgers.total(0).lots == 0
    lopsided(made, bids=9_000, asks=100)
    (order,) = made.kernel.orders.open_orders("s")
    assert order.qty_lots == 800
    fill(made, order, lots=333, fee=7)
    rows = strategy.desk.ledgers
    assert [rows.row(at, 0).lots for at in (0, 1)] == [208, 125]
    assert [rows.row(at, 0).fee_quote for at in (0, 1)] == [4, 3]
    fill(made, order, lots=467, fee=1_000)
    assert [rows.row(at, 0).lots for at in (0, 1)] == [500, 300]
    assert rows.total(0).lots == 800
    assert made.kernel.portfolio.position("ETH", "s") == pytest.approx(0.8)
    assert rows.total(0).quote == -800 * 2 * order.price_ticks
    # The kernel's balances say the same in raw units: half ticks of 0.01 times lots of 0.001.
    quote = made.instruments[0].quote
    moved = made.kernel.portfolio.balances[quote.id] - 3_000_000 * quote.unit
    total = rows.total(0)
    assert total.fee_quote == 1_007
    assert (moved + total.fee_quote) * 200_000 == total.quote * quote.unit


def fill(made: Desk, order: Any, *, lots: int, fee: int) -> None:
    """A fill with its value and its fee, as a venue tells it."""
    made.now_ns += 1
    made.tell(
        FillReported(
            time_ns=made.now_ns,
            fill=Fill(
                venue=made.instruments[0].venue,
                symbol=made.instruments[0].symbol,
                trade_id=str(made.now_ns),
                client_order_id=order.client_order_id,
                venue_order_id="v",
                side=order.side,
                price_ticks=order.price_ticks,
                qty_lots=lots,
                quote_raw=order.price_ticks * lots * made.instruments[0].quote.unit // 100_000,
                fee_asset="USDC",
                fee_raw=fee,
                is_maker=False,
                venue_time_ns=made.now_ns,
            ),
        )
    )


def lopsided(made: Desk, *, bids: int, asks: int) -> None:
    made.now_ns += 1_000_000_000
    made.tell(
        BookChanged(
            time_ns=made.now_ns,
            instrument=made.instruments[0].id,
            bids=tuple((299_990 - level, bids) for level in range(5)),
            asks=tuple((300_010 + level, asks) for level in range(5)),
            update_id=1,
            received_ns=made.now_ns,
        )
    )


def test_a_member_stays_within_its_capital_and_may_always_go_back():
    # 300 dollars at 3,000: 0.1 of a coin at most, whatever it wants.
    made = Desk(NettedSettings(**netted(IMBALANCE, capital="300")))
    lopsided(made, bids=9_000, asks=100)
    (order,) = made.kernel.orders.open_orders("s")
    assert order.qty_lots == 99
    made.fill(order)
    lopsided(made, bids=9_000, asks=100)
    assert not made.kernel.orders.open_orders("s")
    lopsided(made, bids=100, asks=9_000)
    (order,) = made.kernel.orders.open_orders("s")
    assert (order.side, order.qty_lots) == (Side.SELL, 199)


def test_a_loss_leaves_only_the_way_back():
    members = [{"strategy": IMBALANCE, "capital": "100000", "loss_max": "1"}]
    made = Desk(NettedSettings(kind="netted", members=members))
    lopsided(made, bids=9_000, asks=100)
    (order,) = made.kernel.orders.open_orders("s")
    made.fill(order, price=300_400)  # 2 dollars under water at once.
    lopsided(made, bids=9_000, asks=100)
    assert not made.kernel.orders.open_orders("s")
    lopsided(made, bids=100, asks=9_000)
    (order,) = made.kernel.orders.open_orders("s")
    assert (order.side, order.qty_lots) == (Side.SELL, 500)


def test_its_state_goes_on_in_another_process():
    made = Desk(NettedSettings(**netted(IMBALANCE, IMBALANCE)))
    lopsided(made, bids=9_000, asks=100)
    (order,) = made.kernel.orders.open_orders("s")
    made.fill(order, lots=100)
    other = make(NettedSettings(**netted(IMBALANCE, IMBALANCE)))
    other.restore(made.strategy.state())
    assert other.state() == made.strategy.state()
    assert not other.is_idle
    with pytest.raises(InputError, match="expected 1 members, found 2"):
        make(NettedSettings(**netted(IMBALANCE))).restore(made.strategy.state())
    with pytest.raises(InputError, match="damaged"):
        other.restore(b"{}")


def test_what_rests_is_no_business_of_a_desk():
    context = MemberContext(Netted(NettedSettings(**netted(IMBALANCE))).desk, 0, Decimal(1), None)
    assert context.place(0, 0, 100, 1) is None
    assert context.place(0, 0, 100, 1, order_type="limit_maker") is None
    assert context.swap("pool", "token", 1, 1, 1) is None


@pytest.mark.parametrize(
    "members",
    [
        [],
        [netted(IMBALANCE)],
        [{"kind": "order-book-imbalance"}],
        [{**IMBALANCE, "kind": "nothing"}],
    ],
)
def test_members_that_cannot_be_are_refused(members):
    with pytest.raises(ValidationError):
        NettedSettings(**netted(*members))


def test_members_with_bars_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="bar_interval_ns"):
        make(NettedSettings(**netted({**TREND, "fast": 3, "slow": 8}, {**TREND, "fast": 3, "slow": 8, "bar_s": 2})))
