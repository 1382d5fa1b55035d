"""Makes the node mine one block of given transactions, in order and at its top; or takes the block back.

The node must order its pool first come, first served (`AnvilNode(order="fifo")`): by default it sorts by fee. What
waits in the pool is put aside while the block is made, and given back after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from chain.client import ChainClient
from chain.devnet.deployer import DEPLOYER
from chain.errors import NodeRefused
from chain.keccak import checksum
from chain.records import Block

_FEES: Final = ("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas")


_Kept = tuple[str, Any]
"""How a transaction is sent again: the method and its argument."""


class NotMined(Exception):
    """The block could not be as wished; the chain is what it was. The text says why."""


class Mining:
    """The node's mining, taken over for the moment of one block."""

    def __init__(self, client: ChainClient, block_time_s: int) -> None:
        self._client = client
        self._block_time_s = block_time_s

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the node from mining by itself."""
        ask = self._client.rpc.request
        await ask("evm_setAutomine", False)
        await ask("evm_setIntervalMining", 0)
        try:
            yield
        finally:
            if self._block_time_s:
                await ask("evm_setIntervalMining", self._block_time_s)
            else:
                await ask("evm_setAutomine", True)
                if int((await ask("txpool_status"))["pending"], 16):
                    await ask("evm_mine")  # For what came while nobody mined.

    async def mine(self, raws: Sequence[bytes], hashes: Sequence[str], may_revert: Collection[str]) -> Block:
        """Mine a block that begins with these transactions; call it within `held`.

        Raises:
            NotMined: One was not taken, failed, or was not where it belongs. The block is taken back.
        """
        ask = self._client.rpc.request
        snapshot = await ask("evm_snapshot")
        waiting = await self._kept(await self._pool())
        await ask("anvil_dropAllTransactions")
        try:
            for raw in raws:
                await ask("eth_sendRawTransaction", "0x" + raw.hex())
            await ask("evm_mine")
            block = await self._client.head()
            await self._check(block, hashes, may_revert)
        except (NodeRefused, NotMined) as exc:
            await self._take_back(snapshot, hashes, waiting)
            raise NotMined(str(exc)) from exc
        await self._give_back(waiting)
        return block

    async def _check(self, block: Block, hashes: Sequence[str], may_revert: Collection[str]) -> None:
        if block.transactions[: len(hashes)] != tuple(hashes):
            raise NotMined(f"block {block.number} does not begin with the bundle")
        for tx_hash in hashes:
            receipt = await self._client.receipt(tx_hash)
            if receipt is None or not (receipt.succeeded or tx_hash in may_revert):
                raise NotMined(f"transaction {tx_hash} reverted")

    async def _take_back(self, snapshot: str, ours: Sequence[str], waiting: list[_Kept]) -> None:
        """Return to a snapshot; what others had in the block or the pool waits again."""
        ask = self._client.rpc.request
        lost = await ask("eth_getBlockByNumber", "latest", True)
        strangers = [tx for tx in [*lost["transactions"], *await self._pool()] if tx["hash"] not in ours]
        kept = await self._kept(strangers)
        await ask("evm_revert", snapshot)
        if int(lost["number"], 16) <= (await self._client.head()).number:
            kept = []  # No block had been made.
        await ask("anvil_dropAllTransactions")
        await self._give_back([*waiting, *kept])

    async def _pool(self) -> list[Mapping[str, Any]]:
        pool = await self._client.rpc.request("txpool_content")
        return [
            tx
            for part in ("pending", "queued")
            for by_nonce in pool[part].values()
            for _, tx in sorted(by_nonce.items(), key=lambda item: int(item[0]))
        ]

    async def _kept(self, transactions: Sequence[Mapping[str, Any]]) -> list[_Kept]:
        kept: list[_Kept] = []
        for tx in transactions:
            if checksum(tx["from"]) == DEPLOYER:  # Nobody has its key: the node took it unsigned.
                fees = _FEES[1:] if tx.get("maxFeePerGas") else _FEES[:1]
                names = ("from", "to", "value", "gas", "nonce", "input", *fees)
                kept.append(("eth_sendTransaction", {name: tx[name] for name in names if tx.get(name)}))
            elif raw := await self._client.rpc.request("eth_getRawTransactionByHash", tx["hash"]):
                kept.append(("eth_sendRawTransaction", raw))
        return kept

    async def _give_back(self, waiting: Sequence[_Kept]) -> None:
        for method, what in waiting:
            # Refused is what the bundle itself holds, or what its own use of the number has replaced.
            with contextlib.suppress(NodeRefused):
                await self._client.rpc.request(method, what)
