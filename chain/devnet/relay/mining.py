"""Makes the node mine one block of given transactions, in order and at its top; or takes the block back.

What waits in the node's pool goes into the block too, behind them. The pool is never emptied for it (what arrives
meanwhile would be lost): the block is made once more in the right order, which the node can do (`anvil_reorg`). Who
watches the chain may see it replaced. The node must take its pool first come, first served (`AnvilNode(order="fifo")`),
or the bundle's own order would not hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from chain.client import ChainClient
from chain.devnet.deployer import DEPLOYER
from chain.errors import NodeRefused
from chain.keccak import checksum
from chain.records import Block

_FEES: Final = ("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas")


class NotMined(Exception):
    """The block could not be as wished; the chain is what it would be without. The text says why."""


class Mining:
    """The node's mining, taken over for the moment of one block."""

    def __init__(self, client: ChainClient, block_time_s: int) -> None:
        self._client = client
        self._block_time_s = block_time_s

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the node from mining by itself."""
        holding = asyncio.create_task(self._hold())
        try:
            await asyncio.shield(holding)
            yield
        finally:
            # Whoever is cancelled while it asks for this may have got it: it is given back only after the answer.
            await asyncio.wait({holding})
            await self._let_go()

    async def _hold(self) -> None:
        await self._client.rpc.request("evm_setAutomine", False)
        await self._client.rpc.request("evm_setIntervalMining", 0)

    async def _let_go(self) -> None:
        ask = self._client.rpc.request
        if self._block_time_s:
            await ask("evm_setIntervalMining", self._block_time_s)
        else:
            await ask("evm_setAutomine", True)
            if int((await ask("txpool_status"))["pending"], 16):
                await ask("evm_mine")  # For what came while nobody mined.

    async def mine(self, raws: Sequence[bytes], hashes: Sequence[str], may_revert: Collection[str]) -> Block:
        """Mine a block that begins with these transactions; call it within `held`.

        Raises:
            NotMined: One was not taken, failed, or was not where it belongs.
        """
        ask = self._client.rpc.request
        snapshot, before = await ask("evm_snapshot"), await self._client.head()
        known: set[str] = set()
        refusal = ""
        for raw, tx_hash in zip(raws, hashes, strict=True):
            try:
                await ask("eth_sendRawTransaction", "0x" + raw.hex())
            except NodeRefused as exc:
                if await self._client.transaction(tx_hash) is None:
                    refusal = str(exc)
                    break
                known.add(tx_hash)  # In the public pool already: a bundle may follow what everybody sees.
        private = [tx_hash for tx_hash in hashes if tx_hash not in known]
        if refusal:
            await self._drop(private)
            raise NotMined(refusal)
        await ask("evm_mine")
        made = await ask("eth_getBlockByNumber", "latest", True)
        public = [await self._again(tx) for tx in made["transactions"] if tx["hash"] not in private]
        if int(made["number"], 16) != before.number + 1:  # Somebody had another block mined in between.
            if set(private) & {tx["hash"] for tx in made["transactions"]}:
                await ask("anvil_reorg", 1, [[tx, 0] for tx in public])
            await self._drop(private)
            raise NotMined(f"block {before.number + 1} was somebody else's")
        others = [await self._again(tx) for tx in made["transactions"] if tx["hash"] not in hashes]
        block = await self._client.head()
        if block.transactions[: len(hashes)] != tuple(hashes):
            ours = ["0x" + raw.hex() for raw in raws]
            await ask("anvil_reorg", 1, [[tx, 0] for tx in (*ours, *others)])
            block = await self._client.head()
        wrong = await self._fault(block, hashes, may_revert)
        if not wrong:
            return block
        if public:
            await ask("anvil_reorg", 1, [[tx, 0] for tx in public])
        else:
            await ask("evm_revert", snapshot)
        await self._drop(private)
        raise NotMined(wrong)

    async def _fault(self, block: Block, hashes: Sequence[str], may_revert: Collection[str]) -> str:
        if block.transactions[: len(hashes)] != tuple(hashes):
            return f"block {block.number} does not begin with the bundle"
        for tx_hash in hashes:
            # The node may tell of a block a moment before it tells of its receipts.
            receipt = await self._client.wait_receipt(tx_hash, timeout_s=10, poll_s=0.002)
            if not (receipt.succeeded or tx_hash in may_revert):
                return f"transaction {tx_hash} reverted"
        return ""

    async def _drop(self, hashes: Sequence[str]) -> None:
        """Take out of the pool what nobody else has seen."""
        for tx_hash in reversed(hashes):
            await self._client.rpc.request("anvil_dropTransaction", tx_hash)

    async def _again(self, tx: Mapping[str, Any]) -> str | dict[str, Any]:
        """Give a mined transaction as the node takes it for another block."""
        if checksum(tx["from"]) != DEPLOYER:
            return str(await self._client.rpc.request("eth_getRawTransactionByHash", tx["hash"]))
        # Nobody has its key: the node took it unsigned.
        fees = _FEES[1:] if tx.get("maxFeePerGas") else _FEES[:1]
        return {name: tx[name] for name in ("from", "to", "value", "gas", "nonce", "input", *fees) if tx.get(name)}
