"""What each strategy holds and made on each instrument: average cost, realised, fees. Exact; rebuilt by replay.

A position that grows has its cost averaged; one that shrinks realises the difference to that average; one that turns
begins anew at the trade's price. Fees are kept by asset and are not part of the cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from domain import Fill, Instrument


@dataclass(slots=True)
class InstrumentAccount:
    """One strategy on one instrument. Amounts of the quote asset are in its smallest unit, as exact fractions."""

    instrument: Instrument
    lots: int = 0
    """Held (+) or owed (-)."""
    cost: Fraction = Fraction(0)
    """What the open position was bought (or, negative, sold) for."""
    realised: Fraction = Fraction(0)
    """Before fees."""
    traded_lots: int = 0
    trades: int = 0
    fees: dict[str, int] = field(default_factory=dict)
    """Raw units by the venue's code of the asset."""

    def take(self, fill: Fill) -> None:
        """Book one trade."""
        signed, value = fill.side.sign * fill.qty_lots, Fraction(fill.side.sign * fill.quote_raw)
        closing = min(abs(signed), abs(self.lots)) if self.lots * signed < 0 else 0
        if closing:
            share = Fraction(closing, fill.qty_lots)
            released = self.cost * Fraction(closing, abs(self.lots))
            self.realised -= value * share + released
            self.cost -= released
            value -= value * share
        self.cost += value
        self.lots += signed
        self.traded_lots += fill.qty_lots
        self.trades += 1
        if fill.fee_raw:
            self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, 0) + fill.fee_raw

    def average_price(self) -> Decimal | None:
        """What a whole unit of the open position cost, to 12 decimals; None when nothing is held."""
        if not self.lots:
            return None
        unit = self.instrument.qty(abs(self.lots)) * self.instrument.quote.unit
        return _decimal(abs(self.cost) / Fraction(unit), 12)

    def realised_quote(self) -> Decimal:
        """In whole units of the quote asset, to its smallest."""
        return _decimal(self.realised / self.instrument.quote.unit, self.instrument.quote.decimals)

    def unrealised_quote(self, mark_ticks: Fraction) -> Decimal:
        """What closing at a price (in ticks) would add to the realised, before fees."""
        instrument = self.instrument
        worth = mark_ticks * Fraction(instrument.tick_size) * Fraction(instrument.lot_size) * self.lots
        return _decimal(worth - self.cost / instrument.quote.unit, instrument.quote.decimals)


class InstrumentAccounts:
    """All of a run, by strategy and instrument."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], InstrumentAccount] = {}

    def take(self, strategy: str, instrument: Instrument, fill: Fill) -> None:
        key = (strategy, instrument.id)
        if key not in self._accounts:
            self._accounts[key] = InstrumentAccount(instrument)
        self._accounts[key].take(fill)

    def __iter__(self) -> Iterator[tuple[str, InstrumentAccount]]:
        return ((strategy, account) for (strategy, _), account in self._accounts.items())


def _decimal(value: Fraction, places: int) -> Decimal:
    """Round half to even to so many decimals."""
    return Decimal(round(value * 10**places)).scaleb(-places)
