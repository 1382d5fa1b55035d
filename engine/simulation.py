"""Execution without a venue: for paper trading on live data and for replays that decide execution anew.

Exchanges are the native simulator of backtests (docs/simulation.md), one for each venue, driven event by event; this
module only translates. The venue's time is when its events reach us. Swaps execute at the next block against the
replica: exact output, or a revert below the minimum; the pool does not move, because the recorded or live pool is not
ours to move.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, NamedTuple

import capstan_native as native

from domain import Fill, InputError, Instrument, OrderState, OrderType, Refused, Side, TimeInForce
from domain import events as e
from engine.market import Levels, Markets
from engine.records import CommandKind, EventFlag, EventKind, Reason, ReportState

SIMULATED_GAS_UNITS = 150_000
_EVENT: Final = struct.Struct("<qqIBBHqqQqq")
_COMMAND: Final = struct.Struct("<QqqqIBBBBBBBBIqq")
_SIDES: Final = {Side.BUY: 0, Side.SELL: 1}
_TYPES: Final = {OrderType.LIMIT: 0, OrderType.LIMIT_MAKER: 1, OrderType.MARKET: 2}
_TIMES: Final = {TimeInForce.GTC: 0, TimeInForce.IOC: 1, TimeInForce.FOK: 2}
_STATES: Final = {
    ReportState.ACCEPTED: OrderState.ACCEPTED,
    ReportState.PARTIALLY_FILLED: OrderState.PARTIALLY_FILLED,
    ReportState.FILLED: OrderState.FILLED,
    ReportState.CANCELED: OrderState.CANCELED,
    ReportState.EXPIRED: OrderState.EXPIRED,
    ReportState.REJECTED: OrderState.REJECTED,
    # It was never placed, or by a process whose simulator is gone: it will not trade any more.
    ReportState.UNKNOWN: OrderState.REJECTED,
}


class _Told(NamedTuple):
    """One record of the simulator."""

    time_exchange_ns: int
    time_local_ns: int
    instrument: int
    kind: int
    side: int
    flags: int
    price: int
    size: int
    sequence: int
    aux0: int
    aux1: int


class Simulator:
    """Answers commands with the events a venue and custody would send. Pure: time comes with the events."""

    def __init__(self, markets: Markets, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Begin with the books as they stand.

        Args:
            markets: Instruments, books and pools of the run.
            settings: By venue, as `capstan_native.SimulatedVenue` reads them; what is left out is a venue that answers
                at once, with the instruments' own fees, taken from what a trade brings.

        Raises:
            InputError: A setting is wrong, or an instrument's amounts are finer than its assets' units.
        """
        self._markets = markets
        self._instruments = list(markets.instruments.values())
        self._at = {instrument.id: at for at, instrument in enumerate(self._instruments)}
        self._venues: dict[str, native.SimulatedVenue] = {}
        names = list(dict.fromkeys(str(i.venue) for i in self._instruments))
        rows = [_row(i, names.index(str(i.venue))) for i in self._instruments]
        for at, name in enumerate(names):
            chosen = {"fees": {"asset": "received"}, **(settings or {}).get(name, {}), "venue": at}
            try:
                self._venues[name] = native.SimulatedVenue(chosen, rows)
            except ValueError as exc:
                raise InputError(f"{name} cannot be simulated: {exc}") from exc
        self._shown: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        self._ids: dict[str, int] = {}
        self._names: list[str] = [""]
        self._trades: dict[str, int] = {}
        self._swaps: list[e.SubmitSwap] = []
        for name, book in markets.books.items():
            self._show(name, book.bids, book.asks, book.changed_ns)

    def on_command(self, command: e.Command, now_ns: int) -> list[e.Event]:
        """What the world answers to a command by now."""
        match command:
            case e.PlaceOrder():
                self._venue(command.instrument).submit(self._place(command, now_ns), now_ns)
            case e.CancelOrder():
                record = self._about(CommandKind.CANCEL, command.client_order_id, command.instrument, now_ns)
                self._venue(command.instrument).submit(record, now_ns)
            case e.AskOrder():
                record = self._about(CommandKind.ASK, command.client_order_id, command.instrument, now_ns)
                self._venue(command.instrument).submit(record, now_ns)
            case e.CancelAllOrders() if command.venue in self._venues:
                record = _COMMAND.pack(0, now_ns, 0, 0, 0, CommandKind.CANCEL_ALL, *(0,) * 10)
                self._venues[command.venue].submit(record, now_ns)
            case e.SubmitSwap():
                self._swaps.append(command)
        return list(self._answers(now_ns))

    def on_market(self, event: e.Event) -> list[e.Event]:
        """What an event does to what rests: call after the kernel's books took it."""
        told: list[e.Event] = []
        match event:
            case e.BookChanged() if event.instrument in self._at:
                self._show(event.instrument, event.bids, event.asks, event.time_ns)
            case e.TradePrinted() if event.instrument in self._at:
                side = Side.SELL if event.is_buyer_maker else Side.BUY
                record = self._record(EventKind.TRADE, event.instrument, side, event.price_ticks, event.qty_lots, event)
                self._venue(event.instrument).feed(record)
            case e.BlockSeen():
                told += self._settle(event)
        return [*told, *self._answers(event.time_ns)]

    # --- words to records

    def _venue(self, instrument: str) -> native.SimulatedVenue:
        return self._venues[str(self._markets.instruments[instrument].venue)]

    def _number(self, order_id: str) -> int:
        """An order's number at the simulator; names may be of any make."""
        if order_id not in self._ids:
            self._ids[order_id] = len(self._names)
            self._names.append(order_id)
        return self._ids[order_id]

    def _place(self, order: e.PlaceOrder, now_ns: int) -> bytes:
        words = _SIDES[order.side], _TYPES[order.type], _TIMES[order.time_in_force]
        kinds = (CommandKind.PLACE, *words, 0, 0, 0, int(order.reduce_only))
        number, at = self._number(order.client_order_id), self._at[order.instrument]
        return _COMMAND.pack(number, now_ns, order.price_ticks, order.qty_lots, at, *kinds, 0, 0, 0)

    def _about(self, kind: CommandKind, order_id: str, instrument: str, now_ns: int) -> bytes:
        return _COMMAND.pack(self._number(order_id), now_ns, 0, 0, self._at[instrument], kind, *(0,) * 10)

    def _record(self, kind: EventKind, instrument: str, side: Side, price: int, lots: int, event: e.Event) -> bytes:
        now_ns = event.time_ns
        at, flags = self._at[instrument], int(EventFlag.LAST)
        return _EVENT.pack(now_ns, now_ns, at, kind, _SIDES[side], flags, price, lots, 0, 0, 0)

    def _show(self, instrument: str, bids: Levels, asks: Levels, now_ns: int) -> None:
        """Tell the levels that changed. Only the best ones are shown: what lies beyond the last need not be gone."""
        shown = self._shown.setdefault(instrument, ({}, {}))
        at, flags, changes = self._at[instrument], int(EventFlag.LAST), []
        for side, (known, levels) in enumerate(zip(shown, (bids, asks), strict=True)):
            now = dict(levels)
            sign = 1 if side == 0 else -1
            last = min((price * sign for price in now), default=None)
            gone = [price for price in known if price not in now and (last is None or price * sign > last)]
            told = [(price, 0) for price in gone]
            told += [(price, lots) for price, lots in levels if known.get(price) != lots]
            changes += [
                _EVENT.pack(now_ns, now_ns, at, EventKind.LEVEL, side, flags, *level, 0, 0, 0) for level in told
            ]
            for price in gone:
                del known[price]
            known.update(now)
        if changes:
            self._venue(instrument).feed(b"".join(changes))

    # --- records to words

    def _answers(self, now_ns: int) -> Iterator[e.Event]:
        for venue in self._venues.values():
            venue.advance(now_ns)
            records = venue.reports(now_ns)
            at = 0
            while at < len(records):
                told = _Told._make(_EVENT.unpack_from(records, at))
                at += _EVENT.size * (2 if told.flags & EventFlag.PAYLOAD else 1)  # Terms fit one record.
                if told.kind == EventKind.FILL:
                    yield self._fill(told)
                elif told.kind == EventKind.REPORT and not _is_moot(told):
                    yield self._report(told)

    def _report(self, told: _Told) -> e.OrderReported:
        state, reason = ReportState(told.price & 255), Reason(told.price >> 16)
        words = "" if reason is Reason.NONE else reason.name.lower().replace("_", " ")
        return e.OrderReported(
            time_ns=told.time_local_ns,
            client_order_id=self._names[told.aux0],
            state=_STATES[state],
            reason="unknown to the venue" if state is ReportState.UNKNOWN else words,
            asked=bool(told.flags & EventFlag.ASKED),
        )

    def _fill(self, told: _Told) -> e.FillReported:
        instrument, order_id = self._instruments[told.instrument], self._names[told.aux0]
        # Numbered within its order: order ids are never given twice, so neither are these, over restarts too.
        self._trades[order_id] = number = self._trades.get(order_id, 0) + 1
        fee_asset = instrument.base if told.flags & EventFlag.FEE_BASE else instrument.quote
        fill = Fill(
            venue=str(instrument.venue),
            symbol=instrument.symbol,
            trade_id=f"sim-{order_id}-{number}",
            client_order_id=order_id,
            venue_order_id=f"sim-{order_id}",
            side=Side.SELL if told.side else Side.BUY,
            price_ticks=told.price,
            qty_lots=told.size,
            quote_raw=int(instrument.notional(told.price, told.size) * instrument.quote.unit),
            fee_asset=fee_asset.symbol,
            fee_raw=told.aux1,
            is_maker=bool(told.flags & EventFlag.MAKER),
            venue_time_ns=told.time_exchange_ns,
        )
        return e.FillReported(time_ns=told.time_local_ns, fill=fill)

    # --- pools

    def _settle(self, block: e.BlockSeen) -> Iterator[e.Event]:
        due, self._swaps = self._swaps, []
        gas = str(SIMULATED_GAS_UNITS * block.base_fee_wei)
        for swap in due:
            pool = self._markets.pools[swap.pool]
            try:
                out = pool.replica.quote_exact_in_down(swap.token_in, int(swap.amount_in))
            except Refused as exc:
                yield e.SwapSettled(time_ns=block.time_ns, intent_id=swap.intent_id, status="refused", reason=exc.rule)
                continue
            good = out >= int(swap.min_amount_out) and block.block_time_s <= swap.deadline_s
            yield e.SwapSettled(
                time_ns=block.time_ns,
                intent_id=swap.intent_id,
                status="mined" if good else "failed",
                amount_in=swap.amount_in if good else "0",
                amount_out=str(out) if good else "0",
                gas_cost_wei=gas,
                block_number=block.number,
                reason="" if good else "reverted",
            )


def _is_moot(told: _Told) -> bool:
    """Whether it says only that a cancel came too late: the order's end was told, or is asked for."""
    return told.price >> 8 & 255 == CommandKind.CANCEL and told.price >> 16 == Reason.UNKNOWN_ORDER


def _row(instrument: Instrument, venue: int) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "venue": venue,
        "contract": "spot",
        "tick": format(instrument.tick_size, "f"),
        "lot": format(instrument.lot_size, "f"),
        "notional_min": int(instrument.min_notional * instrument.quote.unit),
        "maker_fee": _rate(instrument.maker_fee_bps),
        "taker_fee": _rate(instrument.taker_fee_bps),
        "base_decimals": instrument.base.decimals,
        "quote_decimals": instrument.quote.decimals,
    }


def _rate(bps: Decimal) -> int:
    """Basis points in 1e-8, up."""
    return int((bps * 10_000).to_integral_value(ROUND_CEILING))
