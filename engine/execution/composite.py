"""Orders made of orders: stop, trailing stop, OCO, OTO, bracket; held here, so they work at any venue.

    Single      one order: limit, maker or market                                     rests at the venue
    Stop        a trigger, then a Single                                              held here until it triggers
    Oco(a, b)   two ways to do one amount; at most one of them rests, a Stop cancels the other when it triggers
    Oto(a, b)   b does what a has done, as a is filled: an entry and its protection
    bracket     Oto(entry, Oco(target, Stop))

Every part works towards an amount that may rise (an entry fills on) or fall (the other way did a part of it). Before
one way takes over, the cancel of the other is awaited and its last trades are counted: both together never do more than
the amount. What is held here protects nothing while the engine is down; a restart's replay takes it up where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from engine.execution.leg import BUY, Leg
from engine.execution.saved import Saved
from engine.sdk import BookView, Context, EventView


class Part(Saved):
    """A part of a composite order. Sizes are lots, prices ticks."""

    @property
    def done(self) -> int:
        """Lots filled."""
        raise NotImplementedError

    @property
    def has_fired(self) -> bool:
        """It has begun to do what it is held for: a stop that triggered."""
        return False

    def legs(self) -> tuple[Leg, ...]:
        """Everything in it that has orders."""
        raise NotImplementedError

    def work(self, ctx: Context, book: BookView, lots: int) -> None:
        """Work towards `lots` filled in all, on a valid book."""
        raise NotImplementedError

    def withdraw(self, ctx: Context) -> bool:
        """Cancel what is open; return whether nothing is."""
        gone = [leg.withdraw(ctx) for leg in self.legs()]
        return all(gone)

    def begin(self, instrument: int) -> None:
        """Learn the instrument."""
        for leg in self.legs():
            leg.instrument = instrument


class Single(Part):
    """One order. Without a price it takes at once, no worse than `bound_ppm` beyond the touch, until it is done."""

    saved: ClassVar[tuple[str, ...]] = ("leg", "price")

    def __init__(self, side: int, *, bound_ppm: int, is_maker: bool = False) -> None:
        self.leg = Leg(side)
        self.price = 0
        """0: at the market."""
        self._bound_ppm, self._is_maker = bound_ppm, is_maker

    @property
    def done(self) -> int:
        return self.leg.done

    def legs(self) -> tuple[Leg, ...]:
        return (self.leg,)

    def work(self, ctx: Context, book: BookView, lots: int) -> None:
        left = lots - self.leg.done
        if self.price:
            self.leg.work(ctx, self.price, max(left, 0), order_type="limit_maker" if self._is_maker else "limit")
        else:
            self.leg.place(ctx, self._bound(book), left, order_type="market")

    def _bound(self, book: BookView) -> int:
        if self.leg.side == BUY:
            return book.ask + book.ask * self._bound_ppm // 1_000_000
        return max(1, book.bid - book.bid * self._bound_ppm // 1_000_000)


class Stop(Part):
    """An order that waits until the touch it would take reaches a price: bid for a sell, ask for a buy.

    Trailing, the price follows the best touch since it was first worked, `distance` behind.
    """

    saved: ClassVar[tuple[str, ...]] = ("then", "stop", "distance", "best", "is_triggered")

    def __init__(self, then: Single) -> None:
        self.then = then
        self.stop = 0
        """Where it triggers; a trailing one moves it."""
        self.distance = 0
        """Ticks behind the best touch; 0: it does not trail."""
        self.best = 0
        self.is_triggered = False

    @property
    def done(self) -> int:
        return self.then.done

    @property
    def has_fired(self) -> bool:
        return self.is_triggered

    def legs(self) -> tuple[Leg, ...]:
        return self.then.legs()

    def look(self, book: BookView) -> bool:
        """See the touch; return whether it has triggered, now or before."""
        if self.is_triggered:
            return True
        if self.then.leg.side == BUY:
            touch = book.ask
            if self.distance:
                self.best = min(self.best or touch, touch)
                self.stop = self.best + self.distance
            self.is_triggered = touch >= self.stop
        else:
            touch = book.bid
            if self.distance:
                self.best = max(self.best, touch)
                self.stop = self.best - self.distance
            self.is_triggered = touch <= self.stop
        return self.is_triggered

    def work(self, ctx: Context, book: BookView, lots: int) -> None:
        if lots > 0 and self.look(book):
            self.then.work(ctx, book, lots)


class Oco(Part):
    """One cancels the other. At most one of the two is an order that rests; what it does is not done by the other."""

    saved: ClassVar[tuple[str, ...]] = ("first", "second", "winner")

    def __init__(self, first: Part, second: Stop) -> None:
        self.first, self.second = first, second
        self.winner = 0
        """1 or 2: whose stop triggered."""

    @property
    def done(self) -> int:
        return self.first.done + self.second.done

    @property
    def has_fired(self) -> bool:
        return self.winner != 0

    def legs(self) -> tuple[Leg, ...]:
        return (*self.first.legs(), *self.second.legs())

    def work(self, ctx: Context, book: BookView, lots: int) -> None:
        if lots <= 0:
            return
        if not self.winner:
            for number, part in enumerate((self.first, self.second), 1):
                if not self.winner and isinstance(part, Stop) and part.look(book):
                    self.winner = number
        if not self.winner:
            self.first.work(ctx, book, lots)
        else:
            parts = (self.first, self.second)
            chosen, other = parts[self.winner - 1], parts[2 - self.winner]
            if other.withdraw(ctx):
                chosen.work(ctx, book, lots - other.done)


class Oto(Part):
    """One triggers the other: as the first is filled, the second works off as much. What is done is what is closed.

    Once the second has begun, no more of the first is wanted. An entry at the market is one order that trades: what it
    does not get is not entered.
    """

    saved: ClassVar[tuple[str, ...]] = ("first", "then", "given", "is_closing", "is_entered", "is_priced")

    def __init__(self, first: Single, then: Part, on_entered: Callable[[int], None] | None = None) -> None:
        """`on_entered` is told the entry's average price in ticks, once, to set the second's prices by."""
        self.first, self.then = first, then
        self.given = 0
        """What the second was told to work off: while the first goes on, what rests keeps its place in the queue."""
        self.is_closing = self.is_entered = False
        self.is_priced = on_entered is None
        self._on_entered = on_entered

    @property
    def done(self) -> int:
        return self.then.done

    @property
    def has_fired(self) -> bool:
        return self.is_closing

    def legs(self) -> tuple[Leg, ...]:
        return (*self.first.legs(), *self.then.legs())

    def work(self, ctx: Context, book: BookView, lots: int) -> None:
        entry = self.first.leg.open(ctx)
        if entry is not None and not self.first.price:
            return
        self.is_entered = self.is_entered or (not self.first.price and self.first.done > 0)
        self.is_closing = self.is_closing or self.then.has_fired or self.then.done > 0
        if not self.is_closing and not self.is_entered:
            self.first.work(ctx, book, lots)
        elif not self.first.withdraw(ctx) and self.then.has_fired:
            return  # A stop that takes would meet the entry that still rests.
        if self.first.done:
            if not self.is_priced and self._on_entered is not None:
                self._on_entered(self.first.leg.value // self.first.done)
                self.is_priced = True
            if entry is None or all(leg.open(ctx) is None for leg in self.then.legs()):
                self.given = self.first.done
            self.then.work(ctx, book, self.given)
            self.is_closing = self.is_closing or self.then.has_fired

    def is_over(self, lots: int) -> bool:
        """Whether nothing is left to be done: the entry ended, and what it did is closed."""
        entered = self.first.done
        return self.then.done == entered and (self.is_closing or self.is_entered or entered == lots)


class Composite(Saved):
    """A composite order with its amount, as a strategy owns it."""

    saved: ClassVar[tuple[str, ...]] = ("part", "lots", "begun_ns", "ended_ns", "expires_ns", "is_expired")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.lots = 0
        self.begun_ns = self.ended_ns = 0
        self.expires_ns = 0
        """When what has not begun is given up; 0: never. An entry's fills stay protected."""
        self.is_expired = False

    def begin(self, ctx: Context, instrument: int, lots: int, *, expires_ns: int = 0) -> None:
        """Begin now."""
        self.part.begin(instrument)
        self.lots, self.begun_ns, self.expires_ns = lots, ctx.now_ns, expires_ns

    @property
    def instrument(self) -> int:
        return self.part.legs()[0].instrument

    @property
    def is_done(self) -> bool:
        """Nothing will come any more."""
        return self.ended_ns != 0

    def advance(self, ctx: Context) -> None:
        """Do what is to be done now: call it on books, fills, reports and timers."""
        if self.is_done or not self.begun_ns or ctx.halted:
            return
        if ctx.stopping:
            self.part.withdraw(ctx)
            return
        book = ctx.book(self.instrument)
        if not book.is_valid:
            return
        self.is_expired = self.is_expired or 0 < self.expires_ns <= ctx.now_ns
        self.part.work(ctx, book, self._wanted())
        if self._is_over() and self.part.withdraw(ctx):
            self.ended_ns = ctx.now_ns

    def on_fill(self, event: EventView) -> bool:
        """Count a trade if it is one of its own; what comes of it is done on the next book, report or timer.

        So an order that trades with several levels at once is seen whole.
        """
        if any(leg.on_fill(event) for leg in self.part.legs()):
            self.ended_ns = 0  # A trade told after its order's end: an entry still has to be closed.
            return True
        return False

    def _wanted(self) -> int:
        part = self.part
        if not self.is_expired:
            return self.lots
        if isinstance(part, Oto):
            # No more than is entered: what rests of the entry goes, its protection stays.
            return part.first.done
        return self.lots if part.has_fired else part.done

    def _is_over(self) -> bool:
        part = self.part
        if isinstance(part, Oto):
            return part.is_over(part.first.done if self.is_expired else self.lots)
        return part.done >= self.lots or (self.is_expired and not part.has_fired)
