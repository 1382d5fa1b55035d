"""Events in words become the kernel's records.

    OrderReported(...)  ──>  64 bytes [+ payload, padded to whole records]

Books come as their best levels and become a whole snapshot: `CLEAR`, then the levels, the last one marked `LAST`. The
same event always becomes the same bytes: a journal of events in words replays to the same decisions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from domain import InputError, InvariantError, OrderState, Side
from domain import events as e
from engine.edge.numbers import Numbers, client_number, order_number, trade_number
from engine.edge.payloads import STATUSES, i128, pool_payload, settlement_payload
from engine.records import EventFlag, EventKind, OperatorCode, Reason, ReportState

SIZE: Final = 64
BUY, SELL, SIDE_NONE = 0, 1, 255
NO_INSTRUMENT: Final = (1 << 32) - 1
"""Of events that are about none, or about an order that names it."""
_RECORD: Final = struct.Struct("<qqIBBHqqQqq")
_OPERATOR: Final = {code.name.lower(): code for code in OperatorCode if code is not OperatorCode.PARAMETERS}
_STATES: Final = {
    OrderState.UNKNOWN: ReportState.LOST,
    OrderState.ACCEPTED: ReportState.ACCEPTED,
    OrderState.PARTIALLY_FILLED: ReportState.PARTIALLY_FILLED,
    OrderState.FILLED: ReportState.FILLED,
    OrderState.CANCELED: ReportState.CANCELED,
    OrderState.EXPIRED: ReportState.EXPIRED,
    OrderState.REJECTED: ReportState.REJECTED,
}


class Encoder:
    """Turns one run's events into records, by the run's numbers."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._encoders: dict[type, Callable[[Any], bytes]] = {
            e.BookChanged: self._book,
            e.BookInvalidated: self._stale,
            e.TradePrinted: self._trade,
            e.OrderReported: self._report,
            e.FillReported: self._fill,
            e.BalanceReported: self._balance,
            e.BlockSeen: self._block,
            e.PoolSnapshotted: self._pool,
            e.PoolSynced: self._pool,
            e.PoolBalancesSynced: self._pool,
            e.PoolSwapped: self._pool,
            e.PoolLiquidityChanged: self._pool,
            e.PoolInvalidated: self._pool,
            e.SwapSettled: self._settled,
            e.TimerFired: self._timer,
            e.OperatorSpoke: self._operator,
            e.ParametersChanged: self._spoken,
            e.StrategyJoined: self._spoken,
            e.LimitsChanged: self._spoken,
            e.OrderRequested: self._spoken,
            e.CancelRequested: self._spoken,
            e.EngineRestarted: self._restart,
            e.AccountAnswered: self._answered,
        }

    def records(self, event: e.Event) -> bytes:
        """Return the event's records; nothing when it is of no concern to this run's kernel.

        Raises:
            InvariantError: It names something of ours that is not configured.
            InputError: A number that does not fit.
        """
        encode = self._encoders.get(type(event))
        if encode is None:
            raise InvariantError(f"{type(event).__name__} has no record")
        try:
            return encode(event)
        except struct.error as exc:
            raise InputError(f"{type(event).__name__}: a number does not fit its record: {exc}") from exc

    # --- market data

    def _book(self, event: e.BookChanged) -> bytes:
        at = self._numbers.instrument_at.get(event.instrument)
        if at is None:
            return b""
        now, pack, snapshot = event.time_ns, _RECORD.pack, int(EventFlag.SNAPSHOT)
        levels = [(BUY, price, lots) for price, lots in event.bids]
        levels += [(SELL, price, lots) for price, lots in event.asks]
        last = len(levels)
        sequence = event.update_id if event.update_id > 0 else 0
        flags = snapshot if levels else snapshot | EventFlag.LAST
        parts = [pack(now, now, at, EventKind.CLEAR, SIDE_NONE, flags, 0, 0, sequence, 0, 0)]
        for number, (side, price, lots) in enumerate(levels, 1):
            flags = snapshot if number < last else snapshot | EventFlag.LAST
            parts.append(pack(now, now, at, EventKind.LEVEL, side, flags, price, lots, sequence, 0, 0))
        return b"".join(parts)

    def _stale(self, event: e.BookInvalidated) -> bytes:
        at = self._numbers.instrument_at.get(event.instrument)
        if at is None:
            return b""
        return _record(event, EventKind.STALE, instrument=at, flags=EventFlag.LAST, aux=(_STALE_OTHER, 0))

    def _trade(self, event: e.TradePrinted) -> bytes:
        at = self._numbers.instrument_at.get(event.instrument)
        if at is None:
            return b""
        side = SELL if event.is_buyer_maker else BUY
        price, size = event.price_ticks, event.qty_lots
        return _record(event, EventKind.TRADE, instrument=at, side=side, flags=EventFlag.LAST, price=price, size=size)

    # --- our orders

    def _report(self, event: e.OrderReported) -> bytes:
        state = _STATES.get(event.state)
        if state is None:
            raise InvariantError(f"order {event.client_order_id}: no venue says {event.state}")
        reason = Reason.OTHER if event.reason else Reason.NONE
        return _record(
            event,
            EventKind.REPORT,
            instrument=NO_INSTRUMENT,
            flags=EventFlag.ASKED if event.asked else 0,
            price=int(state) | int(reason) << 16,
            size=-1 if event.filled_lots is None else event.filled_lots,
            sequence=order_number(event.venue_order_id),
            aux=(_signed(client_number(event.client_order_id)), 0),
        )

    def _fill(self, event: e.FillReported) -> bytes:
        fill = event.fill
        name = f"{fill.venue}:{fill.symbol}"
        at = self._numbers.instrument_at.get(name)
        if at is None:
            raise InvariantError(f"fill {fill.trade_id} of {name}, which is not configured")
        instrument = self._numbers.instruments[at]
        flags = EventFlag.MAKER if fill.is_maker else EventFlag(0)
        flags |= EventFlag.ASKED if event.asked else EventFlag(0)
        if fill.fee_asset == instrument.base.symbol:
            flags |= EventFlag.FEE_BASE
        elif fill.fee_asset != instrument.quote.symbol:
            flags |= EventFlag.FEE_OTHER
        return _record(
            event,
            EventKind.FILL,
            instrument=at,
            side=BUY if fill.side is Side.BUY else SELL,
            flags=flags,
            price=fill.price_ticks,
            size=fill.qty_lots,
            sequence=trade_number(fill.trade_id),
            aux=(_signed(client_number(fill.client_order_id)), fill.fee_raw),
            exchange_ns=fill.venue_time_ns,
        )

    def _answered(self, event: e.AccountAnswered) -> bytes:
        at = self._numbers.venues.index(event.venue)
        return _record(event, EventKind.RECONCILE, instrument=at, aux=(int(event.is_end), event.asked_ns))

    def _balance(self, event: e.BalanceReported) -> bytes:
        at = self._numbers.asset_at.get(event.asset)
        if at is None:
            return b""  # Something else that the account holds.
        payload = i128(int(event.raw))
        return _with_payload(event, EventKind.BALANCE, payload, aux0=at)

    # --- chain

    def _block(self, event: e.BlockSeen) -> bytes:
        return _record(event, EventKind.BLOCK, sequence=event.number, aux=(event.block_time_s, event.base_fee_wei))

    def _pool(self, event: e.PoolEvent) -> bytes:
        at = self._numbers.pool_at.get(event.pool)
        if at is None:
            return b""
        block = 0 if isinstance(event, e.PoolInvalidated) else event.block_number
        return _with_payload(event, EventKind.POOL, pool_payload(event), instrument=at, sequence=block)

    def _settled(self, event: e.SwapSettled) -> bytes:
        number = _signed(client_number(event.intent_id))
        payload = settlement_payload(event)
        status = STATUSES[event.status]
        return _with_payload(event, EventKind.SETTLED, payload, aux0=number, sequence=event.block_number, price=status)

    # --- time and people

    def _timer(self, event: e.TimerFired) -> bytes:
        return _record(event, EventKind.TIMER, side=event.strategy, aux=(event.tag, 0))

    def _operator(self, event: e.OperatorSpoke) -> bytes:
        code = _OPERATOR.get(event.command)
        if code is None:
            raise InvariantError(f"no operator says {event.command!r}")
        place = self._numbers.strategies.index(event.strategy) + 1 if event.strategy else 0
        return _record(event, EventKind.OPERATOR, price=place, aux=(code, event.stage))

    def _spoken(self, event: e.Event) -> bytes:
        # The kernel only learns that somebody spoke: what was said is told to it by its owner.
        return _record(event, EventKind.OPERATOR, aux=(OperatorCode.PARAMETERS, 0))

    def _restart(self, event: e.EngineRestarted) -> bytes:
        return _record(event, EventKind.RESTART, aux=(event.epoch, 0))


_STALE_OTHER: Final = 6
"""`Staleness::Other` of native/engine/src/book.rs: the reason is in words, in the journal."""


def _record(
    event: e.Event,
    kind: EventKind,
    *,
    instrument: int = 0,
    side: int = SIDE_NONE,
    flags: int = 0,
    price: int = 0,
    size: int = 0,
    sequence: int = 0,
    aux: tuple[int, int] = (0, 0),
    exchange_ns: int = 0,
) -> bytes:
    time_ns = exchange_ns or event.time_ns
    return _RECORD.pack(time_ns, event.time_ns, instrument, kind, side, flags, price, size, sequence, *aux)


def _with_payload(
    event: e.Event,
    kind: EventKind,
    payload: bytes,
    *,
    aux0: int = 0,
    instrument: int = 0,
    sequence: int = 0,
    price: int = 0,
) -> bytes:
    record = _record(
        event,
        kind,
        instrument=instrument,
        flags=EventFlag.PAYLOAD,
        price=price,
        sequence=sequence,
        aux=(aux0, len(payload)),
    )
    return record + payload + bytes(-len(payload) % SIZE)


def _signed(number: int) -> int:
    """The same 64 bits as a signed number."""
    return number - (1 << 64) if number >> 63 else number
