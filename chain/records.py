"""What a node tells: blocks, receipts, logs, transactions, fees. Hashes are lower-case 0x text, amounts are wei."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from chain.keccak import checksum
from domain.ids import Address, BlockNumber, Wei

BlockTag: TypeAlias = Literal["latest", "pending", "safe", "finalized", "earliest"]
BlockRef: TypeAlias = int | str
"""A number, a tag, or a 32-byte hash as 0x text."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, with the hashes of its transactions."""

    number: BlockNumber
    hash: str
    parent_hash: str
    time_s: int
    base_fee_wei: Wei
    gas_used: int
    gas_limit: int
    transactions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """One event a contract emitted. `index` counts within the block."""

    address: Address
    topics: tuple[str, ...]
    data: bytes
    block_number: BlockNumber
    block_hash: str
    tx_hash: str
    index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mined transaction."""

    tx_hash: str
    block_number: BlockNumber
    block_hash: str
    succeeded: bool
    """False: it reverted; the gas was paid all the same."""
    gas_used: int
    gas_price_wei: Wei
    """The price actually paid per gas, base fee included."""
    sender: Address
    to: Address | None
    created: Address | None
    """The contract it deployed, if it did."""
    logs: tuple[Log, ...]

    @property
    def gas_cost_wei(self) -> Wei:
        return Wei(self.gas_used * self.gas_price_wei)


@dataclass(frozen=True, slots=True)
class SeenTransaction:
    """A transaction as the node knows it; `block_number` is None while it waits."""

    hash: str
    sender: Address
    to: Address | None
    nonce: int
    value_wei: Wei
    data: bytes
    block_number: BlockNumber | None


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """EIP-1559 fees per gas, in wei. `max_fee` leaves room for the base fee to double (six full blocks)."""

    base_fee: Wei
    priority: Wei
    max_fee: Wei


@dataclass(frozen=True, slots=True)
class Call:
    """One call to simulate."""

    sender: str
    to: str
    data: bytes = b""
    value_wei: int = 0
    gas_limit: int | None = None

    def parameter(self) -> dict[str, str]:
        """Write it as the RPC takes it."""
        found = {
            "from": checksum(self.sender),
            "to": checksum(self.to),
            "input": "0x" + self.data.hex(),
            "value": hex(self.value_wei),
        }
        return found if self.gas_limit is None else found | {"gas": hex(self.gas_limit)}


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What a simulated call would do."""

    succeeded: bool
    gas_used: int
    output: bytes
    """Returned data, or the revert data."""
    reason: str
    """Why it failed, in words; empty when it succeeded."""
    logs: tuple[Log, ...]


def block_from(answer: Mapping[str, Any]) -> Block:
    """Read a block as `eth_getBlockBy…` gives it; takes hashes or full transactions."""
    return Block(
        number=BlockNumber(int(answer["number"], 16)),
        hash=answer["hash"],
        parent_hash=answer["parentHash"],
        time_s=int(answer["timestamp"], 16),
        base_fee_wei=Wei(int(answer.get("baseFeePerGas") or "0x0", 16)),
        gas_used=int(answer["gasUsed"], 16),
        gas_limit=int(answer["gasLimit"], 16),
        transactions=tuple(t if isinstance(t, str) else t["hash"] for t in answer.get("transactions", ())),
    )


def log_from(answer: Mapping[str, Any]) -> Log:
    """Read one log as `eth_getLogs` gives it."""
    return Log(
        address=checksum(answer["address"]),
        topics=tuple(answer["topics"]),
        data=bytes.fromhex(answer["data"][2:]),
        block_number=BlockNumber(int(answer["blockNumber"], 16)),
        block_hash=answer["blockHash"],
        tx_hash=answer["transactionHash"],
        index=int(answer["logIndex"], 16),
    )


def receipt_from(answer: Mapping[str, Any]) -> Receipt:
    """Read a receipt as `eth_getTransactionReceipt` gives it."""
    return Receipt(
        tx_hash=answer["transactionHash"],
        block_number=BlockNumber(int(answer["blockNumber"], 16)),
        block_hash=answer["blockHash"],
        succeeded=int(answer["status"], 16) == 1,
        gas_used=int(answer["gasUsed"], 16),
        gas_price_wei=Wei(int(answer["effectiveGasPrice"], 16)),
        sender=checksum(answer["from"]),
        to=_address_or_none(answer.get("to")),
        created=_address_or_none(answer.get("contractAddress")),
        logs=tuple(log_from(log) for log in answer["logs"]),
    )


def transaction_from(answer: Mapping[str, Any]) -> SeenTransaction:
    """Read a transaction as `eth_getTransactionByHash` gives it."""
    number = answer.get("blockNumber")
    return SeenTransaction(
        hash=answer["hash"],
        sender=checksum(answer["from"]),
        to=_address_or_none(answer.get("to")),
        nonce=int(answer["nonce"], 16),
        value_wei=Wei(int(answer["value"], 16)),
        data=bytes.fromhex(answer["input"][2:]),
        block_number=None if number is None else BlockNumber(int(number, 16)),
    )


def _address_or_none(text: str | None) -> Address | None:
    return checksum(text) if text else None
