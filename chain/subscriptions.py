"""What a node announces over a WebSocket: heads, logs (also those taken back) and transactions that wait.

A connection is lost sooner or later. What was missed meanwhile is asked for: logs of the missing blocks, and whether
the blocks of logs already told are still on the chain; those that are not come out as `LogRemoved`, as a node that
never lost us would have said. Each log is told once. `chain.heads` follows the chain without any of this; use
subscriptions where the first milliseconds count.

`StreamMemory` decides and does no I/O, `Subscriptions` holds the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec
import structlog

from chain.client import ChainClient
from chain.errors import NodeRefused
from chain.records import Block, Log, SeenTransaction, block_from, log_from, transaction_from
from domain.errors import InputError, VenueUnavailable

log = structlog.get_logger(__name__)

_PAUSES_S: Final = (0.1, 0.5, 2.0, 10.0)
_HEARTBEAT_S: Final = 10.0
_ANSWER_S: Final = 10.0
_MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """A block became the newest. After a reorganisation numbers go back."""

    block: Block


@dataclass(frozen=True, slots=True)
class LogSeen:
    """A contract emitted an event."""

    log: Log


@dataclass(frozen=True, slots=True)
class LogRemoved:
    """The block of a log that was told has left the chain."""

    log: Log


@dataclass(frozen=True, slots=True)
class PendingSeen:
    """A transaction waits in the node's pool; the transaction itself where the node sends it along."""

    tx_hash: str
    transaction: SeenTransaction | None


@dataclass(frozen=True, slots=True)
class GapSeen:
    """More blocks were missed than are filled: what was built on the logs must be read again at `head`."""

    after: int
    head: Block


StreamEvent: TypeAlias = HeadSeen | LogSeen | LogRemoved | PendingSeen | GapSeen
Handle: TypeAlias = Callable[[StreamEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs: of any of these addresses, with topics as `eth_getLogs` takes them."""

    addresses: Sequence[str] = ()
    topics: Sequence[str | Sequence[str] | None] = ()

    def parameter(self) -> dict[str, Any]:
        """Write it as JSON-RPC wants it."""
        found: dict[str, Any] = {}
        if self.addresses:
            found["address"] = list(self.addresses)
        if self.topics:
            found["topics"] = list(self.topics)
        return found


class StreamMemory:
    """The last blocks and the logs told of them: each is told once, and taken back once. No I/O."""

    def __init__(self, blocks: int) -> None:
        if blocks < 1:
            raise InputError(f"the memory must hold at least one block, found {blocks}")
        self.depth = blocks
        self._told: dict[str, dict[int, Log]] = {}
        self._hashes: dict[int, str] = {}
        self._before: set[str] = set()
        """Blocks that are known only as what came before: their logs are nobody's business."""

    @property
    def newest(self) -> int:
        """The highest block heard of, -1 before the first."""
        return max(self._hashes, default=-1)

    def begin(self, chain: Sequence[Block]) -> None:
        """Forget everything: what is told from now on comes after the last of these blocks.

        The others are where a reorganisation may lead back to.
        """
        self._told.clear()
        self._hashes = {int(block.number): block.hash for block in chain}
        self._before = set(self._hashes.values())

    def see(self, block: Block) -> None:
        """Note that a block is the newest: those above it are gone, those no reorganisation reaches are forgotten."""
        for number in [n for n in self._hashes if n > block.number]:
            del self._hashes[number]
        self._note(int(block.number), block.hash)

    def _note(self, number: int, block_hash: str) -> None:
        self._before.discard(block_hash)
        self._hashes[number] = block_hash
        oldest = self.newest - self.depth
        for old in [n for n in self._hashes if n < oldest]:
            del self._hashes[old]
        for told in [h for h, logs in self._told.items() if _number(logs) < oldest]:
            del self._told[told]

    def take(self, entry: Log) -> LogSeen | None:
        """Tell a log, unless it was told already."""
        told = self._told.setdefault(entry.block_hash, {})
        if entry.index in told:
            return None
        told[entry.index] = entry
        self._note(int(entry.block_number), entry.block_hash)
        return LogSeen(entry)

    def take_back(self, entry: Log) -> LogRemoved | None:
        """Tell that a log was removed, unless it was never told, or taken back already."""
        told = self._told.get(entry.block_hash, {})
        found = told.pop(entry.index, None)
        if found is None:
            return None
        if not told:
            del self._told[entry.block_hash]
        if self._hashes.get(int(entry.block_number)) == entry.block_hash:
            del self._hashes[int(entry.block_number)]
        return LogRemoved(found)

    def numbers(self) -> set[int]:
        """Give the numbers of all blocks it knows something of."""
        return {*self._hashes, *map(_number, self._told.values())}

    def ancestor(self, canonical: Mapping[int, str]) -> int | None:
        """Give the newest block heard of that is still on the chain; None when none is.

        `canonical` has the chain's own hash of each number; a number it lacks has no block any more.
        """
        return max((n for n, block_hash in self._hashes.items() if canonical.get(n) == block_hash), default=None)

    def first_missing(self, ancestor: int) -> int:
        """Tell from which block on logs may be missing: the ancestor's own, if its logs were being told."""
        return ancestor + 1 if self._hashes[ancestor] in self._before else ancestor

    def lost(self, canonical: Mapping[int, str]) -> list[LogRemoved]:
        """Take back the logs of blocks that are no longer on the chain, newest first."""
        gone = [
            entry
            for block_hash, logs in self._told.items()
            if canonical.get(_number(logs)) != block_hash
            for entry in logs.values()
        ]
        gone.sort(key=lambda entry: (entry.block_number, entry.index), reverse=True)
        return [removed for removed in map(self.take_back, gone) if removed is not None]


def _number(logs: Mapping[int, Log]) -> int:
    return int(next(iter(logs.values())).block_number)


class Subscriptions:
    """One WebSocket connection, renewed for ever; `handle` is awaited for each event, in order.

    `client` fills gaps and must be of the same chain. A node that says nothing for `silence_max_s` is left and
    connected to again. With `full_pending` the node is asked for whole transactions.
    """

    def __init__(
        self,
        url: str,
        client: ChainClient,
        *,
        logs: LogFilter | None = None,
        pending: bool = False,
        full_pending: bool = False,
        depth: int = 64,
        gap_max: int = 256,
        silence_max_s: float = 60.0,
    ) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise InputError("subscriptions need a ws:// or wss:// URL")
        self._url = url
        self._client = client
        self._filter = logs
        self._pending = pending or full_pending
        self._full_pending = full_pending
        self._gap_max = gap_max
        self._silence_max_s = silence_max_s
        self._memory = StreamMemory(depth)
        self.connections = 0
        self.connected = asyncio.Event()
        """Set once the first connection is complete: what happens from then on is told."""

    async def run(self, handle: Handle) -> None:
        """Listen until cancelled.

        Raises:
            InputError: The node serves another chain.
            NodeRefused: It does not offer a subscription that is wanted.
        """
        failures = 0
        async with aiohttp.ClientSession() as session:
            while True:
                before = self.connections
                try:
                    await self._listen(session, handle)
                except (aiohttp.ClientError, OSError, TimeoutError, VenueUnavailable) as exc:
                    log.info("chain.subscription_lost", reason=f"{type(exc).__name__}: {exc}"[:200])
                failures = 0 if self.connections > before else failures + 1
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])

    async def _listen(self, session: aiohttp.ClientSession, handle: Handle) -> None:
        limit = aiohttp.ClientWSTimeout(ws_close=2.0)
        async with session.ws_connect(
            self._url, heartbeat=_HEARTBEAT_S, timeout=limit, max_msg_size=_MESSAGE_BYTES_MAX
        ) as socket:
            kinds, early = await self._subscribe(socket)
            # Subscribed first, asked afterwards: what happens in between is heard twice and told once.
            await self._catch_up(handle)
            self.connections += 1
            self.connected.set()
            for kind, result in early:
                await self._take(kind, result, handle)
            while True:
                message = await self._next(socket, self._silence_max_s)
                params = message.get("params")
                if isinstance(params, dict) and (heard := kinds.get(str(params.get("subscription")))) is not None:
                    await self._take(heard, params.get("result"), handle)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> tuple[dict[str, str], list[tuple[str, Any]]]:
        """Ask for the chain id and each subscription; give kinds by id, and what was announced meanwhile."""
        wanted: dict[int, tuple[str, list[Any]]] = {2: ("heads", ["newHeads"])}
        if self._filter is not None:
            wanted[3] = ("logs", ["logs", self._filter.parameter()])
        if self._pending:
            wanted[4] = ("pending", ["newPendingTransactions", *([True] if self._full_pending else [])])
        questions = [{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}]
        questions += [
            {"jsonrpc": "2.0", "id": number, "method": "eth_subscribe", "params": params}
            for number, (_, params) in wanted.items()
        ]
        for question in questions:
            await socket.send_str(msgspec.json.encode(question).decode())
        answers: dict[int, Any] = {}
        early: list[dict[str, Any]] = []
        while len(answers) < len(questions):
            message = await self._next(socket, _ANSWER_S)
            if "error" in message:
                error = message["error"]
                raise NodeRefused(f"the node refused a subscription: {error.get('message')}", code=error.get("code", 0))
            if message.get("id") is None:
                early.append(message)
            else:
                answers[message["id"]] = message.get("result")
        if int(str(answers[1]), 16) != self._client.chain_id:
            raise InputError(f"the WebSocket serves chain {answers[1]}, expected chain {self._client.chain_id}")
        kinds = {str(answers[number]): kind for number, (kind, _) in wanted.items()}
        heard = [(kinds.get(str(m["params"]["subscription"])), m["params"]["result"]) for m in early if "params" in m]
        return kinds, [(kind, result) for kind, result in heard if kind is not None]

    async def _next(self, socket: aiohttp.ClientWebSocketResponse, patience_s: float) -> dict[str, Any]:
        async with asyncio.timeout(patience_s):
            message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise VenueUnavailable(f"the node closed the connection ({message.type.name})")
        try:
            found = msgspec.json.decode(message.data)
        except msgspec.DecodeError as exc:
            raise VenueUnavailable("the node sent something that is not JSON") from exc
        if not isinstance(found, dict):
            raise VenueUnavailable("the node sent something that is no JSON-RPC message")
        return found

    async def _take(self, kind: str, result: Any, handle: Handle) -> None:
        event: StreamEvent | None
        try:
            if kind == "heads":
                block = block_from(result)
                self._memory.see(block)
                event = HeadSeen(block)
            elif kind == "logs":
                entry = log_from(result)
                event = self._memory.take_back(entry) if result.get("removed") else self._memory.take(entry)
            elif isinstance(result, str):
                event = PendingSeen(result, None)
            else:
                event = PendingSeen(result["hash"], transaction_from(result))
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as exc:
            raise VenueUnavailable(f"the node sent a damaged announcement of {kind}: {exc!r}") from exc
        if event is not None:
            await handle(event)

    async def _catch_up(self, handle: Handle) -> None:
        """Tell what was missed since the last connection; at the first there is nothing to miss."""
        head = await self._client.head()
        last = self._memory.newest
        if last < 0:
            await self._begin(head)
            return
        if head.number - last > self._gap_max:
            await self._give_up(last, head, handle)
            return
        numbers = sorted({*self._memory.numbers(), *range(last, head.number + 1)})
        found = dict(zip(numbers, await self._client.find_blocks(numbers), strict=True))
        canonical = {number: block.hash for number, block in found.items() if block is not None}
        ancestor = self._memory.ancestor(canonical)
        if ancestor is None:
            await self._give_up(last, head, handle)
            return
        for event in self._memory.lost(canonical):
            await handle(event)
        if self._filter is not None:
            await self._fill(self._memory.first_missing(ancestor), head, self._filter, handle)
        for number in range(ancestor + 1, head.number + 1):
            block = found.get(number)
            if block is not None:
                self._memory.see(block)
                await handle(HeadSeen(block))

    async def _fill(self, start: int, head: Block, wanted: LogFilter, handle: Handle) -> None:
        """Tell the logs from a block on that were not told yet: a connection may end between two of one block."""
        if start > head.number:
            return
        entries = await self._client.logs(
            addresses=wanted.addresses, topics=wanted.topics, from_block=start, to_block=head.number
        )
        for entry in entries:
            if (seen := self._memory.take(entry)) is not None:
                await handle(seen)

    async def _give_up(self, last: int, head: Block, handle: Handle) -> None:
        await self._begin(head)
        await handle(GapSeen(last, head))

    async def _begin(self, head: Block) -> None:
        numbers = range(max(0, head.number - self._memory.depth), head.number)
        past = await self._client.find_blocks(numbers)
        self._memory.begin([*(block for block in past if block is not None), head])
