"""What a row of signed transactions would do on top of a block, as `eth_callBundle` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain.abi import address_word
from chain.client import ChainClient
from chain.devnet.relay.bundles import SignedTransaction
from chain.errors import NodeRefused, revert_reason
from chain.records import Block

_COIN: Final = "0x" + "ee" * 20
"""Where a simulation that traces transfers logs those of the coin, as an ERC-20's."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """One transaction's imagined end."""

    transaction: SignedTransaction
    gas_used: int
    tip_wei: int
    """What it pays the builder for all its gas."""
    paid_wei: int
    """What it sends the builder besides, from contracts or directly."""
    output: bytes
    error: str

    def to_json(self) -> dict[str, Any]:
        """Write it as a relay's answer does: wei as decimal text."""
        tx = self.transaction
        answer: dict[str, Any] = {
            "txHash": tx.hash,
            "fromAddress": tx.sender,
            "toAddress": tx.to or "0x",
            "gasUsed": self.gas_used,
            "gasFees": str(self.tip_wei),
            "gasPrice": str((self.tip_wei + self.paid_wei) // max(self.gas_used, 1)),
            "coinbaseDiff": str(self.tip_wei + self.paid_wei),
            "ethSentToCoinbase": str(self.paid_wei),
            "value": "0x" + self.output.hex(),
        }
        if self.error:
            answer |= {"error": "execution reverted", "revert": self.error}
        return answer


async def simulate(client: ChainClient, transactions: Sequence[SignedTransaction], parent: Block) -> list[Simulated]:
    """Run transactions one after another on top of a block.

    Raises:
        NodeRefused: One of them may stand in no such block at all.
    """
    await _check_nonces(client, transactions, parent)
    payload = {
        "blockStateCalls": [{"calls": [tx.call() for tx in transactions]}],
        "validation": True,
        "traceTransfers": True,
    }
    (block,) = await client.rpc.request("eth_simulateV1", payload, hex(parent.number))
    if len(block["calls"]) != len(transactions):
        raise NodeRefused("the node simulated a part of the bundle only", code=0)
    base, builder = int(block["baseFeePerGas"], 16), address_word(block["miner"])
    return [_read(tx, call, base, builder) for tx, call in zip(transactions, block["calls"], strict=True)]


async def _check_nonces(client: ChainClient, transactions: Sequence[SignedTransaction], parent: Block) -> None:
    """Count each sender's numbers up: anvil's simulation takes any."""
    expected: dict[str, int] = {}
    for tx in transactions:
        if tx.sender not in expected:
            expected[tx.sender] = await client.nonce(tx.sender, parent.number)
        if tx.nonce != expected[tx.sender]:
            which = "low" if tx.nonce < expected[tx.sender] else "high"
            raise NodeRefused(
                f"nonce too {which}: transaction {tx.hash} has {tx.nonce}, {tx.sender} is at {expected[tx.sender]}",
                code=0,
            )
        expected[tx.sender] += 1


def _read(tx: SignedTransaction, call: dict[str, Any], base_fee_wei: int, builder: bytes) -> Simulated:
    gas_used = int(call["gasUsed"], 16)
    output = bytes.fromhex((call.get("returnData") or "0x")[2:])
    error = ""
    if int(call["status"], 16) != 1:
        told = call.get("error") or {}
        data = told.get("data")
        output = bytes.fromhex(data[2:]) if isinstance(data, str) else output
        error = revert_reason(output) or str(told.get("message", "failed"))
    tip = max(min(tx.tip_wei, tx.max_fee_wei - base_fee_wei), 0)
    paid = sum(
        int(entry["data"], 16)
        for entry in call.get("logs", ())
        if entry["address"] == _COIN and entry["topics"][2] == "0x" + builder.hex()
    )
    return Simulated(tx, gas_used, gas_used * tip, paid, output, error)


def gas_price(results: Sequence[Simulated]) -> int:
    """Give what a unit of a bundle's gas pays the builder, rounded down: what bundles are ranked by."""
    return sum(r.tip_wei + r.paid_wei for r in results) // max(sum(r.gas_used for r in results), 1)
