"""Numbers at a venue's border: decimal text to exact integers and back, with nothing rounded."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation, localcontext

from domain import InputError, Instrument, parse_units

# Wide enough that products of venue numbers (at most 20 digits each) stay exact.
_DIGITS = 80


def to_decimal(value: object) -> Decimal:
    """Read a venue's number: text, int, or a float by its shortest representation, which is the text it was sent as.

    Raises:
        InputError: Not a finite number.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation as exc:
        raise InputError(f"not a number: {value!r}") from exc
    if not number.is_finite():
        raise InputError(f"not a finite number: {value!r}")
    return number


def to_raw(value: object, decimals: int) -> int:
    """Count a venue's number in units of 10**-decimals; negative numbers (rebates) too.

    Raises:
        InputError: Not a number, or it has more decimals.
    """
    number = to_decimal(value)
    sign = -1 if number.is_signed() else 1
    return sign * parse_units(plain(abs(number)), decimals)


def plain(number: Decimal) -> str:
    """Write a number without an exponent, as venues want it: `0.0001`, `1200`."""
    return f"{number:f}"


def tidy(step: Decimal) -> Decimal:
    """Give a step without zeros at its end, and without an exponent where it has decimals."""
    return step.normalize() if step == step.to_integral_value() else Decimal(f"{step:f}".rstrip("0"))


def quote_raw(instrument: Instrument, price_ticks: int, qty_lots: int) -> int:
    """Price times size in the quote asset's smallest unit.

    Raises:
        InputError: The product has more decimals than the quote asset.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        return to_raw(instrument.notional(price_ticks, qty_lots), instrument.quote.decimals)


def price_text(instrument: Instrument, ticks: int) -> str:
    return plain(instrument.price(ticks))


def qty_text(instrument: Instrument, lots: int) -> str:
    return plain(instrument.qty(lots))
