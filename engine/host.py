"""Strategies in Python on the native kernel, in the shell's process: who is told what.

The kernel says who is to be woken; the event in words says which callback it is. What strategies ask for goes into the
kernel at once. See `engine.sdk` for what they may see and do, `engine.live_context` for how.
"""

from __future__ import annotations

from typing import Final

from domain import InputError, InvariantError, Side
from domain import events as e
from engine.edge import Numbers, client_number
from engine.edge.payloads import STATUSES
from engine.live_context import TRADES_MAX, LiveContext, Told
from engine.records import EventFlag, EventKind
from engine.sdk import Strategy, builds_bars, callbacks
from engine.sdk.time_bars import TimeBar, TimeBars
from engine.strategies.base import CatalogSettings, CatalogStrategy
from engine.strategies.client_orders import ClientOrders

_SIDE_NONE: Final = 255


class Host:
    """One strategy: told what concerns it, in the order in which things happen.

    Raises:
        InputError: It waits for what this shell has not: single records.
    """

    def __init__(self, place: int, strategy: Strategy, context: LiveContext, numbers: Numbers) -> None:
        wanted = strategy.instruments or tuple(numbers.instrument_at)
        told = callbacks(strategy)
        if "on_event" in told:
            raise InputError(
                f"strategy {strategy.id} waits for on_event, which comes in backtests only",
                hint="live, books come whole: decide in on_book, on_trades, on_bar or on_timer",
            )
        if "on_bar" in told and not builds_bars(strategy):
            raise InputError(
                f"strategy {strategy.id} waits for bars and does not say of what time",
                hint="set bar_interval_ns: live, bars are built from public trades",
            )
        self.strategy = strategy
        self._place, self._context, self._numbers = place, context, numbers
        self._wanted = frozenset(wanted)
        self._next_book_ns: dict[str, int] = {}
        self._next_trades_ns = 0
        self._has_trades = "on_trades" in told
        # By place, as the native kernel tells them.
        places = sorted(numbers.instrument_at[name] for name in self._wanted)
        self._bars = {at: TimeBars(strategy.bar_interval_ns) for at in places} if builds_bars(strategy) else {}
        self._is_started = self._is_stopped = False

    def tell(self, event: e.Event) -> None:
        """Tell what the kernel woke it for."""
        strategy, context = self.strategy, self._context
        self._start()
        if self._bars:
            self._tell_bars(event)
        if not self._tell_of_ours(event):
            self._tell_of_the_market(event)
        if context.stopping and not self._is_stopped:
            strategy.on_stop(context)
        self._is_stopped = context.stopping

    def _tell_of_ours(self, event: e.Event) -> bool:
        """Tell what became of orders and swaps; say whether it was that."""
        strategy, context = self.strategy, self._context
        match event:
            case e.FillReported():
                strategy.on_fill(context, self._fill(event))
            case e.OrderReported():
                strategy.on_order(context, Told(event.time_ns, client_id=client_number(event.client_order_id)))
            case e.AccountAnswered():
                strategy.on_order(context, Told(event.time_ns))
            case e.SwapSettled():
                strategy.on_settled(context, self._settled(event))
            case _:
                return False
        return True

    def _tell_of_the_market(self, event: e.Event) -> None:
        """Tell what is new in the market and on the clock."""
        strategy, context = self.strategy, self._context
        match event:
            case e.BookChanged(instrument=name) | e.BookInvalidated(instrument=name):
                if name in self._wanted and self._is_due(name, event):
                    strategy.on_book(context, context.book(self._numbers.instrument_at[name]))
            case e.TradePrinted(instrument=name):
                if self._has_trades and name in self._wanted:
                    self._take_trade(event)
            case e.TimerFired():
                if event.tag == 0 or event.strategy == self._place:
                    strategy.on_timer(context, Told(event.time_ns, aux0=event.tag))
            case e.BlockSeen() | e.PoolSwapped() | e.PoolSynced() | e.PoolLiquidityChanged() | e.PoolSnapshotted():
                strategy.on_block(context, Told(event.time_ns))
            case _:
                pass

    def request(self, event: e.OrderRequested) -> int | None:
        """Have a client's order placed; give its number, or None where it was refused."""
        strategy = self.strategy
        if not isinstance(strategy, ClientOrders):
            raise InvariantError(f"strategy {strategy.id} takes no orders from outside")
        self._start()
        return strategy.on_request(self._context, event)

    def cancel(self, number: int) -> None:
        """Have an order of its own cancelled, where it is still open."""
        if self._context.is_open(number):
            self._context.cancel(number)

    def reconfigure(self, settings: CatalogSettings) -> None:
        """Give the strategy new parameters.

        Raises:
            InputError: It is none of the catalog, or refuses them. It keeps the old ones then.
        """
        strategy = self.strategy
        if not isinstance(strategy, CatalogStrategy):
            raise InputError(f"strategy {strategy.id} is none of the catalog: its parameters are fixed")
        self._start()
        old = strategy.settings
        if old.pool_names():
            # Found by their names when the run began; names are fixed.
            settings = settings.with_pools(old.pool_names())
        try:
            strategy.reconfigure(self._context, settings)
        except Exception as exc:  # Whatever its code raises: the journal has the event, and every replay raises it too.
            strategy.settings = old
            raise InputError(f"strategy {strategy.id} keeps its parameters: {type(exc).__name__}: {exc}") from exc

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self.strategy.on_start(self._context)

    def restarted(self, now_ns: int) -> None:
        """Another process goes on from here."""
        for bars in self._bars.values():
            bars.resume(now_ns)

    def _tell_bars(self, event: e.Event) -> None:
        """Tell the bars that are over at a trade or a tick, then build on with the trade."""
        if not isinstance(event, e.TradePrinted | e.TimerFired):
            return
        for at, bars in self._bars.items():
            for bar in bars.over(event.time_ns):
                self.strategy.on_bar(self._context, _told_bar(bar, at, event.time_ns))
        if isinstance(event, e.TradePrinted):
            found = self._bars.get(self._numbers.instrument_at[event.instrument])
            if found is not None:
                found.trade(event.time_ns, event.price_ticks, event.qty_lots)

    def _take_trade(self, event: e.TradePrinted) -> None:
        """Keep a trade; tell all that wait at the first of an interval, as the native kernel does."""
        waiting = self._context.waiting
        waiting.take(event, self._numbers.instrument_at[event.instrument])
        is_due = event.time_ns >= self._next_trades_ns
        every_ns = self.strategy.trades_interval_ns
        # Full, the native kernel does not ask its interval.
        if waiting.count < TRADES_MAX:
            if not is_due:
                return
            if every_ns > 0:
                self._next_trades_ns = (event.time_ns // every_ns + 1) * every_ns
        self.strategy.on_trades(self._context, waiting.seen())
        waiting.count = 0

    def _is_due(self, name: str, event: e.BookChanged | e.BookInvalidated) -> bool:
        """Whether a book is the first of its interval, by the clock of `Interval` in Rust; a stale one always is."""
        if isinstance(event, e.BookInvalidated):
            return True
        every_ns = self.strategy.book_interval_ns
        if event.time_ns < self._next_book_ns.get(name, event.time_ns):
            return False
        if every_ns > 0:
            self._next_book_ns[name] = (event.time_ns // every_ns + 1) * every_ns
        return True

    def _fill(self, event: e.FillReported) -> Told:
        fill = event.fill
        at = self._numbers.instrument_at[f"{fill.venue}:{fill.symbol}"]
        is_in_base = fill.fee_asset == self._numbers.instruments[at].base.symbol
        return Told(
            event.time_ns,
            time_exchange_ns=fill.venue_time_ns,
            instrument=at,
            side=0 if fill.side is Side.BUY else 1,
            flags=int(EventFlag.FEE_BASE) if is_in_base else 0,
            price=fill.price_ticks,
            size=fill.qty_lots,
            aux1=fill.fee_raw,
            client_id=client_number(fill.client_order_id),
            is_maker=fill.is_maker,
        )

    @staticmethod
    def _settled(event: e.SwapSettled) -> Told:
        return Told(
            event.time_ns,
            client_id=client_number(event.intent_id),
            price=STATUSES[event.status],
            sequence=event.block_number,
        )


def _told_bar(bar: TimeBar, instrument: int, now_ns: int) -> Told:
    return Told(
        now_ns,
        time_exchange_ns=bar.end_ns,
        instrument=instrument,
        kind=int(EventKind.BAR),
        side=_SIDE_NONE,
        flags=int(EventFlag.LAST),
        price=bar.close,
        size=bar.size,
        sequence=bar.low,
        aux0=bar.open,
        aux1=bar.high,
    )
