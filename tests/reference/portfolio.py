"""What is held and what it is worth, in plain Python fractions: the oracle of the native kernel's portfolio.

Nothing is rounded but an inverse contract's worth, as venues do. Positions are what was ever entered less what was
left, valued as a whole; the native one keeps shares of a cost, which must come to the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor


@dataclass(frozen=True, slots=True)
class Terms:
    """An instrument's factors, as `Scale` in native/engine/src/instrument.rs."""

    kind: str
    base_per_lot: int = 0
    quote_per_tick_lot: int = 0
    inverse_numerator: int = 0


@dataclass(slots=True)
class Book:
    """One strategy's base, quote and contracts."""

    base: int = 0
    quote: int = 0
    lots: dict[int, int] = field(default_factory=dict)
    entered: dict[int, int] = field(default_factory=dict)
    """Contracts: everything ever entered less everything left, in the settlement asset."""
    fees: dict[int, int] = field(default_factory=dict)


def worth(terms: Terms, lots: int, price: Fraction | int) -> Fraction:
    """What lots of a contract are worth in what it settles in, signed like them."""
    if terms.kind == "inverse":
        return lots * terms.inverse_numerator / Fraction(price)
    return Fraction(lots * price * terms.quote_per_tick_lot)


def fill(book: Book, at: int, terms: Terms, sign: int, lots: int, price: int, fee: int) -> None:
    """Book a trade."""
    signed = sign * lots
    book.lots[at] = book.lots.get(at, 0) + signed
    if terms.kind == "spot":
        book.base += signed * terms.base_per_lot
        book.quote -= signed * price * terms.quote_per_tick_lot + fee
        return
    # Rounded down for either sign: against us in an inverse contract.
    book.entered[at] = book.entered.get(at, 0) + floor(worth(terms, signed, price))
    book.fees[at] = book.fees.get(at, 0) + fee


def contract_result(book: Book, at: int, terms: Terms, mid: Fraction) -> Fraction:
    """Realised and unrealised together, fees included, in the settlement asset, not rounded."""
    value = worth(terms, book.lots.get(at, 0), mid)
    entered = book.entered.get(at, 0)
    gained = entered - value if terms.kind == "inverse" else value - entered
    return gained - book.fees.get(at, 0)
