"""What a position cost and made, against a plain reckoning trade by trade."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain import Fill, Side
from engine.accounts import InstrumentAccount
from tests.engine.strategies.desk import instrument

ETHUSDC = instrument("one")


def fill(side: Side, lots: int, ticks: int, *, fee: int = 0, fee_asset: str = "USDC") -> Fill:
    raw = int(ETHUSDC.notional(ticks, lots) * ETHUSDC.quote.unit)
    return Fill(
        venue="one", symbol="ETHUSDC", trade_id="1", client_order_id="c", venue_order_id="v", side=side,
        price_ticks=ticks, qty_lots=lots, quote_raw=raw, fee_asset=fee_asset, fee_raw=fee, is_maker=True,
        venue_time_ns=0,
    )  # fmt: skip


def test_cost_is_averaged_a_close_realises_a_turn_begins_anew():
    account = InstrumentAccount(ETHUSDC)
    account.take(fill(Side.BUY, 1_000, 300_000))
    account.take(fill(Side.BUY, 1_000, 310_000))
    assert account.average_price() == Decimal("3050")
    account.take(fill(Side.SELL, 500, 320_000))
    assert (account.realised_quote(), account.average_price(), account.lots) == (Decimal("75"), Decimal("3050"), 1_500)
    assert account.unrealised_quote(Fraction(300_000)) == Decimal("-75")
    account.take(fill(Side.SELL, 2_000, 300_000))
    assert (account.realised_quote(), account.average_price(), account.lots) == (Decimal("0"), Decimal("3000"), -500)
    assert account.unrealised_quote(Fraction(290_000)) == Decimal("50")
    account.take(fill(Side.BUY, 500, 300_000))
    assert (account.lots, account.cost, account.average_price()) == (0, 0, None)


trades = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(1, 50), st.integers(90_000, 110_000)), min_size=1, max_size=30
)


@given(trades, st.integers(90_000, 110_000))
def test_realised_and_unrealised_are_the_cash_and_what_is_held(trades, mark):
    account = InstrumentAccount(ETHUSDC)
    cash = 0
    for side, lots, ticks in trades:
        made = fill(side, lots, ticks, fee=lots)
        account.take(made)
        cash -= side.sign * made.quote_raw
    worth = ETHUSDC.notional(mark, account.lots) * ETHUSDC.quote.unit
    unrealised = Fraction(worth) - account.cost
    assert account.realised + unrealised == cash + Fraction(worth)
    assert (account.cost > 0) == (account.lots > 0), "a long position cost something, a short one brought something"
    assert account.fees == {"USDC": sum(lots for _, lots, _ in trades)}
    assert account.trades == len(trades)
