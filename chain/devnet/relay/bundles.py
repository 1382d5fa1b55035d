"""What a relay is given: signed transactions that want a block, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from chain.keccak import checksum, keccak256
from domain.errors import InputError
from domain.ids import Address

BUNDLE_TRANSACTIONS_MAX: Final = 100
BUNDLE_BYTES_MAX: Final = 300_000
"""Limits of the public documentation."""


class Status(StrEnum):
    """Where something a relay was given is."""

    HELD = "held"
    INCLUDED = "included"
    FAILED = "failed"
    MISSED = "missed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a bundle, and why."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """What a relay reads off a signed transaction."""

    raw: bytes
    hash: str
    sender: Address
    to: Address | None
    nonce: int
    gas: int
    value_wei: int
    data: bytes
    max_fee_wei: int
    tip_wei: int
    """At most; a legacy transaction gives all that its price leaves above the base fee."""

    @classmethod
    def read(cls, raw: bytes) -> SignedTransaction:
        """Read a signed transaction of any type, and who signed it.

        Raises:
            InputError: It is none.
        """
        try:
            sender = Account.recover_transaction(raw)
            fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict() if raw[0] < 0x80 else _legacy(raw)
        except Exception as exc:
            raise InputError(f"not a signed transaction: {type(exc).__name__}") from exc
        to = bytes(fields.get("to") or b"")
        price = int(fields.get("maxFeePerGas", fields.get("gasPrice", 0)))
        return cls(
            raw=raw,
            hash="0x" + keccak256(raw).hex(),
            sender=checksum(sender),
            to=checksum("0x" + to.hex()) if to else None,
            nonce=int(fields["nonce"]),
            gas=int(fields["gas"]),
            value_wei=int(fields["value"]),
            data=bytes(fields["data"]),
            max_fee_wei=price,
            tip_wei=int(fields.get("maxPriorityFeePerGas", price)),
        )

    def call(self) -> dict[str, Any]:
        """Write it as a call to be simulated, with everything that decides whether a block may hold it."""
        call: dict[str, Any] = {
            "from": self.sender,
            "nonce": hex(self.nonce),
            "gas": hex(self.gas),
            "value": hex(self.value_wei),
            "input": "0x" + self.data.hex(),
            "maxFeePerGas": hex(self.max_fee_wei),
            "maxPriorityFeePerGas": hex(min(self.tip_wei, self.max_fee_wei)),
        }
        return call if self.to is None else call | {"to": self.to}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Transactions that go into one block together, in order and at its top, or not at all."""

    transactions: tuple[SignedTransaction, ...]
    first_block: int
    last_block: int
    may_revert: frozenset[str] = frozenset()
    """Hashes of transactions that may fail without harm."""
    time_min_s: int = 0
    time_max_s: int = 0
    """No block after this time; 0 for any."""
    replacement_uuid: str = ""
    signer: str = ""

    @property
    def hash(self) -> str:
        """Name the bundle as relays do: the hash of its transactions' hashes; a private transaction by its own."""
        if self.is_private:
            return self.transactions[0].hash
        return "0x" + keccak256(b"".join(bytes.fromhex(tx.hash[2:]) for tx in self.transactions)).hex()

    @property
    def is_private(self) -> bool:
        """Tell a private transaction, which takes any of several blocks, from a bundle for one."""
        return self.last_block > self.first_block


def check_limits(raws: Sequence[bytes]) -> None:
    """Refuse what is no bundle.

    Raises:
        InputError: Empty, or more than a relay takes.
    """
    if not raws:
        raise InputError("a bundle needs at least one transaction")
    if len(raws) > BUNDLE_TRANSACTIONS_MAX:
        raise InputError(f"a bundle of {len(raws)} transactions, at most {BUNDLE_TRANSACTIONS_MAX} are taken")
    size = sum(map(len, raws))
    if size > BUNDLE_BYTES_MAX:
        raise InputError(f"a bundle of {size} bytes, at most {BUNDLE_BYTES_MAX} are taken")


def _legacy(raw: bytes) -> dict[str, Any]:
    nonce, price, gas, to, value, data, *_ = rlp.decode(raw)
    numbers = {"nonce": nonce, "gasPrice": price, "gas": gas, "value": value}
    return {name: int.from_bytes(number, "big") for name, number in numbers.items()} | {"to": to, "data": data}
