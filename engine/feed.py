"""What a running engine tells those who follow it: orders, trades, positions, books, results, as they change.

    step ──> Feed.on_step marks what changed ──> take() draws it, a few times a second ──> followers

State (`orders`, `positions`, `books`, `pnl`, `strategies`, `engine`) is told as its newest value by key, gone as None;
an order that ended is told once more before. Events (`fills`, `alerts`, public `trades`) are told each, numbered from 1
in this process. A snapshot is all state plus the newest events. Numbers are decimal text. It decides nothing.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from domain import Fill, Instrument, Order
from domain import events as e
from engine.accounts import InstrumentAccount
from engine.native import NativeKernel

EVENTS_KEPT: Final = 2_000
"""Newest events of a kind that a snapshot holds."""
LEVELS: Final = 20
DIFFERS_KEPT: Final = 50
_EVENTS: Final = ("fills", "alerts", "trades")
_RESULT_PLACES: Final = 4

Value = dict[str, Any]
Change = tuple[str, str, Value | None]
"""Topic, key, new value."""


class Feed:
    """Of one running engine. All calls on its event loop."""

    def __init__(self, kernel: NativeKernel) -> None:
        self.epoch = secrets.token_hex(8)
        """Of this process: numbers of events begin anew with another."""
        self._kernel = kernel
        self._orders: dict[str, None] = {}
        self._books: dict[str, None] = {}
        self._events: dict[str, deque[Value]] = {topic: deque(maxlen=EVENTS_KEPT) for topic in _EVENTS}
        self._numbers = dict.fromkeys(_EVENTS, 0)
        self._fresh: list[tuple[str, Value]] = []
        self._told: dict[tuple[str, str], Value] = {}
        self._differs: deque[Value] = deque(maxlen=DIFFERS_KEPT)
        self._moved: dict[str, None] = {}
        """Instruments whose price or position changed."""
        self._booked = kernel.trades_booked

    # --- the engine's side

    def on_step(self, event: e.Event, commands: Iterable[e.Command]) -> None:
        """Note what a step changed; cheap."""
        match event:
            case e.BookChanged(instrument=name) | e.BookInvalidated(instrument=name):
                self._books[name] = self._moved[name] = None
            case e.OrderReported(client_order_id=client_order_id):
                self._orders[client_order_id] = None
            case e.FillReported(fill=fill):
                self._orders[fill.client_order_id] = None
                self._note_fill(fill)
            case e.TradePrinted():
                self._note_trade(event)
            case e.EngineRestarted():
                # Everything before it was replayed, or belongs to the opening.
                self._orders |= dict.fromkeys(o.client_order_id for o in self._kernel.orders.open_orders())
                self._books |= dict.fromkeys(self._kernel.markets.books)
                self._moved |= dict.fromkeys(self._kernel.markets.instruments)
                self._booked = self._kernel.trades_booked
            case _:
                pass
        for command in commands:
            match command:
                case e.PlaceOrder(client_order_id=client_order_id) | e.CancelOrder(client_order_id=client_order_id):
                    self._orders[client_order_id] = None
                case e.RiskRejected() as refused:
                    detail = {"rule": refused.rule, "detail": refused.detail}
                    self._alert("info", "risk.rejected", refused.strategy, detail)
                case e.StageReached() as stage:
                    level = "critical" if stage.stage != "running" else "info"
                    self._alert(level, "engine.stage", stage.strategy, {"stage": stage.stage, "rule": stage.rule})
                case e.AccountDiffers() as differs:
                    detail = {"finding": differs.finding, "detail": differs.detail, "order": differs.client_order_id}
                    self._differs.append({"detail": detail, "time_ns": str(self._kernel.now_ns)})
                    self._alert("error", "account.differs", "", detail)
                case _:
                    pass

    # --- the followers' side

    def take(self) -> tuple[list[Change], list[tuple[str, Value]]]:
        """Give what changed since the last call: state, then events in their order. One caller shares it out."""
        changes: list[Change] = []
        for topic, key, value in self._changed():
            told = (topic, key)
            if value is None:
                if self._told.pop(told, None) is not None:
                    changes.append((topic, key, None))
            elif self._told.get(told) != value:
                self._told[told] = value
                changes.append((topic, key, value))
        fresh, self._fresh = self._fresh, []
        return changes, fresh

    def snapshot(self) -> Value:
        """Everything as it was last taken; what changed since comes with the next `take`."""
        state: dict[str, dict[str, Value]] = {}
        for (topic, key), value in self._told.items():
            state.setdefault(topic, {})[key] = value
        waiting = {id(value) for _, value in self._fresh}
        events = {topic: [v for v in values if id(v) not in waiting] for topic, values in self._events.items()}
        return {"epoch": self.epoch, "state": state, "events": events}

    def standing(self) -> Value:
        """How things stand with everything, small enough to be asked for every few seconds."""
        kernel = self._kernel
        told = {}
        for name in (strategy.id for strategy in kernel.strategies):
            stage, rule = kernel.stages.get(name, "running"), kernel.stage_rules.get(name)
            told[name] = {"stage": stage, "rule": rule or None, "result": self._pnl(name)["result"]}
        return {"stage": kernel.stage, "strategies": told, "differs": list(self._differs)}

    # --- parts

    def _changed(self) -> Iterable[Change]:
        kernel = self._kernel
        orders, self._orders = self._orders, {}
        for client_order_id in orders:
            order = kernel.orders.orders.get(client_order_id)
            if order is not None:
                yield "orders", client_order_id, self.order(order)
                if not order.state.is_open:
                    yield "orders", client_order_id, None
        books, self._books = self._books, {}
        for name in books:
            yield "books", name, self._book(name)
        moved, self._moved = self._moved, {}
        for strategy, account in kernel.accounts:
            if account.instrument.id not in moved:
                continue
            yield "positions", f"{strategy}/{account.instrument.id}", self._position(strategy, account)
        for strategy_id in (s.id for s in kernel.strategies):
            yield "pnl", strategy_id, self._pnl(strategy_id)
            open_orders = len(kernel.orders.open_orders(strategy_id))
            stage = kernel.stages.get(strategy_id, "running")
            shown = {"strategy": strategy_id, "stage": stage, "open_orders": open_orders}
            yield "strategies", strategy_id, shown
        yield "pnl", "", self._pnl(None)
        yield "engine", "", {"stage": kernel.stage, "halted": kernel.halted, "run": kernel.run}

    def order(self, order: Order) -> Value:
        """An order as it is told."""
        instrument = self._kernel.markets.instruments[order.instrument]
        return {
            "client_order_id": order.client_order_id,
            "strategy": order.strategy,
            "instrument": order.instrument,
            "side": order.side.value,
            "type": order.type.value,
            "time_in_force": order.time_in_force.value,
            "price": text(instrument.price(order.price_ticks)),
            "qty": text(instrument.qty(order.qty_lots)),
            "filled": text(instrument.qty(order.filled_lots)),
            "state": order.state.value,
            "reason": order.reason or None,
            "venue_order_id": order.venue_order_id or None,
            "sent_ns": str(order.sent_time_ns),
        }

    def _note_fill(self, fill: Fill) -> None:
        """Tell a trade that this step booked: not one told again, nor one of before the run."""
        if self._kernel.trades_booked == self._booked:
            return
        self._booked = self._kernel.trades_booked
        instrument = self._kernel.markets.instruments[f"{fill.venue}:{fill.symbol}"]
        self._moved[instrument.id] = None
        self._tell("fills", fill_value(fill, instrument, self._kernel.strategy_of(fill.client_order_id)))

    def _note_trade(self, event: e.TradePrinted) -> None:
        instrument = self._kernel.markets.instruments.get(event.instrument)
        if instrument is None:
            return
        value = {
            "instrument": instrument.id,
            "side": "sell" if event.is_buyer_maker else "buy",
            "price": text(instrument.price(event.price_ticks)),
            "qty": text(instrument.qty(event.qty_lots)),
            "time_ns": str(event.time_ns),
        }
        self._tell("trades", value)

    def _alert(self, level: str, kind: str, strategy: str, detail: Value) -> None:
        time_ns = str(self._kernel.now_ns)
        value = {"level": level, "kind": kind, "strategy": strategy or None, "detail": detail, "time_ns": time_ns}
        self._tell("alerts", value)

    def _tell(self, topic: str, value: Value) -> None:
        self._numbers[topic] += 1
        value["number"] = self._numbers[topic]
        self._events[topic].append(value)
        self._fresh.append((topic, value))

    def _book(self, name: str) -> Value:
        book = self._kernel.markets.books[name]
        if not book.valid:
            return {"instrument": name, "is_valid": False, "bids": [], "asks": []}
        instrument = book.instrument

        def levels(side: Iterable[tuple[int, int]]) -> list[list[str]]:
            return [[text(instrument.price(p)), text(instrument.qty(q))] for p, q in list(side)[:LEVELS]]

        return {"instrument": name, "is_valid": True, "bids": levels(book.bids), "asks": levels(book.asks)}

    def _position(self, strategy: str, account: InstrumentAccount) -> Value:
        instrument = account.instrument
        book = self._kernel.markets.books.get(instrument.id)
        mark = Fraction(book.bids[0][0] + book.asks[0][0], 2) if book is not None and book.valid else None
        average = account.average_price()
        fees = {asset: _raw_text(raw, instrument, asset) for asset, raw in account.fees.items()}
        return {
            "strategy": strategy,
            "instrument": instrument.id,
            "qty": text(instrument.qty(account.lots)),
            "average_price": None if average is None else text(average),
            "mark_price": None if mark is None else text(instrument.price(1) * mark.numerator / mark.denominator),
            "realised": text(account.realised_quote()),
            "unrealised": None if mark is None else text(account.unrealised_quote(mark)),
            "currency": instrument.quote.symbol,
            "fees": fees,
            "trades": account.trades,
        }

    def _pnl(self, strategy: str | None) -> Value:
        kernel = self._kernel
        priced = kernel.portfolio.is_priced(kernel.marks)
        result = text(Decimal(f"{kernel.result(strategy):.{_RESULT_PLACES}f}")) if priced else None
        return {"strategy": strategy, "result": result}


def fill_value(fill: Fill, instrument: Instrument, strategy: str) -> Value:
    """A trade as it is told and kept."""
    return {
        "strategy": strategy,
        "instrument": instrument.id,
        "trade_id": fill.trade_id,
        "client_order_id": fill.client_order_id,
        "venue_order_id": fill.venue_order_id or None,
        "side": fill.side.value,
        "price": text(instrument.price(fill.price_ticks)),
        "qty": text(instrument.qty(fill.qty_lots)),
        "quote": text(Decimal(fill.quote_raw) / instrument.quote.unit),
        "fee_asset": fill.fee_asset,
        "fee": _raw_text(fill.fee_raw, instrument, fill.fee_asset),
        "is_maker": fill.is_maker,
        "time_ns": str(fill.venue_time_ns),
    }


def text(value: Decimal) -> str:
    """Decimal text without an exponent or a trailing zero."""
    shown = f"{value:f}"
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown


def _raw_text(raw: int, instrument: Instrument, code: str) -> str:
    """An amount of one of a venue's assets, which all count in the same unit there."""
    known: Mapping[str, int] = {a.symbol: a.decimals for a in (instrument.base, instrument.quote)}
    return text(Decimal(raw).scaleb(-known.get(code, instrument.quote.decimals)))
