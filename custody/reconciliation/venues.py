"""Books against an exchange: what it says it holds for us, all assets.

Trades are booked a moment after they happen, so one look may differ without anything being wrong. A difference counts
when it is there in several looks, while the books of that asset stand still or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from custody.freeze import venue_scope
from custody.ledger import balances_in, venue_account
from custody.reconciliation.findings import Comparison
from custody.reconciliation.ports import VenueBalances
from runtime.database import Database


class VenueReconciler:
    """Compares one exchange.

    Args:
        venue: Its id.
        balances: Asks it.
        database: The books.
        surplus_raw: By asset id, what it may hold beyond the books (rebates, airdrops) without freezing.
        looks: How often a difference must be seen.
        pause: Waits between looks.
    """

    def __init__(
        self,
        venue: str,
        balances: VenueBalances,
        database: Database,
        *,
        surplus_raw: Mapping[str, int] | None = None,
        looks: int = 3,
        pause: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.scope = venue_scope(venue)
        self.account = venue_account(venue)
        self._balances = balances
        self._database = database
        self._surplus_raw = dict(surplus_raw or {})
        self._looks = looks
        self._pause = pause or _wait_a_second

    async def look(self) -> list[Comparison]:
        """Compare every asset; one that agrees in any of the looks agrees.

        Raises:
            VenueUnavailable: The exchange did not answer.
        """
        agreed: dict[str, Comparison] = {}
        for left in reversed(range(self._looks)):
            found = await self._balances()
            booked = await asyncio.to_thread(self._booked)
            compared = {asset: self._compare(asset, booked, found) for asset in sorted({*booked, *found})}
            agreed.update((asset, item) for asset, item in compared.items() if not item.is_mismatch)
            if all(asset in agreed for asset in compared) or not left:
                break
            await self._pause()
        return [agreed.get(asset, item) for asset, item in compared.items()]

    async def balances(self) -> dict[str, dict[str, int]]:
        """What it holds now, by account and asset id."""
        return {self.account: dict(await self._balances())}

    def _booked(self) -> dict[str, int]:
        with self._database.snapshot() as session:
            return balances_in(session, self.account).get(self.account, {})

    def _compare(self, asset: str, booked: Mapping[str, int], found: Mapping[str, int]) -> Comparison:
        return Comparison(
            self.scope,
            self.account,
            asset,
            booked.get(asset, 0),
            found.get(asset, 0),
            tolerated_raw=self._surplus_raw.get(asset, 0),
        )


async def _wait_a_second() -> None:
    await asyncio.sleep(1.0)
