"""What each member gained and owes, in whole numbers. The rows of an instrument add up to what the kernel booked.

Prices are counted in half ticks, because members meet at the mid: `quote` is minus the sum of signed lots times price.
The last row is the desk's own: trades that no member asked for (the staged kill's closing orders, a person's).
"""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct):
    """One member in one instrument."""

    lots: int = 0
    quote: int = 0
    """Half ticks times lots, paid is negative."""
    fee_quote: int = 0
    """Raw units of the quote asset paid; `fee_base` alike, `fee_other` of the venue's own coin."""
    fee_base: int = 0
    fee_other: int = 0
    volume: int = 0
    crossed: int = 0
    """Lots that met another member's instead of a venue."""

    def trade(self, signed_lots: int, half_ticks: int) -> None:
        self.lots += signed_lots
        self.quote -= signed_lots * half_ticks
        self.volume += abs(signed_lots)

    def result(self, mid_half_ticks: int) -> int:
        """Profit and loss at a mid before fees, in half ticks times lots."""
        return self.quote + self.lots * mid_half_ticks


class SubLedgers(msgspec.Struct):
    """All rows, by instrument and member; plain, so that it is saved as it is."""

    members: int
    rows: dict[str, list[Row]] = msgspec.field(default_factory=dict)

    def row(self, member: int, instrument: int) -> Row:
        """Give a member's row; -1 is the desk's own."""
        found = self.rows.get(str(instrument))
        if found is None:
            found = self.rows[str(instrument)] = [Row() for _ in range(self.members + 1)]
        return found[member]

    def total(self, instrument: int) -> Row:
        """Add up an instrument's rows: what the kernel holds for the whole desk."""
        rows = self.rows.get(str(instrument), [])
        return Row(*(sum(getattr(row, name) for row in rows) for name in Row.__struct_fields__))
