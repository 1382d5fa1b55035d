"""What is proposed, and who takes part in it: from the transaction's own bytes."""

from __future__ import annotations

from dataclasses import dataclass

from custody.calls import DecodedCall
from domain import Address, ChainId


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A transaction as policy sees it: its own bytes, no promises."""

    chain_id: ChainId
    sender: Address
    to: Address
    value_wei: int
    data: bytes


def parties_of(proposal: Proposal, call: DecodedCall | None) -> frozenset[Address]:
    """Everyone a proposal deals with, besides its sender."""
    parties = {proposal.to}
    if call is not None:
        parties |= {address for address in (call.recipient, call.spender) if address is not None}
        parties |= call.spends.keys() | call.receives_min.keys()
    return frozenset(parties - {proposal.sender})
