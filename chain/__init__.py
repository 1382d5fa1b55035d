"""Reads chains, follows their heads, broadcasts bytes that are already signed. Never sees a key.

`ChainClient` is the way to a chain, `chain.heads` follows it through reorganisations, `chain.network` says what kind
of chain it is, and `chain.devnet` starts a local one.
"""

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
