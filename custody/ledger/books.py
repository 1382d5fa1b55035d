"""The ledger as the engine posts to it: trades and opening balances, from a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from custody.ledger import postings
from custody.ledger.ledger import Ledger
from domain import Fill, Instrument


class Books:
    """Satisfies the engine's `Bookkeeper`. `vault` is the ledger account of the desk's address."""

    def __init__(self, ledger: Ledger, vault: str) -> None:
        self._ledger = ledger
        self._vault = vault

    async def post_fills(self, fills: Sequence[tuple[str, Fill, Instrument]]) -> None:
        """Book trades, each given with its strategy and instrument; all or none. Known trades are no-ops.

        Raises:
            InvariantError: A trade was booked before with other content.
        """
        entries = [postings.exchange_fill(fill, instrument, strategy) for strategy, fill, instrument in fills]
        await asyncio.to_thread(self._ledger.post_many, entries)

    async def open_balances(self, location: str, balances: Mapping[str, int]) -> None:
        """Book what a place held before the run, by asset id; `location` is a venue id, or `chain` for the vault.

        Only the first opening of a place and asset counts: later ones are ignored, whatever they say, because the
        place may have been traded on since.
        """
        account = self._vault if location == "chain" else postings.venue_account(location)
        entries = [postings.opening(account, asset, raw) for asset, raw in sorted(balances.items()) if raw]
        await asyncio.to_thread(self._ledger.post_missing, entries)
