"""What the process of `capstan dex serve` answers on its socket, to the API and to nobody else.

quote    {token_in, token_out, amount, is_exact_out, max_hops, through}
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from cli.dex.answers import quote_answer
from cli.dex.live_market import LiveMarket
from cli.dex.swapping import quote_through
from dex.execution.swaps import Through
from dex.routing import Quote
from dex.routing.paths import MAX_HOPS
from domain import InputError

AUTO: Final = "auto"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be swapped. Amounts are raw, as text."""

    token_in: str
    token_out: str
    amount: str
    is_exact_out: bool = False
    max_hops: int = MAX_HOPS
    through: str = AUTO

    @property
    def way(self) -> Through | None:
        """The contract that was wished for; None for whichever serves best.

        Raises:
            InputError: There is none of that name.
        """
        if self.through == AUTO:
            return None
        try:
            return Through(self.through)
        except ValueError as exc:
            known = ", ".join((AUTO, *Through))
            raise InputError(f"no way to swap is called {self.through[:40]!r}", hint=f"there are {known}") from exc

    @classmethod
    def read(cls, request: dict[str, Any]) -> Wish:
        """Read a request.

        Raises:
            InputError: Something is missing, or no amount.
        """
        try:
            wish = msgspec.convert(request, cls)
        except msgspec.ValidationError as exc:
            raise InputError(f"not a swap: {exc}") from exc
        if not (wish.amount.isascii() and wish.amount.isdigit() and len(wish.amount) <= 78 and int(wish.amount)):
            raise InputError(f"an amount is a positive whole number of the smallest unit, found {wish.amount[:80]!r}")
        return wish


class DexService:
    """Answers for one chain."""

    def __init__(self, market: LiveMarket) -> None:
        self._market = market

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; errors travel as what they are."""
        match request.get("command"):
            case "quote":
                wish = Wish.read(request)
                return quote_answer(await self.quote(wish, wish.way))
        raise InputError("the only command is quote")

    async def quote(self, wish: Wish, through: Through | None) -> Quote:
        """Quote a wish on the newest block, over what a contract reaches.

        Raises:
            InputError: An unknown token, or the same twice.
            Refused: No route.
            VenueUnavailable: No node answers.
        """
        ends = (wish.token_in, wish.token_out)
        market = await self._market.at_head(ends, all_pools=through is Through.BALANCER)
        return await quote_through(
            market, ends, int(wish.amount), through, is_exact_out=wish.is_exact_out, max_hops=wish.max_hops
        )
