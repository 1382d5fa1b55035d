"""A chain that is mined by one hand, so that it can be reorganised while transactions keep coming in.

anvil's `anvil_reorg` does not take the lock under which blocks are mined (1.7.1; foundry-rs/foundry#16711). A block
that automine has in hand at that moment lands on the ancestor with its old number: the numbers between have no block
any more, the transactions in it count for no nonce, and the node swears all the same that it is 64 blocks deep. No
chain does that. So nothing mines by itself here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from chain import ChainClient

_POLL_S = 0.002


class Miner:
    """The only one who mines: what waits in the pool at once, and what it is told."""

    def __init__(self, client: ChainClient) -> None:
        self._client = client
        self._turn = asyncio.Lock()

    async def mine(self, count: int = 1) -> None:
        async with self._turn:
            await self._client.rpc.request("anvil_mine", hex(count))

    async def reorganise(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones; anvil does not put their transactions back."""
        async with self._turn:
            await self._client.rpc.request("anvil_reorg", depth, [])

    async def work(self) -> None:
        """Mine whatever waits, for ever."""
        while True:
            async with self._turn:
                waiting = await self._client.rpc.request("txpool_status")
                if int(waiting["pending"], 16):
                    await self._client.rpc.request("evm_mine")
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def mined_by_hand(client: ChainClient) -> AsyncIterator[Miner]:
    """Mine a chain in place of its automine; to be entered while nothing waits or is being mined."""
    await client.rpc.request("evm_setAutomine", False)
    miner = Miner(client)
    work = asyncio.create_task(miner.work(), name="miner")
    try:
        yield miner
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
