"""The relay itself: holds bundles for their block and builds it when the chain gets there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from chain.client import ChainClient
from chain.devnet.relay.bundles import Bundle, Outcome, SignedTransaction, Status
from chain.devnet.relay.mining import Mining, NotMined
from chain.devnet.relay.simulation import Simulated, gas_price, simulate
from chain.errors import NodeRefused
from chain.records import Block
from domain.errors import InputError

log = structlog.get_logger(__name__)

_LOOK_S: Final = 0.02
_REMEMBERED: Final = 10_000


class Relay:
    """Holds what it was given. `client` must be connected to a devnet whose pool is first come, first served."""

    def __init__(self, client: ChainClient, block_time_s: int = 0) -> None:
        self.client = client
        self.outcomes: dict[str, Outcome] = {}
        """By bundle hash; the last ten thousand."""
        self._held: dict[str, Bundle] = {}
        self._tried_at: dict[str, str] = {}
        """The block on top of which a held bundle was tried last: on the same one it does not turn out otherwise."""
        self._mining = Mining(client, block_time_s)
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()

    async def submit(self, bundle: Bundle) -> str:
        """Hold a bundle, in place of the one with the same replacement id; give its hash.

        Raises:
            InputError: Its block is past.
        """
        head = await self.client.head()
        if bundle.last_block <= head.number:
            raise InputError(f"block {bundle.last_block} is past: the newest is {head.number}")
        if bundle.replacement_uuid:
            self.cancel(bundle.replacement_uuid, bundle.signer)
        self._held[bundle.hash] = bundle
        self._tell(bundle, Status.HELD)
        self._news.set()
        return bundle.hash

    def cancel(self, name: str, signer: str) -> bool:
        """Forget a signer's bundle by its replacement id, or its private transaction by its hash."""
        for bundle in list(self._held.values()):
            if name in (bundle.replacement_uuid, bundle.hash) and bundle.signer == signer:
                self._end(bundle, Status.CANCELLED)
                return True
        return False

    async def run(self) -> None:
        """Build whenever a held bundle's block is next, until cancelled."""
        while True:
            if not self._held:
                self._news.clear()
                await self._news.wait()
            await self.look()
            if self._held:
                await asyncio.sleep(_LOOK_S)

    async def look(self) -> Block | None:
        """Build the next block if something is held for it; give that block."""
        async with self._lock:
            if not self._due(await self.client.head()):
                return None
            # From here on no other block comes: what is simulated is what will be built on.
            async with self._mining.held():
                head = await self.client.head()
                due = self._due(head)
                self._tried_at.update((bundle.hash, head.hash) for bundle in due)
                return await self._build(head, due) if due else None

    def _due(self, head: Block) -> list[Bundle]:
        """What is for the block after this one and was not tried there yet; ends what is for none that can come."""
        for bundle in [b for b in self._held.values() if b.last_block <= head.number]:
            self._end(bundle, Status.MISSED, f"block {head.number} came without it")
        return [
            bundle
            for bundle in self._held.values()
            if bundle.first_block <= head.number + 1 and self._tried_at.get(bundle.hash) != head.hash
        ]

    async def _build(self, head: Block, due: Sequence[Bundle]) -> Block | None:
        ranked = []
        for bundle in due:
            if results := await self._judge(bundle, [], head):
                ranked.append((gas_price(results), bundle))
        chosen: list[Bundle] = []
        for _, bundle in sorted(ranked, key=lambda pair: -pair[0]):
            if not chosen or await self._judge(bundle, [tx for b in chosen for tx in b.transactions], head):
                chosen.append(bundle)
        if not chosen:
            return None
        try:
            block = await self._mine(chosen)
        except NotMined as exc:
            if (await self.client.head()).number > head.number:
                self._tried_at.clear()  # The block is another's; what may take a later one is tried there.
            elif len(chosen) > 1:  # The best one alone; the others wait for the next block, or miss theirs.
                return await self._build(head, chosen[:1])
            else:
                self._fail(chosen[0], head, str(exc))
            return None
        for bundle in chosen:
            self._end(bundle, Status.INCLUDED, f"in block {head.number + 1}")
        return block

    async def _mine(self, chosen: Sequence[Bundle]) -> Block:
        transactions = [tx for bundle in chosen for tx in bundle.transactions]
        return await self._mining.mine(
            [tx.raw for tx in transactions],
            [tx.hash for tx in transactions],
            frozenset().union(*(bundle.may_revert for bundle in chosen)),
        )

    async def _judge(self, bundle: Bundle, after: Sequence[SignedTransaction], head: Block) -> list[Simulated]:
        """Simulate a bundle after other transactions; nothing if it fails.

        What fails alone has failed, `_fail`.
        """
        reason = ""
        pending = await self.client.rpc.request("eth_getBlockByNumber", "pending", False)
        time_s = int(pending["timestamp"], 16)
        if time_s < bundle.time_min_s:
            self._tried_at.pop(bundle.hash, None)  # Time passes without blocks, too.
            return []
        if bundle.time_max_s and time_s > bundle.time_max_s:
            reason = f"block time {time_s} is after the bundle's"
        results: list[Simulated] = []
        if not reason:
            try:
                results = (await simulate(self.client, [*after, *bundle.transactions], head))[len(after) :]
            except NodeRefused as exc:
                reason = str(exc)
                if bundle.is_private and await self.client.receipt(bundle.hash) is not None:
                    self._end(bundle, Status.INCLUDED, "mined already")
                    return []
        failed = [r for r in results if r.error and r.transaction.hash not in bundle.may_revert]
        if failed:
            reason = f"transaction {failed[0].transaction.hash} reverts: {failed[0].error}"
        if not reason:
            return results
        if not after:
            self._fail(bundle, head, reason)
        return []

    def _fail(self, bundle: Bundle, head: Block, reason: str) -> None:
        """End what cannot be in the next block, unless it may take a later one."""
        if bundle.last_block == head.number + 1:
            self._end(bundle, Status.FAILED, reason)

    def _end(self, bundle: Bundle, status: Status, reason: str = "") -> None:
        self._held.pop(bundle.hash, None)
        self._tried_at.pop(bundle.hash, None)
        self._tell(bundle, status, reason)

    def _tell(self, bundle: Bundle, status: Status, reason: str = "") -> None:
        self.outcomes[bundle.hash] = Outcome(status, reason)
        while len(self.outcomes) > _REMEMBERED:
            del self.outcomes[next(iter(self.outcomes))]
        log.info("relay.bundle", hash=bundle.hash, status=status, reason=reason)
