"""The ways onto the chain that show nothing to the public, as one thing: what is sent by one kind goes by no other.

`private` goes to all private endpoints (nodes that take `eth_sendRawTransaction` and show it to builders only) and all
private relays; one that takes it is enough. `bundle` goes to all bundle relays, for each of the next blocks up to its
last one, alone at the block's top. Whether it was mined the chain tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import structlog

from chain.broadcast import Sent, broadcast
from chain.client import ChainClient
from chain.errors import BroadcastRejected
from chain.keccak import keccak256
from chain.paths.bundle import BundleClient
from chain.paths.private import PrivateRelay
from chain.paths.relay_rpc import RelayRpc
from chain.rpc import JsonRpc
from domain.errors import InputError, OutcomeUnknown, PlatformError, VenueUnavailable
from domain.plans import BroadcastKind

log = structlog.get_logger(__name__)

_BLOCKS_AHEAD: Final = 2
"""A bundle is offered for so many blocks at a time; it is sent again before they have passed."""


class Ways:
    """Open as an async context manager. `client` is asked for the head and for nothing of what is sent."""

    def __init__(
        self,
        client: ChainClient,
        *,
        endpoints: Sequence[str] = (),
        relays: Sequence[RelayRpc] = (),
        bundle_relays: Sequence[RelayRpc] = (),
    ) -> None:
        self._client = client
        self._rpc = JsonRpc(endpoints, client.chain_id) if endpoints else None
        self._relay_rpcs = (*relays, *bundle_relays)
        self._relays = [PrivateRelay(rpc) for rpc in relays]
        self._bundles = [BundleClient(rpc) for rpc in bundle_relays]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the connections. An endpoint that is down now may be up when it is needed: it is checked then."""
        if self._rpc is not None:
            self._rpc.begin()
            self._stack.push_async_callback(self._rpc.close)
        for relay in self._relay_rpcs:
            await self._stack.enter_async_context(relay)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def offers(self, kind: BroadcastKind) -> bool:
        """Tell whether anything is configured for this kind; `public` is not for these ways."""
        if kind == "private":
            return self._rpc is not None or bool(self._relays)
        return kind == "bundle" and bool(self._bundles)

    async def send(self, kind: BroadcastKind, raws: Sequence[tuple[bytes, int]]) -> list[Sent]:
        """Send signed bytes, each with its last block (0: any); tell for each how it went, as `chain.broadcast` does.

        Raises:
            InputError: Nothing is configured for this kind.
        """
        if not self.offers(kind):
            raise InputError(f"nothing is configured to send {kind} transactions")
        if kind == "bundle":
            return await self._as_bundles(raws)
        answers: list[list[Sent]] = []
        if self._rpc is not None:
            answers.append(await self._at_endpoints(self._rpc, [raw for raw, _ in raws]))
        for relay in self._relays:
            tries = [_outcome(relay.send_raw(raw, last or None), raw) for raw, last in raws]
            answers.append(list(await asyncio.gather(*tries)))
        return [_best([given[number] for given in answers]) for number in range(len(raws))]

    async def _at_endpoints(self, rpc: JsonRpc, raws: Sequence[bytes]) -> list[Sent]:
        try:
            return await broadcast(rpc, raws)
        except InputError as exc:
            # An endpoint of another chain: that one has been sent nothing.
            log.error("chain.private_endpoint_wrong", reason=str(exc))
            return [VenueUnavailable(str(exc)) for _ in raws]

    async def _as_bundles(self, raws: Sequence[tuple[bytes, int]]) -> list[Sent]:
        head = int((await self._client.head()).number)
        return list(await asyncio.gather(*(self._as_bundle(raw, last, head) for raw, last in raws)))

    async def _as_bundle(self, raw: bytes, last: int, head: int) -> Sent:
        blocks = [block for block in range(head + 1, head + 1 + _BLOCKS_AHEAD) if not last or block <= last]
        if not blocks:
            return VenueUnavailable(f"the last block it may be in, {last}, has passed")
        tries = [_outcome(relay.send([raw], block), raw) for relay in self._bundles for block in blocks]
        return _best(await asyncio.gather(*tries))


async def _outcome(sending: Awaitable[str], raw: bytes) -> Sent:
    try:
        await sending
    except PlatformError as exc:
        if isinstance(exc, (OutcomeUnknown, VenueUnavailable, BroadcastRejected)):
            return exc
        # A relay that speaks of another transaction, or answers nonsense: it may have this one all the same.
        return OutcomeUnknown(str(exc), request_id="0x" + keccak256(raw).hex())
    return None


def _best(outcomes: Sequence[Sent]) -> Sent:
    """Of several takers' answers the one that counts: taken by one is taken; then what may have been; then the rest."""

    def weight(outcome: Sent) -> int:
        if outcome is None:
            return 0
        return 1 if isinstance(outcome, OutcomeUnknown) else 3 if isinstance(outcome, VenueUnavailable) else 2

    return min(outcomes, key=weight)
