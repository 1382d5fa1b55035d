"""Follows a chain for deposits: block by block, forwards and backwards, from wherever it stopped.

Everything known is in the database; the scanner itself remembers nothing, so it may be killed anywhere and started
anywhere, even twice at once: the second finds the cursor moved and begins again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from chain import Block, NodeRefused
from compliance import Screener
from custody.deposits.addresses import AddressBook
from custody.deposits.contracts import COIN
from custody.deposits.reading import DepositReader, ScannedChain
from custody.deposits.settings import DepositSettings
from custody.deposits.store import Cursor, Deposit, DepositStore, Observe, Verdict
from custody.deposits.sweep_plans import token_of
from custody.ledger import Entry, Ledger
from custody.ledger.accounts import vault_account
from custody.ledger.postings import opening
from domain import Address, InputError, InvariantError, Refused
from runtime.database import Database

log = structlog.get_logger(__name__)

Checkpoint = Callable[[str], None]
_UNAVAILABLE = "screening-unavailable"


class DepositScanner:
    """Finds deposits on one chain, credits them by depth, undoes them after a reorganisation.

    Args:
        database: Brought up to date by `custody.open_books`.
        ledger: Books kept in the same database.
        chain: The chain's node.
        settings: What is taken in, and when it counts.
        screener: Asked about whoever sent a deposit, before it is credited.
        now_ns: UTC nanoseconds.
        checkpoint: Called around every durable change; for tests that kill the process there.
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        chain: ScannedChain,
        settings: DepositSettings,
        screener: Screener,
        now_ns: Callable[[], int] = time.time_ns,
        checkpoint: Checkpoint = lambda _edge: None,
        observe: Observe = lambda _session, _deposit, _step: None,
    ) -> None:
        if settings.chain_id != chain.chain_id:
            raise InputError(f"deposits are configured for chain {settings.chain_id}, the node serves {chain.chain_id}")
        self._chain = chain
        self._settings = settings
        self._screener = screener
        self._checkpoint = checkpoint
        self._book = AddressBook(database, chain.chain_id)
        self._reader = DepositReader(chain, settings, self._book)
        self.store = DepositStore(database, ledger, settings, now_ns, observe)

    async def catch_up(self) -> int:
        """Read up to the newest block, then credit and finalize what is due; give the number of blocks read.

        Raises:
            VenueUnavailable: The node does not answer, or changed its mind in the middle; what is done is done.
            InvariantError: The chain went back below its finalized block: stop, and look.
        """
        count = 0
        while (step := await self.advance()) is not None:
            count += step
        await self.confirm()
        await self.finalize()
        return count

    async def advance(self) -> int | None:
        """Take one step towards the newest block; give the number of blocks read, None when there are none.

        A step is a handful of blocks, or going back to where the chain forked.
        """
        cursor = await asyncio.to_thread(self.store.cursor)
        if cursor is None:
            await self._begin()
            return 0
        head = await self._chain.head()
        if head.hash == cursor.hash:
            return None
        # After the head: whoever was given an address before that block was mined is in the book.
        await asyncio.to_thread(self._book.refresh)
        if not await self._is_ours(cursor.number, cursor.hash):
            await self._go_back(cursor)
            return 0
        if head.number <= cursor.number:
            return None
        last = min(int(head.number), cursor.number + self._settings.blocks_per_step)
        blocks = await self._reader.headers(cursor.number + 1, last)
        if blocks[0].parent_hash != cursor.hash:
            return 0  # It forked just now: the next step sees it.
        final = min(await self._final_number(head), last)
        arrivals = await self._reader.arrivals(blocks, final=final)
        sweeps = await self._reader.sweeps(blocks, final=final)
        self._checkpoint("apply.before")
        done = await asyncio.to_thread(self.store.apply, cursor, blocks, arrivals, sweeps, self._book.users)
        self._checkpoint("apply.after")
        for arrival in arrivals if done else ():
            log.info("deposits.seen", tx_hash=arrival.tx_hash, asset=arrival.asset, raw=str(arrival.raw))
        return len(blocks) if done else 0

    async def confirm(self) -> int:
        """Credit what is deep enough and whose sender may be dealt with; give how many deposits were decided.

        Where screening cannot tell, the deposit stays pending and is asked about again.
        """
        verdicts = []
        for deposit in await asyncio.to_thread(self.store.confirmable, self._settings.confirmations):
            verdict = await self._screen(deposit)
            if verdict is not None:
                verdicts.append(verdict)
        if not verdicts:
            return 0
        self._checkpoint("decide.before")
        decided = await asyncio.to_thread(self.store.decide, verdicts, self._settings.confirmations)
        self._checkpoint("decide.after")
        return decided

    async def finalize(self) -> bool:
        """Take what the chain calls final as final, as far as it was read."""
        cursor = await asyncio.to_thread(self.store.cursor)
        if cursor is None:
            return False
        head = await self._chain.head()
        number = min(await self._final_number(head), cursor.number)
        if number < cursor.finalized or not await asyncio.to_thread(self.store.is_due, cursor, number):
            return False
        block = await self._chain.find_block(number)
        if block is None:
            return False
        self._checkpoint("finalize.before")
        done = await asyncio.to_thread(self.store.finalize, cursor, number, block.hash)
        self._checkpoint("finalize.after")
        return done

    # --- parts

    async def _begin(self) -> None:
        start = self._settings.start_block
        if start is None:
            block: Block | None = await self._chain.head()
        else:
            # The block before the first to be read; before block 0 there is none, and in it no transaction.
            block = await self._chain.find_block(max(0, start - 1))
        if block is None:
            raise InputError(f"chain {self._settings.chain_id} has no block {start}, where deposits should begin")
        await asyncio.to_thread(self.store.begin, block, await self._openings(block))

    async def _openings(self, block: Block) -> list[Entry]:
        """What the vault and the accounts that sweep for it held at a block, as the beginning of their books."""
        settings = self._settings
        own = {account for account in (settings.vault, settings.sweeping_account, settings.gas_tank) if account}
        found = []
        try:
            for address in sorted(own):
                for asset in sorted(settings.assets):
                    if raw := await self._held(address, token_of(asset), int(block.number)):
                        found.append(opening(vault_account(self._chain.chain_id, address), asset, raw))
        except NodeRefused as exc:
            raise InputError(
                f"the node does not know balances at block {block.number}: {exc}",
                hint="deposits.start_block needs a node with that state; left out, it begins with the newest block",
            ) from exc
        return found

    async def _held(self, address: Address, token: Address, block: int) -> int:
        if token == COIN:
            return int(await self._chain.balance(address, block))
        try:
            return await self._chain.token_balance(token, address, block)
        except InputError:  # At that block the token was not there yet.
            return 0

    async def _is_ours(self, number: int, block_hash: str) -> bool:
        block = await self._chain.find_block(number)
        return block is not None and block.hash == block_hash

    async def _go_back(self, cursor: Cursor) -> None:
        """Undo down to the newest block that was read and is still the chain's."""
        known = await asyncio.to_thread(self.store.read_blocks)
        for number in sorted(known, reverse=True):
            if await self._is_ours(number, known[number]):
                self._checkpoint("rewind.before")
                await asyncio.to_thread(self.store.rewind, cursor, number)
                self._checkpoint("rewind.after")
                return
        raise InvariantError(
            f"chain {self._settings.chain_id} no longer has its finalized block {cursor.finalized}: another chain, or"
            " finality did not hold"
        )

    async def _final_number(self, head: Block) -> int:
        if depth := self._settings.finality_depth:
            return int(head.number) - depth
        block = await self._chain.find_block("finalized")
        return -1 if block is None else int(block.number)

    async def _screen(self, deposit: Deposit) -> Verdict | None:
        try:
            await self._screener.screen({deposit.sender, deposit.origin})
        except Refused as exc:
            if exc.rule == _UNAVAILABLE:
                log.warning("deposits.unscreened", deposit_id=deposit.id, reason=str(exc))
                return None
            return Verdict(deposit.id, deposit.occurrence, f"{exc.rule}: {exc}")
        return Verdict(deposit.id, deposit.occurrence, "")
