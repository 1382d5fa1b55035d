"""Candles put together from shorter ones are those of the trades themselves."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from api.candles.bars import INTERVALS, KEPT_S, Candle, merged, span_of

trades = st.lists(
    st.tuples(st.integers(0, 200_000), st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=40
).map(sorted)


def reckoned(rows, interval_s):
    """Trade by trade, by the words' meaning."""
    found = {}
    for second, price, qty in rows:
        found.setdefault(second // interval_s * interval_s, []).append((Decimal(price), Decimal(qty)))
    return [
        Candle(
            start, of[0][0], max(p for p, _ in of), min(p for p, _ in of), of[-1][0],
            sum(q for _, q in of), sum(p * q for p, q in of), len(of),
        )
        for start, of in found.items()
    ]  # fmt: skip


@given(trades, st.sampled_from(sorted(INTERVALS)))
def test_an_interval_is_what_its_trades_were(rows, name):
    interval_s = INTERVALS[name]
    assert span_of(interval_s) in KEPT_S
    assert interval_s % span_of(interval_s) == 0
    single = [Candle.of_trade(second, Decimal(price), Decimal(qty)) for second, price, qty in rows]
    spans = merged(single, span_of(interval_s))
    assert merged(spans, interval_s) == reckoned(rows, interval_s)
