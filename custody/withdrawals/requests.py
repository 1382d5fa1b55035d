"""What a client asks for, checked and in one canonical form."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from chain import parse_address
from domain import Address, Asset, ChainId, InputError, native_asset

_NAME: Final = re.compile(r"[A-Za-z0-9:._@+\-]{1,64}")
_USER: Final = re.compile(r"[A-Za-z0-9:._\-]{1,64}")
"""What may stand in the name of an account of the books."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TARGET: Final = re.compile(r"[\x21-\x7e]{1,128}")
_NETWORK: Final = re.compile(r"[A-Za-z0-9._\-]{1,32}")
_RAW_MAX: Final = 1 << 256
_ID: Final = re.compile(r"w-[0-9a-f]{24}")


def is_withdrawal_id(intent_id: str) -> bool:
    """Whether an intent is a withdrawal's."""
    return _ID.fullmatch(intent_id) is not None


@dataclass(frozen=True, slots=True)
class ChainDestination:
    """An account on a chain of ours."""

    chain_id: ChainId
    address: Address

    @classmethod
    def parse(cls, chain_id: int, address: str) -> ChainDestination:
        """Read an address as people write it; a wrong checksum is refused.

        Raises:
            InputError: Not an address.
        """
        return cls(ChainId(chain_id), parse_address(address))

    @property
    def kind(self) -> Literal["chain"]:
        return "chain"

    @property
    def place(self) -> str:
        return str(self.chain_id)

    @property
    def network(self) -> str:
        return ""

    @property
    def memo(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class VenueDestination:
    """An address that an exchange sends to."""

    venue: str
    network: str
    """The exchange's name of the network: `ETH`."""
    address: str
    memo: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.venue) or not _NETWORK.fullmatch(self.network):
            raise InputError(f"not a venue and network: {self.venue!r}, {self.network!r}")
        if not _TARGET.fullmatch(self.address) or (self.memo and not _TARGET.fullmatch(self.memo)):
            raise InputError("an address or memo is printable ASCII without blanks, at most 128 characters")

    @property
    def kind(self) -> Literal["venue"]:
        return "venue"

    @property
    def place(self) -> str:
        return self.venue


Destination = ChainDestination | VenueDestination


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequest:
    """One withdrawal, as its client asks for it.

    The same client and key name the same withdrawal for ever: asked again, nothing happens twice.
    """

    client: str
    """Who asks: a person or a program. Policy calls it the initiator; it cannot approve."""
    key: str
    """The client's own idempotency key."""
    user: str
    """Whose balance pays."""
    asset: Asset
    raw: int
    """What the recipient is to get, in smallest units. Fees come on top."""
    destination: Destination
    vault: str = "default"

    def __post_init__(self) -> None:
        for what, pattern in (("client", _NAME), ("user", _USER), ("vault", _NAME)):
            if not pattern.fullmatch(getattr(self, what)):
                signs = ":._-" if pattern is _USER else ":._@+-"
                raise InputError(f"{what} is 1 to 64 letters, digits or {signs}, found {getattr(self, what)!r}")
        if not _KEY.fullmatch(self.key):
            raise InputError("an idempotency key is printable ASCII without blanks, at most 128 characters")
        if type(self.raw) is not int or not 0 < self.raw < _RAW_MAX:
            raise InputError(f"an amount must be positive, found {self.raw!r}")
        prefix = f"eip155:{self.destination.place}" if self.destination.kind == "chain" else self.destination.place
        if self.asset.id.partition("/")[0] != prefix:
            raise InputError(f"{self.asset.id} does not lie on {prefix}, where the withdrawal is to happen")

    @property
    def withdrawal_id(self) -> str:
        """Chosen before anything is done: follows from client and key."""
        named = json.dumps(["capstan/withdrawal", self.client, self.key]).encode()
        return "w-" + hashlib.sha256(named).hexdigest()[:24]

    def digest(self) -> str:
        """Fingerprint of everything that was asked for."""
        to = self.destination
        content = [
            *(self.client, self.key, self.user, self.vault, self.asset.id, str(self.raw)),
            *(to.kind, to.place, to.network, to.address, to.memo),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def is_native(self) -> bool:
        """Whether it is a chain's own coin."""
        to = self.destination
        return isinstance(to, ChainDestination) and self.asset.id == native_asset(to.chain_id).id
