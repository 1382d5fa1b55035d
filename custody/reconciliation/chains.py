"""Books against a chain, at one finalized block that is named by its hash.

The block is the newest final one that deposits were read up to, so that arrivals in it are booked. What the block does
not contain (mined after it, waiting, or gone again) is taken out of the books for the comparison; what it contains and
is not booked yet is added. Both are asked of the chain itself, by receipt. What is left is unexplained.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from sqlmodel import Session, col, or_, select

from chain import Block, Receipt
from custody.deposits.tables import DepositAddressRow, DepositCursorRow
from custody.freeze import chain_scope
from custody.ledger import balances_in, vault_account
from custody.ledger.tables import BalanceRow, EntryRow, PostingRow
from custody.reconciliation.findings import Comparison, Explanation
from custody.reconciliation.ports import ChainReads, Unbooked, UnbookedSource
from domain import Address, InputError, VenueUnavailable, native_asset
from runtime.database import Database, raw_sum

_READS_AT_ONCE: Final = 16
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ChainPlaces:
    """What is ours on a chain, beside deposit addresses, which are known from the database."""

    addresses: tuple[Address, ...]
    tokens: Mapping[str, Address]
    """The contracts of tokens to look for at these addresses even if nothing is booked, by asset id."""
    surplus_raw: Mapping[str, int]
    """By asset id, what may lie there without being booked; see `Comparison.tolerated_raw`."""


@dataclass(frozen=True, slots=True)
class _Booked:
    comparisons: list[Comparison]
    unbooked: list[Unbooked]


class ChainReconciler:
    """Compares one chain.

    Args:
        chain: The nodes.
        database: The books.
        places: What is ours.
        unbooked: Where transactions are found that may be mined and not booked.
        lookback_s: How old a booking may be and still not be in the final block. Only these are asked about, and
            whatever is still in flight.
        finality_depth: Depth that counts as final where the chain has no finalized tag; 0 asks for the tag.
    """

    def __init__(
        self,
        chain: ChainReads,
        database: Database,
        places: ChainPlaces,
        *,
        unbooked: Sequence[UnbookedSource] = (),
        lookback_s: int = 24 * 3600,
        finality_depth: int = 0,
    ) -> None:
        self.scope = chain_scope(chain.chain_id)
        self._chain = chain
        self._database = database
        self._places = places
        self._unbooked = tuple(unbooked)
        self._lookback_s = lookback_s
        self._finality_depth = finality_depth

    async def look(self) -> tuple[Block, list[Comparison]]:
        """Compare every own address and asset.

        Raises:
            VenueUnavailable: The chain did not answer, knows no final block, or lost the pinned one.
        """
        block = await self._pin()
        found = await self._read(block)
        booked = await asyncio.to_thread(self._compare, found)
        added = await self._contained(booked.unbooked, block)
        compared = [
            replace(item, explanations=tuple(added.get((item.account, item.asset), ()))) for item in booked.comparisons
        ]
        open_ends = [item for item in compared if item.unexplained_raw]
        missing = await self._not_contained(open_ends, block)
        return block, [
            replace(item, explanations=(*item.explanations, *missing.get((item.account, item.asset), ())))
            for item in compared
        ]

    async def balances(self, block: str | int = "latest") -> dict[str, dict[str, int]]:
        """What every own address holds now, by account and asset id."""
        head = await self._chain.find_block(block)
        if head is None:
            raise VenueUnavailable(f"chain {self._chain.chain_id} has no {block} block")
        result: dict[str, dict[str, int]] = defaultdict(dict)
        for (account, asset), raw in (await self._read(head)).items():
            result[account][asset] = raw
        return dict(result)

    async def _pin(self) -> Block:
        final = await self._final()
        read_up_to = await asyncio.to_thread(self._deposits_read)
        if read_up_to is None or read_up_to >= final.number:
            return final
        block = await self._chain.find_block(read_up_to)
        if block is None:
            raise VenueUnavailable(f"chain {self._chain.chain_id} has no block {read_up_to}")
        return block

    async def _final(self) -> Block:
        if not self._finality_depth:
            final = await self._chain.find_block("finalized")
        else:
            head = await self._chain.find_block("latest")
            final = None if head is None else await self._chain.find_block(max(head.number - self._finality_depth, 0))
        if final is None:
            raise VenueUnavailable(f"chain {self._chain.chain_id} knows no finalized block")
        return final

    def _deposits_read(self) -> int | None:
        with self._database.snapshot() as session:
            row = session.get(DepositCursorRow, self._chain.chain_id)
            return None if row is None else row.number

    async def _read(self, block: Block) -> dict[tuple[str, str], int]:
        """Read what every own address holds in the state after a block, named by its hash."""
        wanted = await asyncio.to_thread(self._wanted)
        native = native_asset(self._chain.chain_id).id

        async def read(address: Address, asset: str, token: Address | None) -> tuple[tuple[str, str], int]:
            if token is None:
                raw = int(await self._chain.balance(address, block.hash))
            else:
                try:
                    raw = await self._chain.token_balance(token, address, block.hash)
                except InputError:  # No such token at that block: it holds nothing, whatever the books say.
                    raw = 0
            return (vault_account(self._chain.chain_id, address), asset), raw

        jobs = [
            partial(read, address, asset, None if asset == native else _token_of(asset)) for address, asset in wanted
        ]
        return dict(await _bounded(jobs))

    def _wanted(self) -> list[tuple[Address, str]]:
        native = native_asset(self._chain.chain_id).id
        wanted = {(address, asset) for address in self._places.addresses for asset in (native, *self._places.tokens)}
        with self._database.snapshot() as session:
            own = set(self._places.addresses) | self._deposit_addresses(session)
            for account, held in balances_in(session, self.scope).items():
                address = Address(account.rpartition("/")[2])
                if address in own:
                    wanted.update((address, asset) for asset in held)
        return sorted(wanted)

    def _deposit_addresses(self, session: Session) -> set[Address]:
        """Deposit addresses that hold something by the books; the others are as many as users, and empty."""
        accounts = select(BalanceRow.account).where(
            col(BalanceRow.account).startswith(f"{self.scope}/", autoescape=True), col(BalanceRow.raw) != 0
        )
        held = {Address(account.rpartition("/")[2]) for account in session.exec(accounts)}
        known = select(DepositAddressRow.address).where(col(DepositAddressRow.chain_id) == self._chain.chain_id)
        return held & {Address(address) for address in session.exec(known)}

    def _compare(self, found: Mapping[tuple[str, str], int]) -> _Booked:
        with self._database.snapshot() as session:
            booked = balances_in(session, self.scope)
            unbooked = [item for source in self._unbooked for item in source(session)]
        comparisons = [
            Comparison(
                self.scope,
                account,
                asset,
                booked.get(account, {}).get(asset, 0),
                raw,
                tolerated_raw=self._places.surplus_raw.get(asset, 0),
            )
            for (account, asset), raw in sorted(found.items())
        ]
        return _Booked(comparisons, unbooked)

    async def _contained(self, unbooked: Sequence[Unbooked], block: Block) -> dict[tuple[str, str], list[Explanation]]:
        """What the block contains and the books do not, yet."""
        result: dict[tuple[str, str], list[Explanation]] = defaultdict(list)
        receipts = await self._receipts({item.tx_hash for item in unbooked})
        for item in unbooked:
            receipt = receipts[item.tx_hash]
            if receipt is None or receipt.block_number > block.number:
                continue
            reason = f"mined in block {receipt.block_number}, not booked yet"
            for entry in item.entries_of(receipt):
                for leg in entry.postings:
                    result[leg.account, leg.asset].append(Explanation(item.tx_hash, leg.raw, reason))
        return result

    async def _not_contained(
        self, open_ends: Sequence[Comparison], block: Block
    ) -> dict[tuple[str, str], list[Explanation]]:
        """What is booked and the block does not contain."""
        if not open_ends:
            return {}
        booked = await asyncio.to_thread(self._recent, open_ends, block)
        receipts = await self._receipts({tx_hash for moved in booked.values() for tx_hash in moved})
        result: dict[tuple[str, str], list[Explanation]] = {}
        for pair, moved in booked.items():
            result[pair] = []
            for tx_hash, raw in moved.items():
                receipt = receipts[tx_hash]
                if receipt is None:
                    result[pair].append(Explanation(tx_hash, -raw, "booked, in no block now"))
                elif receipt.block_number > block.number:
                    reason = f"mined in block {receipt.block_number}, after the one that was read"
                    result[pair].append(Explanation(tx_hash, -raw, reason))
        return result

    def _recent(self, open_ends: Sequence[Comparison], block: Block) -> dict[tuple[str, str], dict[str, int]]:
        """Sums by transaction of what was booked lately, or is still in flight, on these accounts."""
        since_ns = (block.time_s - self._lookback_s) * 10**9
        result: dict[tuple[str, str], dict[str, int]] = {}
        with self._database.snapshot() as session:
            flying = select(BalanceRow.account).where(
                col(BalanceRow.account).startswith("inflight/", autoescape=True), col(BalanceRow.raw) != 0
            )
            entries_in_flight = select(PostingRow.entry_id).where(col(PostingRow.account).in_(flying))
            for item in open_ends:
                query = (
                    select(EntryRow.tx_hash, raw_sum(PostingRow.raw))
                    .join(PostingRow, col(PostingRow.entry_id) == col(EntryRow.id))
                    .where(col(PostingRow.account) == item.account, col(PostingRow.asset) == item.asset)
                    .where(col(EntryRow.tx_hash) != "")
                    .where(or_(col(EntryRow.time_ns) >= since_ns, col(EntryRow.id).in_(entries_in_flight)))
                    .group_by(col(EntryRow.tx_hash))
                )
                result[item.account, item.asset] = {tx_hash: int(raw) for tx_hash, raw in session.exec(query) if raw}
        return result

    async def _receipts(self, hashes: set[str]) -> dict[str, Receipt | None]:
        async def ask(tx_hash: str) -> tuple[str, Receipt | None]:
            return tx_hash, await self._chain.receipt(tx_hash)

        return dict(await _bounded([partial(ask, tx_hash) for tx_hash in sorted(hashes)]))


async def _bounded(jobs: Sequence[Callable[[], Awaitable[_T]]]) -> list[_T]:
    """Run jobs, a few at a time, and give their results in order."""
    gate = asyncio.Semaphore(_READS_AT_ONCE)

    async def run(job: Callable[[], Awaitable[_T]]) -> _T:
        async with gate:
            return await job()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(job)) for job in jobs]
    except* VenueUnavailable as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def _token_of(asset: str) -> Address:
    return Address(asset.rpartition(":")[2])
