"""Cross-exchange market making: quotes that pay for their hedge, and hedges that get there whatever happens."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from pydantic import ValidationError

from domain import OrderState, Side
from domain import events as e
from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from engine.strategies.cross_exchange_market_making import CrossExchangeMarketMakingSettings
from tests.engine.strategies.desk import SECOND, Desk

BASE = {"maker": "one:ETHUSDC", "hedge": "two:ETHUSDC", "qty": "0.5", "position_max": "1", "profit_min_bps": "5"}
MAKER, HEDGE = 0, 1


def desk(holdings=MappingProxyType({}), **settings):
    made = CrossExchangeMarketMakingSettings(**{**BASE, **settings})
    return Desk(made, venues=("one", "two"), holdings=holdings)


def quoting(**settings):
    """A desk that quotes: the maker's market is 20.00 wide, the hedge's 0.20, around 3,000."""
    made = desk(**settings)
    made.book(299_990, 300_010, at=HEDGE)
    made.book(299_000, 301_000, at=MAKER)
    return made


def hedges(made):
    return [
        (o.side, o.price_ticks, o.qty_lots, o.time_in_force) for o in made.placed() if o.instrument == "two:ETHUSDC"
    ]


def out(made):
    """The hedge that is out."""
    (order,) = [o for o in made.kernel.orders.open_orders("s") if o.instrument == "two:ETHUSDC"]
    return order


def expire(made, order, filled=0):
    made.tell(
        e.OrderReported(
            time_ns=made.now_ns, client_order_id=order.client_order_id, state=OrderState.EXPIRED, filled_lots=filled
        )
    )


def timer(made, after_s):
    made.now_ns += round(after_s * SECOND)
    made.tell(e.TimerFired(time_ns=made.now_ns))


# --- quotes


def test_quotes_are_inside_the_makers_touch_and_never_less_than_the_profit():
    made = quoting()
    # Bids could be 2,999.90 less 1 + 4 + 5 bps = 2,996.90; one tick inside 2,990.00 is enough.
    assert made.quotes(Side.BUY) == [(299_001, 500)]
    assert made.quotes(Side.SELL) == [(300_999, 500)]
    made = desk()
    made.book(299_990, 300_010, at=HEDGE)
    made.book(299_980, 300_020, at=MAKER)
    assert made.quotes(Side.BUY) == [(299_690, 500)]
    assert made.quotes(Side.SELL) == [(300_311, 500)]


def test_size_reaches_into_the_hedges_book():
    made = desk()
    made.book(299_990, 300_010, at=HEDGE, lots=250)
    made.book(299_980, 300_020, at=MAKER)
    # 250 lots each at 2,999.90 and 2,999.89: 2,999.895 less 10 bps.
    assert made.quotes(Side.BUY) == [(299_689, 500)]
    made = desk(qty="2", position_max="2")
    made.book(299_990, 300_010, at=HEDGE, lots=250)
    made.book(299_980, 300_020, at=MAKER)
    assert made.quotes(Side.BUY) == made.quotes(Side.SELL) == []


def test_a_quote_stays_while_it_earns_enough_and_not_much_more():
    made = desk(slack_bps="3")
    made.book(299_990, 300_010, at=HEDGE)
    made.book(299_980, 300_020, at=MAKER)
    made.book(300_060, 300_080, at=HEDGE)  # 2.3 bps more on the bid, 2.3 bps too little on the ask.
    assert made.quotes(Side.BUY) == [(299_690, 500)]
    assert made.quotes(Side.SELL) == [(300_381, 500)]
    made.book(300_090, 300_110, at=HEDGE)
    assert made.quotes(Side.BUY) == [(299_789, 500)]


def test_its_own_best_quote_is_not_outbid():
    made = quoting()
    made.book(299_001, 300_999, at=MAKER)  # Ours.
    assert made.commands == []


@pytest.mark.parametrize(
    ("holdings", "is_spot", "quotes"),
    [
        ({"two/ETH": 0}, True, (0, 1)),
        ({"two/USDC": 0}, True, (1, 0)),
        ({"two/ETH": 0, "two/USDC": 0}, True, (0, 0)),
        ({"two/ETH": 0, "two/USDC": 0}, False, (1, 1)),
    ],
)
def test_spot_hedges_are_paid_from_what_is_there(holdings, is_spot, quotes):
    made = quoting(holdings=holdings, hedge_is_spot=is_spot)
    assert (len(made.quotes(Side.BUY)), len(made.quotes(Side.SELL))) == quotes


def test_lasting_difference_of_prices_is_followed():
    made = desk(basis_halflife_s="1", slack_bps="0")
    for _ in range(60):
        made.book(299_990, 300_010, at=HEDGE)
        made.book(302_980, 303_020, at=MAKER)  # 1 % above.
    bid, ask = made.quotes(Side.BUY)[0][0], made.quotes(Side.SELL)[0][0]
    assert bid == pytest.approx(299_990 * 1.01 * 0.999, abs=2)
    assert ask == pytest.approx(300_010 * 1.01 * 1.001, abs=2)


# --- hedges


@pytest.mark.parametrize(
    ("side", "hedge"), [(Side.BUY, (Side.SELL, 299_841, 500, "ioc")), (Side.SELL, (Side.BUY, 300_160, 500, "ioc"))]
)
def test_a_fill_is_hedged_at_once(side, hedge):
    made = quoting()
    made.fill(made.resting(side)[0])
    assert hedges(made) == [hedge]  # Five basis points beyond the touch.
    assert not made.strategy.is_idle
    made.fill(out(made), price=299_990)
    assert hedges(made) == []
    assert made.strategy.is_idle


def test_parts_are_hedged_one_order_at_a_time():
    made = quoting()
    quote = made.resting(Side.BUY)[0]
    made.fill(quote, 200)
    assert [lots for _, _, lots, _ in hedges(made)] == [200]
    made.fill(quote, 300)
    assert hedges(made) == []  # One is out.
    made.fill(out(made))
    assert [lots for _, _, lots, _ in hedges(made)] == [300]
    made.fill(out(made))
    assert made.strategy.is_idle


def test_half_a_hedge_is_followed_by_the_other_half():
    made = quoting()
    made.fill(made.resting(Side.BUY)[0])
    order = out(made)
    made.fill(order, 300)
    assert hedges(made) == []
    expire(made, order, 300)
    assert hedges(made) == [(Side.SELL, 299_841, 200, "ioc")]


def test_a_hedge_that_did_not_trade_is_repeated_later_and_wider():
    made = quoting(hedge_patience_ms=500, hedge_slippage_max_bps="12")
    made.fill(made.resting(Side.BUY)[0])
    expire(made, out(made))
    assert hedges(made) == []
    timer(made, 0.5)
    assert hedges(made) == [(Side.SELL, 299_691, 500, "ioc")]  # 10 bps
    expire(made, out(made))
    timer(made, 0.5)
    assert hedges(made) == []  # Twice the patience.
    timer(made, 0.5)
    assert hedges(made) == [(Side.SELL, 299_631, 500, "ioc")]  # 12 bps, the most.


def test_refused_hedge_is_tried_again():
    made = Desk(CrossExchangeMarketMakingSettings(**BASE), venues=("one", "two"), messages_per_second_max=2)
    made.book(299_990, 300_010, at=HEDGE)
    made.book(299_000, 301_000, at=MAKER)
    made.tell(e.BookInvalidated(time_ns=made.now_ns, instrument="two:ETHUSDC", reason="gap"))
    # The quotes are being cancelled; one of them trades on its way out, with no book to hedge on.
    order = next(o for o in made.kernel.orders.open_orders("s") if o.side is Side.BUY)
    made.fill(order)
    assert hedges(made) == []
    assert not made.strategy.is_idle
    made.book(299_990, 300_010, at=HEDGE)
    assert [lots for _, _, lots, _ in hedges(made)] == [500]


def test_while_unhedged_the_adding_side_is_not_quoted():
    made = quoting()
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_000, 301_000, at=MAKER)
    assert (len(made.quotes(Side.BUY)), len(made.quotes(Side.SELL))) == (0, 1)
    made.fill(out(made))
    made.book(299_000, 301_000, at=MAKER)
    assert len(made.quotes(Side.BUY)) == 1


def test_position_is_bounded():
    made = quoting(position_max="0.7")
    made.fill(made.resting(Side.BUY)[0])
    made.fill(out(made))
    made.book(299_000, 301_000, at=MAKER)
    assert made.quotes(Side.BUY) == [(299_001, 200)]
    assert made.quotes(Side.SELL) == [(300_999, 500)]


def test_stop_withdraws_quotes_and_still_hedges():
    made = quoting()
    quote = made.resting(Side.BUY)[0]
    made.stop()
    assert made.resting(Side.BUY) == []
    made.fill(quote)  # On its way out.
    assert [lots for _, _, lots, _ in hedges(made)] == [500]
    assert not made.kernel.is_idle
    made.fill(out(made))
    assert made.strategy.is_idle
    made.book(299_000, 301_000, at=MAKER)
    assert made.placed() == []


@pytest.mark.parametrize("at", [MAKER, HEDGE])
def test_either_book_stale_withdraws(at):
    made = quoting()
    made.lose_book(at)
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []


def test_a_hedge_in_flight_is_known_after_a_restart():
    made = quoting()
    made.fill(made.resting(Side.BUY)[0])
    state, other = made.strategy.state(), desk()
    other.strategy.restore(state)
    assert other.strategy.state() == state
    assert not other.strategy.is_idle


def test_settings_that_cannot_be():
    with pytest.raises(ValidationError, match="are both"):
        desk(hedge="one:ETHUSDC")
    with pytest.raises(ValidationError, match="is more than"):
        desk(hedge_slippage_bps="51")


# --- in two markets


def test_two_markets_with_latency_end_hedged(tmp_path):
    terms = {"base": "BTC", "quote": "USDT", "tick_size": "0.1", "lot_size": "0.001", "contract": "linear"}
    names = ("a:BTCUSDT", "b:BTCUSDT")
    config = BacktestConfig.model_validate(
        {
            "data": [
                {"kind": "synthetic", "instrument": name, "seconds": 60, "seed": at} for at, name in enumerate(names)
            ],
            "instruments": dict.fromkeys(names, terms),
            "strategies": [
                {
                    "kind": "cross-exchange-market-making", "maker": names[0], "hedge": names[1], "qty": "0.02",
                    "position_max": "0.1", "profit_min_bps": "0", "slack_bps": "0.1", "hedge_is_spot": False,
                    "basis_halflife_s": "10",
                }
            ],
            "simulator": {"latency": {"order_us": 2_000, "answer_us": 2_000}},
            "risk": {"messages_per_second_max": 1_000, "executions_max": 60_000, "position_notional_max": 20_000,
                     "exposure_notional_max": 50_000, "drawdown_max": 10_000},
        }
    )  # fmt: skip
    run = run_backtest(config, load_events(config, tmp_path), tmp_path)
    result = result_of(run)
    at_maker = run.fills["instrument"] == 0
    assert at_maker.sum() > 10
    assert (~at_maker).sum() > 10
    held = [float(lots) for lots in result["position_end"].values()]
    assert sum(held) == pytest.approx(0, abs=0.0201)
    assert abs(held[0]) <= 0.1
