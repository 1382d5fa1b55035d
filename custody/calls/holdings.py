"""What a router holds between the steps of one call, as far as the call's own bytes say it.

Anyone may take what lies in a router when a transaction ends, so at the end nothing may be left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from custody.calls.canonical import unsafe
from domain import Address


@dataclass(frozen=True, slots=True)
class Held:
    """An amount of one token."""

    minimum: int
    """At least so much; nothing happens where it would be less."""
    is_exact: bool
    is_rest: bool = False
    """Of an input that is counted as spent already: what comes back of it is no proceeds."""


@dataclass(slots=True)
class Holdings:
    """By token; `COIN` is the chain's coin."""

    _held: dict[Address, Held] = field(default_factory=dict)

    def put(self, token: Address, held: Held) -> None:
        """Add what a step leaves with the router."""
        before = self._held.get(token)
        if before is not None:
            held = Held(
                before.minimum + held.minimum, before.is_exact and held.is_exact, before.is_rest and held.is_rest
            )
        self._held[token] = held

    def take(self, token: Address, amount: int) -> Held:
        """Take exactly so much, which must be there for certain."""
        held = self._covering(token, amount)
        if held.is_exact and held.minimum == amount:
            del self._held[token]
        else:
            self._held[token] = Held(held.minimum - amount, held.is_exact, held.is_rest)
        return Held(amount, is_exact=True, is_rest=held.is_rest)

    def take_up_to(self, token: Address, amount: int) -> None:
        """Take as much as a swap needs, so much at most; the rest stays, and nobody knows how much that is."""
        held = self._covering(token, amount)
        self._held[token] = Held(held.minimum - amount, is_exact=False, is_rest=held.is_rest)

    def take_all(self, token: Address) -> Held:
        """Take whatever is there."""
        if token not in self._held:
            raise unsafe("a step uses what the router does not hold by then")
        return self._held.pop(token)

    def check_empty(self) -> None:
        """Refuse to leave anything.

        Raises:
            Refused: Rule `unsafe-call`.
        """
        if self._held:
            left = ", ".join(sorted(self._held))
            raise unsafe(f"some would stay in the router, where anyone takes it: {left}")

    def _covering(self, token: Address, amount: int) -> Held:
        held = self._held.get(token)
        if held is None or held.minimum < amount:
            raise unsafe("a step uses an amount that the router does not hold for certain by then")
        return held
