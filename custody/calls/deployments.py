"""Contracts of ours that are put onto a chain: the code must be the shipped one, so only its roles are left to judge.

The deployment proxy takes a salt and creation code as its whole call data, without a selector. A contract of ours
always has the same salt, whose first four bytes stand for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain import checksum
from custody.calls.canonical import Place, canonical, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown
from dex.arbitrage.deployment import DEPLOYER, SALT, creation_code

_ZERO: Final = checksum("0x" + "00" * 20)
_ROLES: Final = ("Owner", "Operator", "Pauser", "Beneficiary")
_VENUES: Final = (
    ("Wrapped coin", Kind.TOKEN),
    ("Uniswap V2's factory", Kind.ADDRESS),
    ("Code hash of its pairs", Kind.BYTES),
    ("Uniswap V3's factory", Kind.ADDRESS),
    ("Code hash of its pools", Kind.BYTES),
    ("Uniswap V4's manager", Kind.ADDRESS),
    ("Aave's pool", Kind.ADDRESS),
    ("Balancer's vault", Kind.ADDRESS),
)
_VENUE_TYPES: Final = tuple("bytes32" if kind is Kind.BYTES else "address" for _, kind in _VENUES)
_WORD: Final = 32


@dataclass(frozen=True, slots=True)
class ArbExecutorDeployment:
    """Reads the deployment of an arbitrage executor; stands among the methods."""

    name: str = "deployArbExecutor"

    @property
    def selector(self) -> bytes:
        """The first four bytes of its calls: the salt's."""
        return SALT[:4]

    def read(self, data: bytes, place: Place) -> DecodedCall:
        """Decode a deployment. Raises as `decode_call`."""
        code = creation_code()
        if place.to != DEPLOYER or data[:_WORD] != SALT or data[_WORD : _WORD + len(code)] != code:
            raise unsafe("it deploys something else than the arbitrage executor that is shipped")
        types = (*("address" for _ in _ROLES), f"({','.join(_VENUE_TYPES)})")
        *roles, venues = canonical(self.name, types, data[_WORD + len(code) :])
        owner, _, _, beneficiary = (checksum(role) for role in roles)
        if _ZERO in (owner, beneficiary):
            raise unsafe("an executor without an owner, or without anybody who gets its profits")
        parts = [*roles, *(part for part in venues if isinstance(part, str))]
        return DecodedCall(
            self.name,
            NOTHING,
            NOTHING,
            NOTHING,
            recipient=beneficiary,
            action="Deploy an arbitrage executor",
            shown=(
                *(
                    Shown(label, Kind.ADDRESS, checksum(role))
                    for label, role in zip(_ROLES, roles, strict=True)
                    if checksum(role) != _ZERO
                ),
                *(
                    Shown(label, kind, checksum(value) if kind is not Kind.BYTES else value)
                    for (label, kind), value in zip(_VENUES, venues, strict=True)
                    if kind is Kind.BYTES or checksum(value) != _ZERO
                ),
            ),
            others=frozenset(checksum(part) for part in parts if checksum(part) not in (_ZERO, beneficiary)),
        )


METHODS: Final = (ArbExecutorDeployment(),)
