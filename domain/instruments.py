"""Instruments: what an exchange trades, with its tick, lot and fees."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from domain.assets import Asset
from domain.errors import InputError
from domain.ids import VenueId


@dataclass(frozen=True, slots=True)
class Instrument:
    """A spot pair on an exchange.

    Prices travel as integer ticks and sizes as integer lots: `price = ticks * tick_size`, `qty = lots * lot_size`.
    Fees are in basis points of the received asset (Binance spot: base when buying, quote when selling).
    """

    venue: VenueId
    symbol: str
    """The venue's own name, `ETHUSDC`."""
    base: Asset
    quote: Asset
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee_bps: Decimal
    taker_fee_bps: Decimal

    @property
    def id(self) -> str:
        """Unique over venues: `sandbox:ETHUSDC`."""
        return f"{self.venue}:{self.symbol}"

    def price(self, ticks: int) -> Decimal:
        return self.tick_size * ticks

    def qty(self, lots: int) -> Decimal:
        return self.lot_size * lots

    def ticks(self, price: Decimal) -> int:
        """Count the ticks in a price that lies on one.

        Raises:
            InputError: The price is off tick.
        """
        return _on_grid(price, self.tick_size, f"{self.id}: price")

    def lots(self, qty: Decimal) -> int:
        """Count the lots in a size that lies on one.

        Raises:
            InputError: The size is off lot.
        """
        return _on_grid(qty, self.lot_size, f"{self.id}: size")

    def ticks_down(self, price: Decimal | float) -> int:
        """Round a price down to its tick (a bid never pays more than meant)."""
        return int((Decimal(price) / self.tick_size).to_integral_value(ROUND_FLOOR))

    def ticks_up(self, price: Decimal | float) -> int:
        """Round a price up to its tick (an ask never takes less than meant)."""
        return int((Decimal(price) / self.tick_size).to_integral_value(ROUND_CEILING))

    def lots_down(self, qty: Decimal | float) -> int:
        """Round a size down to its lot."""
        return int((Decimal(qty) / self.lot_size).to_integral_value(ROUND_FLOOR))

    def notional(self, ticks: int, lots: int) -> Decimal:
        """Value of a trade in the quote asset, exact."""
        return self.price(ticks) * self.qty(lots)


def _on_grid(value: Decimal, step: Decimal, what: str) -> int:
    steps = value / step
    whole = steps.to_integral_value(ROUND_FLOOR)
    if steps != whole:
        raise InputError(f"{what} {value} is not a multiple of {step}")
    return int(whole)
