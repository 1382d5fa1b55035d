"""How far from its quote a swap may end: the one place where bounds and deadlines are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dex.routing.quote import Quote
from domain.errors import InputError, Refused

_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a plan promises: at least `amount_out_min` for at most `amount_in_max`, path by path."""

    amount_in_max: int
    amount_out_min: int
    paths: tuple[int, ...]
    """Of each path the least output, or of an exact output the most input; they add up to the whole's bound."""
    deadline_s: int
    """Chain time."""


@dataclass(frozen=True, slots=True)
class SlippagePolicy:
    """What is tolerated. Whoever swaps has one of these, and nothing else decides about it."""

    tolerance_bps: int = 50
    """How much less (of an exact output: more) than the quote, over the whole and on every path."""
    lifetime_s: int = 120
    """How long after the chain's newest block the transaction may still execute."""
    age_blocks_max: int = 5
    """How many blocks old a quote may be when it is planned."""
    impact_bps_max: int = 1_000
    """How much worse than the mid price a quote may be, fees included: a larger one is likely a mistake."""

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance_bps < _BPS:
            raise InputError(f"slippage must lie in 0..9999 bps, found {self.tolerance_bps}")
        if self.lifetime_s <= 0 or self.age_blocks_max < 0 or self.impact_bps_max <= 0:
            raise InputError("a swap's lifetime, a quote's age and the greatest impact must be positive")

    def bounds(self, quote: Quote, *, head_number: int, time_s: int) -> Bounds:
        """Bound a quote, seen from the chain's newest block and by the chain's clock.

        Raises:
            Refused: The quote is too old (`quote-age`), or too far from the mid price (`impact`).
        """
        age = head_number - quote.block_number
        if not 0 <= age <= self.age_blocks_max:
            raise Refused(
                f"the quote is of block {quote.block_number}, the chain is at {head_number}",
                rule="quote-age",
                hint=f"ask again; at most {self.age_blocks_max} blocks may lie between",
            )
        if quote.impact_bps > self.impact_bps_max:
            raise Refused(
                f"the swap gives {quote.impact_bps:.0f} bps less than the mid price, {self.impact_bps_max} are allowed",
                rule="impact",
                hint="swap less, or in parts; --max-impact-bps allows more",
            )
        deadline_s = time_s + self.lifetime_s
        if quote.is_exact_out:
            most = max_in_up(quote.amount_in, self.tolerance_bps)
            parts = _shared_out(most, [path.amount_in for path in quote.paths])
            return Bounds(most, quote.amount_out, parts, deadline_s)
        least = min_out_down(quote.amount_out, self.tolerance_bps)
        parts = _shared_out(least, [path.amount_out for path in quote.paths])
        return Bounds(quote.amount_in, least, parts, deadline_s)


def min_out_down(quoted_out: int, slippage_bps: int) -> int:
    """Give the least output to accept for a quote, rounded down, but never less than one unit.

    Raises:
        InputError: The tolerance is not within 0..9999 basis points, or the quote is not positive.
    """
    _check(quoted_out, slippage_bps)
    return max(1, quoted_out * (_BPS - slippage_bps) // _BPS)


def max_in_up(quoted_in: int, slippage_bps: int) -> int:
    """Give the greatest input to pay for a quote, rounded up; errors as `min_out_down`."""
    _check(quoted_in, slippage_bps)
    return -(-quoted_in * (_BPS + slippage_bps) // _BPS)


def _check(quoted: int, slippage_bps: int) -> None:
    if not 0 <= slippage_bps < _BPS:
        raise InputError(f"slippage must lie in 0..9999 bps, found {slippage_bps}")
    if quoted <= 0:
        raise InputError(f"a quote must be positive, found {quoted}")


def _shared_out(total: int, weights: list[int]) -> tuple[int, ...]:
    """Divide a bound by weights into whole parts of at least 1 that add up to it; the largest takes what is over.

    Raises:
        Refused: Rule `dust`: there is less than one unit for each.
    """
    whole = sum(weights)
    parts = [max(1, total * weight // whole) for weight in weights]
    largest = max(range(len(parts)), key=lambda index: parts[index])
    parts[largest] += total - sum(parts)
    if parts[largest] < 1:
        raise Refused("the swap is too small for so many paths", rule="dust")
    return tuple(parts)
