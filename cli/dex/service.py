"""What the process of `capstan dex serve` answers on its socket, to the API and to nobody else.

`quote` takes token_in, token_out, amount, is_exact_out, max_hops and through; `prepare` besides slippage_bps,
impact_bps_max and lifetime_s, and says what would be sent now and what is in the way; `wake` has it look for swaps.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import msgspec

from cli.dex.answers import prepared_answer, quote_answer
from cli.dex.live_market import LiveMarket
from cli.dex.swapping import Prepared, contracts_on, prepare, quote_through
from dex.execution.contracts import SwapContracts
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through
from dex.routing import Quote
from dex.routing.paths import MAX_HOPS
from domain import Address, InputError, Refused

AUTO: Final = "auto"
_T = TypeVar("_T")


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
        wish = _converted(request, cls)
        if not (wish.amount.isascii() and wish.amount.isdigit() and len(wish.amount) <= 78 and int(wish.amount)):
            raise InputError(f"an amount is a positive whole number of the smallest unit, found {wish.amount[:80]!r}")
        return wish


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far from its quote a swap may end."""

    slippage_bps: int
    impact_bps_max: int
    lifetime_s: int

    @property
    def policy(self) -> SlippagePolicy:
        return SlippagePolicy(
            tolerance_bps=self.slippage_bps, lifetime_s=self.lifetime_s, impact_bps_max=self.impact_bps_max
        )


class DexService:
    """Answers for one chain.

    Args:
        market: Its pools.
        account: Whom swaps are for; None where none are carried out.
    """

    def __init__(self, market: LiveMarket, account: Address | None = None) -> None:
        self._market = market
        self._account = account
        self._contracts: SwapContracts | None = None
        self.woken = asyncio.Event()
        """Set when somebody says that there is something to do."""

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; errors travel as what they are."""
        match request.get("command"):
            case "quote":
                wish = Wish.read(request)
                return quote_answer(await self.quote(wish, wish.way))
            case "prepare":
                return prepared_answer(await self._prepare(request))
            case "wake":
                self.woken.set()
                return {}
        raise InputError("the commands are quote, prepare and wake")

    async def contracts(self) -> SwapContracts:
        """What carries swaps out on the chain; asked once.

        Raises:
            InputError: A chain we have no addresses of.
            VenueUnavailable: No node answers.
        """
        if self._contracts is None:
            self._contracts = await contracts_on(self._market.client, await self._market.network())
        return self._contracts

    async def _prepare(self, request: dict[str, Any]) -> Prepared:
        if self._account is None:
            raise Refused("this installation swaps nothing", rule="swaps-off", hint="[swaps] account says from where")
        wish = Wish.read(request)
        policy = _converted(request, Tolerance).policy
        quote = await self.quote(wish, wish.way)
        return await prepare(self._market.client, quote, policy, await self.contracts(), self._account, wish.way)

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


def _converted(request: dict[str, Any], kind: type[_T]) -> _T:
    try:
        return msgspec.convert(request, kind)
    except msgspec.ValidationError as exc:
        raise InputError(f"not a swap: {exc}") from exc
