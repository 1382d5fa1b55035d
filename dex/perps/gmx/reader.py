"""What became of orders, and what positions are: from the EventEmitter's logs and the DataStore.

An order is asked about, never sent again: created in a transaction of ours, it is open while the DataStore has its
account, frozen by its flag, and ended by an event that names its key. Which one it was decides what it did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chain import ChainClient, Log, parse_address
from chain.abi import address_word
from chain.codec import error
from dex.perps.gmx.abi import EVENT_LOG_1, EVENT_LOG_2, GET_ADDRESS, GET_BOOL, GET_UINT, field_key, position_key
from dex.perps.gmx.book import GmxBook, GmxMarket
from domain.errors import InvariantError
from domain.ids import Address

_ZERO: Final = parse_address("0x0000000000000000000000000000000000000000")


class OrderState(StrEnum):
    """Where an order stands. The last three are final; a frozen one may be updated, cancelled, or thawed."""

    OPEN = "open"
    FROZEN = "frozen"
    EXECUTED = "executed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The DataStore has no such order and no event ended it in the blocks that were searched: ask further back."""


ENDS: Final = {"OrderExecuted": OrderState.EXECUTED, "OrderCancelled": OrderState.CANCELLED}


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """What is known of an order."""

    key: bytes
    state: OrderState
    reason: str = ""
    """Why it was frozen or cancelled: GMX's words, or the first bytes of the error."""
    tx_hash: str = ""
    block_number: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """An account's position in a market, in GMX's units; zero everywhere when there is none."""

    size_usd_raw: int
    """10^-30 dollars, at the prices it was entered at."""
    size_tokens: int
    """Smallest units of the index token."""
    collateral_raw: int

    @property
    def is_open(self) -> bool:
        return self.size_usd_raw > 0


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An event of one order, decoded."""

    name: str
    key: bytes
    account: Address
    reason: str
    log: Log


def decode_order_event(log: Log) -> OrderEvent | None:
    """Read a log of the EventEmitter; None when it is not about an order.

    Raises:
        InputError: It says it is, and cannot be read.
    """
    if len(log.topics) != 4 or log.topics[0] != EVENT_LOG_2.topic:
        return None
    _sender, name, _hash, key, account, data = EVENT_LOG_2.decode(log.topics, log.data)
    if not str(name).startswith("Order"):
        return None
    return OrderEvent(name, key, parse_address("0x" + account[-20:].hex()), _reason(data), log)


def created_order(logs: Iterable[Log], book: GmxBook, account: str) -> bytes:
    """Give the key of the order that a transaction of ours created.

    Raises:
        InvariantError: It created none, or several.
    """
    keys = [
        event.key
        for log in logs
        if log.address == book.event_emitter
        for event in (decode_order_event(log),)
        if event is not None and event.name == "OrderCreated" and event.account == account
    ]
    if len(keys) != 1:
        raise InvariantError(f"a transaction of {account} created {len(keys)} orders, expected one")
    return keys[0]


def refunded_wei(logs: Iterable[Log], book: GmxBook, account: str) -> int:
    """Coins that a keeper's transaction gave back to an account of what it had paid in advance.

    Coins move without a log of their own: the EventEmitter's is the only trace in a receipt.
    """
    receiver = bytes.fromhex(account[2:]).rjust(32, b"\0")
    total = 0
    for log in logs:
        if log.address != book.event_emitter or not log.topics or log.topics[0] != EVENT_LOG_1.topic:
            continue
        _sender, name, _hash, topic, data = EVENT_LOG_1.decode(log.topics, log.data)
        if name == "ExecutionFeeRefund" and topic == receiver:
            total += next(value for key, value in data[1][0] if key == "refundFeeAmount")
    return total


class GmxReader:
    """Asks one chain about orders and positions. Raises `VenueUnavailable` when no node answers."""

    def __init__(self, client: ChainClient, book: GmxBook) -> None:
        self._client = client
        self._book = book

    async def order(self, key: bytes, account: str, *, since_block: int) -> OrderStatus:
        """Say where an order stands.

        Args:
            key: As `created_order` gives it.
            account: Whose it is.
            since_block: The block that created it, or any before.
        """
        events = await self.events(account, since_block=since_block, key=key)
        last = events[-1] if events else None
        ended = next((event for event in reversed(events) if event.name in ENDS), None)
        if ended is not None:
            return self._status(ended, ENDS[ended.name])
        # Asked after the events: an order that ends in between is UNKNOWN now, and ended at the next look.
        holder = GET_ADDRESS.decode(await self._get(GET_ADDRESS, field_key(key, "ACCOUNT")))[0]
        if holder == _ZERO:
            return OrderStatus(key, OrderState.UNKNOWN)
        is_frozen = GET_BOOL.decode(await self._get(GET_BOOL, field_key(key, "IS_FROZEN")))[0]
        if last is None:
            return OrderStatus(key, OrderState.FROZEN if is_frozen else OrderState.OPEN)
        return self._status(last, OrderState.FROZEN if is_frozen else OrderState.OPEN)

    async def events(self, account: str, *, since_block: int, key: bytes | None = None) -> list[OrderEvent]:
        """Give the events of an account's orders since a block, in the order they came."""
        topics: list[Any] = [
            EVENT_LOG_2.topic,
            None,
            None if key is None else "0x" + key.hex(),
            "0x" + address_word(account).hex(),
        ]
        logs = await self._client.logs(addresses=[self._book.event_emitter], from_block=since_block, topics=topics)
        decoded = (decode_order_event(log) for log in logs)
        return [event for event in decoded if event is not None]

    async def position(self, account: str, market: GmxMarket, collateral: str, *, is_long: bool) -> Position:
        """Give a position's size and collateral."""
        key = position_key(account, market.address, collateral, is_long=is_long)
        fields = ("SIZE_IN_USD", "SIZE_IN_TOKENS", "COLLATERAL_AMOUNT")
        answers = [await self._get(GET_UINT, field_key(key, name)) for name in fields]
        return Position(*(GET_UINT.decode(answer)[0] for answer in answers))

    async def _get(self, getter: Any, key: bytes) -> bytes:
        return await self._client.call(self._book.data_store, getter.encode(key))

    def _status(self, event: OrderEvent, state: OrderState) -> OrderStatus:
        reason = event.reason if state in (OrderState.CANCELLED, OrderState.FROZEN) else ""
        return OrderStatus(event.key, state, reason, event.log.tx_hash, event.log.block_number)


def _reason(data: Any) -> str:
    """The text; of an error its name and values where we know it, else the four bytes that choose it."""
    *_others, byte_items, string_items = data
    text = next((value for name, value in string_items[0] if name == "reason"), "")
    raw = bytes(next((value for name, value in byte_items[0] if name == "reasonBytes"), b""))
    if text or not raw:
        return str(text)
    known = _ERRORS.get(raw[:4])
    return known.in_words(raw) if known is not None else f"error 0x{raw[:4].hex()}"


_ERRORS: Final = {
    kind.selector: kind
    for kind in (
        error("OrderNotFulfillableAtAcceptablePrice(uint256 price, uint256 acceptablePrice)"),
        error("EmptyPosition()"),
        error("InsufficientCollateralUsd(int256 remainingCollateralUsd)"),
        error("InsufficientCollateralAmount(uint256 collateralAmount, int256 collateralDeltaAmount)"),
        error("MinPositionSize(uint256 positionSizeInUsd, uint256 minPositionSizeUsd)"),
        error("LiquidatablePosition(string reason, int256 remainingCollateralUsd, int256 minCollateralUsd)"),
        error("InsufficientOutputAmount(uint256 outputAmount, uint256 minOutputAmount)"),
        error("MaxOpenInterestExceeded(uint256 openInterest, uint256 maxOpenInterest)"),
    )
}
