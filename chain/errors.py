"""What a node says no to, sorted under the platform's tree.

VenueError
├── NodeRefused            the node answered a JSON-RPC error to a read
│   └── CallReverted       eth_call or eth_estimateGas ran and reverted
└── OrderRejected
    └── BroadcastRejected  a raw transaction was not taken: nothing is in the pool
        ├── NonceTooLow    its number is used up by another transaction
        ├── FeeTooLow      below the base fee, or not enough to replace the one that waits
        └── InsufficientFunds
"""

from __future__ import annotations

from chain.reverts import Revert, explain
from domain.errors import OrderRejected, VenueError


class NodeRefused(VenueError):
    """The node answered with a JSON-RPC error. `code` is the protocol's, `data` whatever came with it."""

    def __init__(self, message: str, *, code: int, data: object = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data


class CallReverted(NodeRefused):
    """The call ran and reverted. `output` is the revert data, `reason` its text when it has one."""

    def __init__(self, message: str, *, code: int, output: bytes, reason: str) -> None:
        super().__init__(message, code=code, data="0x" + output.hex())
        self.output = output
        self.reason = reason

    @property
    def revert(self) -> Revert:
        """Why it reverted, with whose error it is and what it means."""
        return explain(self.output)


class BroadcastRejected(OrderRejected):
    """The node did not take the transaction; it is in no pool."""


class NonceTooLow(BroadcastRejected):
    """The account's next number is higher: another transaction has used this one."""


class FeeTooLow(BroadcastRejected):
    """Priced below what the block or a replacement needs."""


class InsufficientFunds(BroadcastRejected):
    """The sender cannot pay value plus the highest gas cost."""


def revert_reason(output: bytes) -> str:
    """Put revert data in words: a text, a panic code, a custom error with its values, its selector, or nothing."""
    return explain(output).text


def broadcast_rejection(code: int, message: str) -> BroadcastRejected:
    """Sort a node's answer to `eth_sendRawTransaction`; geth's, anvil's, erigon's and reth's wordings are covered."""
    text = message.lower()
    kind: type[BroadcastRejected] = BroadcastRejected
    if "nonce too low" in text or "nonce is too low" in text:
        kind = NonceTooLow
    elif "underpriced" in text or "max fee per gas less than" in text or "fee cap" in text or "below base" in text:
        kind = FeeTooLow
    elif "insufficient" in text or "doesn't have enough funds" in text:
        kind = InsufficientFunds
    return kind(f"the node refused the transaction: {message}", code=str(code), reason=message)
