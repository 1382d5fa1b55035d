"""One transaction shown to block builders only: `eth_sendPrivateTransaction`.

Until it is mined nobody else sees it, and it is dropped after a block of our choice. A relay takes it or not; it never
says whether it was mined: that the chain itself tells.
"""

from __future__ import annotations

from chain.errors import BroadcastRejected, NodeRefused, broadcast_rejection
from chain.keccak import keccak256
from chain.paths.relay_rpc import RelayRpc
from domain.errors import InvariantError


class PrivateRelay:
    """Sends signed transactions to one relay."""

    def __init__(self, rpc: RelayRpc) -> None:
        self._rpc = rpc

    async def send_raw(self, raw: bytes, max_block: int | None = None) -> str:
        """Send a signed transaction, to be tried until a block; give its hash.

        Raises:
            BroadcastRejected: The relay did not take it.
            VenueUnavailable: The relay was not reached: nobody has seen it.
            OutcomeUnknown: The relay may have it; ask the chain for `request_id`, the transaction's hash.
            InvariantError: The relay speaks of another transaction.
        """
        tx_hash = "0x" + keccak256(raw).hex()
        wanted = {"tx": "0x" + raw.hex()} | ({} if max_block is None else {"maxBlockNumber": hex(max_block)})
        try:
            told = await self._rpc.request("eth_sendPrivateTransaction", wanted, request_id=tx_hash)
        except NodeRefused as exc:
            raise _rejection(exc) from exc
        if told != tx_hash:
            raise InvariantError(f"the relay took {told!r}, sent was {tx_hash}")
        return tx_hash

    async def cancel(self, tx_hash: str) -> bool:
        """Ask the relay to forget a transaction. True is its word, not a proof: the bytes may be with a builder."""
        return bool(await self._rpc.request("eth_cancelPrivateTransaction", {"txHash": tx_hash}))


def _rejection(refusal: NodeRefused) -> BroadcastRejected:
    return broadcast_rejection(refusal.code, str(refusal))
