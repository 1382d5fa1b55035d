"""Several transactions for one block: in order, at its top, all or none (Flashbots' bundle protocol).

A relay never tells whether a bundle was mined. Whoever sent it looks at the block it was for (`outcome`): its
transactions are there, or the block has passed without them and they may be sent for a later one, with the same nonces.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chain.client import ChainClient
from chain.errors import BroadcastRejected, NodeRefused
from chain.keccak import keccak256
from chain.paths.relay_rpc import RelayRpc
from domain.errors import InputError, VenueError


class BundleOutcome(StrEnum):
    """What the chain says of a bundle."""

    WAITING = "waiting"
    """Its block has not come."""
    INCLUDED = "included"
    """All of it is in its block, next to one another and in order."""
    MISSED = "missed"
    """Its block came, and none of it is there."""
    BROKEN = "broken"
    """A part of it was mined, or apart: somebody had its transactions from elsewhere."""


@dataclass(frozen=True, slots=True)
class SimulatedTransaction:
    """One transaction of a bundle as the relay simulated it."""

    tx_hash: str
    gas_used: int
    error: str
    """Empty: it succeeds."""


@dataclass(frozen=True, slots=True)
class BundleSimulation:
    """What a bundle would do on top of a block."""

    transactions: tuple[SimulatedTransaction, ...]
    gas_used: int
    gas_price_wei: int
    """What the builder gets per unit of gas, payments to it included: what bundles compete by."""
    state_block: int

    @property
    def first_error(self) -> str:
        return next((f"{tx.tx_hash}: {tx.error}" for tx in self.transactions if tx.error), "")


class BundleClient:
    """Sends bundles to one relay."""

    def __init__(self, rpc: RelayRpc) -> None:
        self._rpc = rpc

    async def simulate(self, raws: Sequence[bytes], block: int, state_block: int | None = None) -> BundleSimulation:
        """Have the relay run a bundle as if in a block, on top of another (the newest, if not said).

        Raises:
            NodeRefused: It cannot stand in that block at all: a nonce, a balance, a fee.
            VenueUnavailable: The relay gave no answer.
        """
        wanted = {
            "txs": ["0x" + raw.hex() for raw in raws],
            "blockNumber": hex(block),
            "stateBlockNumber": "latest" if state_block is None else hex(state_block),
        }
        return _simulation(await self._rpc.request("eth_callBundle", wanted))

    async def send(
        self,
        raws: Sequence[bytes],
        block: int,
        *,
        may_revert: Collection[str] = (),
        time_min_s: int = 0,
        time_max_s: int = 0,
        replacement_uuid: str = "",
    ) -> str:
        """Send a bundle for a block; give the hash the relay knows it by.

        Sent again for the same block it changes nothing; with a replacement id it takes the place of the one before.

        Raises:
            BroadcastRejected: The relay did not take it.
            VenueUnavailable: The relay was not reached.
            OutcomeUnknown: The relay may have it; the chain will tell (`outcome`).
        """
        if not raws:
            raise InputError("a bundle needs at least one transaction")
        hashes = [transaction_hash(raw) for raw in raws]
        if strangers := sorted(set(may_revert) - set(hashes)):
            raise InputError(f"not in the bundle, so it cannot revert in it: {', '.join(strangers)}")
        wanted: dict[str, Any] = {"txs": ["0x" + raw.hex() for raw in raws], "blockNumber": hex(block)}
        if may_revert:
            wanted["revertingTxHashes"] = sorted(may_revert)
        if time_min_s:
            wanted["minTimestamp"] = time_min_s
        if time_max_s:
            wanted["maxTimestamp"] = time_max_s
        if replacement_uuid:
            wanted["replacementUuid"] = replacement_uuid
        try:
            told = await self._rpc.request("eth_sendBundle", wanted, request_id=hashes[0])
        except NodeRefused as exc:
            raise BroadcastRejected(str(exc), code=str(exc.code), reason=str(exc)) from exc
        return str(told["bundleHash"]) if isinstance(told, dict) and "bundleHash" in told else ""

    async def cancel(self, replacement_uuid: str) -> bool:
        """Ask the relay to forget a bundle. True is its word, not a proof."""
        return bool(await self._rpc.request("eth_cancelBundle", {"replacementUuid": replacement_uuid}))


async def outcome(client: ChainClient, raws: Sequence[bytes], block: int) -> BundleOutcome:
    """Look at a bundle's block on the chain.

    A reorganisation may change the answer until the block is final.
    """
    if (await client.head()).number < block:
        return BundleOutcome.WAITING
    hashes = [transaction_hash(raw) for raw in raws]
    mined = (await client.block(block)).transactions
    if hashes[0] in mined:
        at = mined.index(hashes[0])
        if list(mined[at : at + len(hashes)]) == hashes:
            return BundleOutcome.INCLUDED
    receipts = [await client.receipt(tx_hash) for tx_hash in hashes]
    return BundleOutcome.BROKEN if any(receipts) else BundleOutcome.MISSED


def transaction_hash(raw: bytes) -> str:
    """Name a signed transaction."""
    return "0x" + keccak256(raw).hex()


def _simulation(told: object) -> BundleSimulation:
    try:
        if not isinstance(told, Mapping):
            raise TypeError("no object")
        transactions = tuple(
            SimulatedTransaction(
                tx_hash=str(result["txHash"]),
                gas_used=int(result["gasUsed"]),
                error=str(result.get("revert") or result.get("error") or ""),
            )
            for result in told["results"]
        )
        return BundleSimulation(
            transactions, int(told["totalGasUsed"]), int(told["bundleGasPrice"]), int(told["stateBlockNumber"])
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise VenueError(f"the relay's simulation cannot be read: {exc}") from exc
