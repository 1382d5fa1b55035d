"""Chains of imagined blocks (`eth_simulateV1`): later calls see what earlier ones did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chain.client import ChainClient, block_param
from chain.keccak import checksum
from chain.records import BlockRef, Call, Log
from chain.reverts import Revert, explain
from chain.simulation.overrides import StateOverrides
from domain.ids import Address, BlockNumber


@dataclass(frozen=True, slots=True)
class BlockOverrides:
    """What an imagined block says of itself; None takes what would come next."""

    number: int | None = None
    time_s: int | None = None
    base_fee_wei: int | None = None
    fee_recipient: str | None = None
    gas_limit: int | None = None

    def parameter(self) -> dict[str, str]:
        """Write it as JSON-RPC wants it."""
        numbers = {
            "number": self.number,
            "time": self.time_s,
            "baseFeePerGas": self.base_fee_wei,
            "gasLimit": self.gas_limit,
        }
        found = {key: hex(value) for key, value in numbers.items() if value is not None}
        if self.fee_recipient is not None:
            found["feeRecipient"] = checksum(self.fee_recipient)
        return found


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """One block to imagine: the calls in it, and what is pretended before them."""

    calls: Sequence[Call]
    state: StateOverrides = field(default_factory=StateOverrides)
    block: BlockOverrides = field(default_factory=BlockOverrides)


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """What one call would do."""

    succeeded: bool
    gas_used: int
    output: bytes
    revert: Revert
    """Why it failed; empty when it succeeded."""
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class SimulatedCalls:
    """What one block would do."""

    number: BlockNumber
    time_s: int
    base_fee_wei: int
    gas_used: int
    calls: tuple[SimulatedCall, ...]


COIN: Address = checksum("0x" + "ee" * 20)
"""Who emits the `Transfer` logs of the coin itself when they are asked for."""


async def simulate(
    client: ChainClient,
    blocks: Sequence[SimulatedBlock],
    at: BlockRef = "latest",
    *,
    checks_fees: bool = False,
    logs_coin: bool = False,
) -> list[SimulatedCalls]:
    """Run blocks of calls on top of `at`, each on what the one before left.

    With `checks_fees` nonces, balances and base fees are checked as for real transactions. With `logs_coin` movements
    of the coin come out as `Transfer` logs of `COIN`.

    Raises:
        NodeRefused: The node does not simulate, or (with `checks_fees`) a transaction is impossible.
        VenueUnavailable: No node answers.
    """
    payload = {
        "blockStateCalls": [_parameter(block) for block in blocks],
        "validation": checks_fees,
        "traceTransfers": logs_coin,
    }
    answer = await client.rpc.request("eth_simulateV1", payload, block_param(at))
    return [_block(entry) for entry in answer]


def _parameter(block: SimulatedBlock) -> dict[str, Any]:
    entry: dict[str, Any] = {"calls": [call.parameter() for call in block.calls]}
    if block.state.accounts:
        entry["stateOverrides"] = block.state.accounts
    if overrides := block.block.parameter():
        entry["blockOverrides"] = overrides
    return entry


def _block(entry: dict[str, Any]) -> SimulatedCalls:
    return SimulatedCalls(
        number=BlockNumber(int(entry["number"], 16)),
        time_s=int(entry["timestamp"], 16),
        base_fee_wei=int(entry.get("baseFeePerGas") or "0x0", 16),
        gas_used=int(entry["gasUsed"], 16),
        calls=tuple(_outcome(result) for result in entry["calls"]),
    )


def _outcome(result: dict[str, Any]) -> SimulatedCall:
    error = result.get("error") or {}
    succeeded = int(result["status"], 16) == 1
    text = error.get("data") or result.get("returnData") or "0x"
    output = bytes.fromhex(text[2:])
    revert = Revert("", "")
    if not succeeded:
        revert = explain(output)
        if not revert.name:  # No revert data: out of gas, a bad opcode. The node's words are all there is.
            message = str(error.get("message") or "failed without a reason")
            revert = Revert(message, message)
    logs = tuple(_log(entry, number) for number, entry in enumerate(result.get("logs") or ()))
    return SimulatedCall(succeeded, int(result["gasUsed"], 16), output, revert, logs)


def _log(entry: dict[str, Any], number: int) -> Log:
    """Read a log of an imagined block: its place on the chain has no meaning."""
    return Log(
        address=checksum(entry["address"]),
        topics=tuple(entry["topics"]),
        data=bytes.fromhex(entry["data"][2:]),
        block_number=BlockNumber(int(entry.get("blockNumber") or "0x0", 16)),
        block_hash="",
        tx_hash="",
        index=int(entry.get("logIndex") or hex(number), 16),
    )
