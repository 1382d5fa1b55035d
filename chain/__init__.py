"""Reads chains, follows their heads, broadcasts bytes that are already signed. Never sees a key.

`ChainClient` is the way to a chain, `chain.heads` follows it through reorganisations, `chain.network` says what kind
of chain it is, and `chain.devnet` starts a local one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chain.client import ChainClient
    from chain.errors import (
        BroadcastRejected,
        CallReverted,
        FeeTooLow,
        InsufficientFunds,
        NodeRefused,
        NonceTooLow,
    )
    from chain.keccak import checksum, keccak256, parse_address
    from chain.records import Block, Call, CallOutcome, FeeQuote, Log, Receipt, SeenTransaction
    from chain.survey import Survey, View
else:
    from runtime.fronts import lazily

    _HOMES = {
        "chain.client": "ChainClient",
        "chain.errors": "BroadcastRejected CallReverted FeeTooLow InsufficientFunds NodeRefused NonceTooLow",
        "chain.keccak": "checksum keccak256 parse_address",
        "chain.records": "Block Call CallOutcome FeeQuote Log Receipt SeenTransaction",
        "chain.survey": "Survey View",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "Block",
    "BroadcastRejected",
    "Call",
    "CallOutcome",
    "CallReverted",
    "ChainClient",
    "FeeQuote",
    "FeeTooLow",
    "InsufficientFunds",
    "Log",
    "NodeRefused",
    "NonceTooLow",
    "Receipt",
    "SeenTransaction",
    "Survey",
    "View",
    "checksum",
    "keccak256",
    "parse_address",
]
