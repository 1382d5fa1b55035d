"""Quotes that a swap refers to, kept by whoever was given them: a quote's id is what it says, sealed by this server.

So quotes cost no table and no write, and one that was edited, or given to another organisation, is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from api.core.errors import BadRequest, NotFound
from api.core.pages import Cursors
from domain import Refused

LIFETIME_S: Final = 120
"""Long enough for a person to confirm a swap; a swap that refers to it is quoted anew, and never gives less."""
ID_MAX: Final = 1_000
_PREFIX: Final = "qt_"


class Quoted(msgspec.Struct, frozen=True, array_like=True):
    """What was quoted, as far as a swap needs it. Amounts are raw, as text."""

    chain_id: int
    token_in: str
    token_out: str
    """Addresses; of the chain's own coin the zero address."""
    amount_in: str
    amount_out: str
    is_exact_out: bool
    max_hops: int
    through: str
    block: int
    expires_s: int


class Quotes:
    """Seals and opens quotes."""

    def __init__(self, cursors: Cursors, now_ns: Callable[[], int]) -> None:
        self._cursors = cursors
        self._now_ns = now_ns

    def seal(self, organisation: str, quoted: Quoted) -> str:
        return _PREFIX + self._cursors.seal(f"quotes/{organisation}", quoted)

    def open(self, organisation: str, quote: str) -> Quoted:
        """What a quote says, also of one that is over: a request that is sent again is answered as it was.

        Raises:
            NotFound: None of the organisation's.
        """
        try:
            found = self._cursors.open(f"quotes/{organisation}", quote.removeprefix(_PREFIX), Quoted)
        except BadRequest as exc:
            raise NotFound("no such quote", hint="POST /v1/quotes gives one") from exc
        if found is None or not quote.startswith(_PREFIX):
            raise NotFound("no such quote", hint="POST /v1/quotes gives one")
        return found

    def check(self, quoted: Quoted) -> None:
        """Stop here unless a quote still holds.

        Raises:
            Refused: Rule `quote-expired`.
        """
        if self._now_ns() > quoted.expires_s * 10**9:
            raise Refused("this quote is over", rule="quote-expired", hint="ask for another")
