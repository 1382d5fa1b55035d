"""Permits of Permit2: an allowance for a router, given by a signature that travels in the swap itself.

The token's owner has let Permit2 take the token once (`plan_approval` with Permit2 as spender); the permit then says
who may take how much through it, until when. It is signed through custody and used up by the swap that carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chain import parse_address
from dex.execution.contracts import PERMIT2
from domain.errors import InputError
from domain.ids import Address, ChainId

AMOUNT_MAX: Final = (1 << 160) - 1
_DETAILS: Final = (("token", "address"), ("amount", "uint160"), ("expiration", "uint48"), ("nonce", "uint48"))
_TYPES: Final = {
    "EIP712Domain": (("name", "string"), ("chainId", "uint256"), ("verifyingContract", "address")),
    "PermitSingle": (("details", "PermitDetails"), ("spender", "address"), ("sigDeadline", "uint256")),
    "PermitDetails": _DETAILS,
}


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit to be signed: `amount` raw units of a token for a spender, once, until a moment of chain time."""

    chain_id: ChainId
    token: Address
    amount: int
    spender: Address
    nonce: int
    """The next of (owner, token, spender) in Permit2."""
    expires_s: int
    """End of the allowance and of the signature."""

    def __post_init__(self) -> None:
        if not 0 < self.amount < AMOUNT_MAX:
            raise InputError(f"a permit is for an exact amount, found {self.amount}")
        if self.expires_s <= 0 or not 0 <= self.nonce < 1 << 48:
            raise InputError("a permit has an end and a nonce")

    def document(self) -> Mapping[str, Any]:
        """Write it as the document that is signed (EIP-712), numbers as decimal text where JSON cannot hold them."""
        return {
            "types": {
                name: [{"name": field, "type": kind} for field, kind in fields] for name, fields in _TYPES.items()
            },
            "primaryType": "PermitSingle",
            "domain": {"name": "Permit2", "chainId": int(self.chain_id), "verifyingContract": str(PERMIT2)},
            "message": {
                "details": {
                    "token": str(self.token),
                    "amount": str(self.amount),
                    "expiration": self.expires_s,
                    "nonce": self.nonce,
                },
                "spender": str(parse_address(self.spender)),
                "sigDeadline": self.expires_s,
            },
        }


@dataclass(frozen=True, slots=True)
class SignedPermit:
    """A permit with its owner's signature of 65 bytes."""

    permit: Permit
    signature: bytes
