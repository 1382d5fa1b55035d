"""A parent order that keeps to a schedule: rests at the touch within a slice of time, crosses what a slice leaves.

    slice k:  t(k) ────────────── rest at the own touch ──────────────┬─ lead ─┬ t(k+1)
              up to S(t(k+1)) - done, moved when the touch moves away │  cross │
                                                                      │ S(t(k+1)) - done

So done is at least S(t(k)) and at most S(t(k+1)) at every instant of slice k: never ahead of the schedule by more than
a slice, never behind by more than one, as long as the book has what is to be crossed, the limit allows it, and cancels
and crossings come back within `lead`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from engine.execution.leg import BUY, Leg
from engine.execution.saved import Saved
from engine.execution.schedules import Schedule
from engine.execution.tally import Tally
from engine.sdk import BookView, Context, EventView, Trades

TIMER_TAG: Final = 7_701
"""What the timers of slices say; a strategy that owns a parent order calls `advance` on any timer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a parent order is worked. Sizes in lots, prices in ticks."""

    every_ns: int
    """A slice."""
    lead_ns: int
    """How long before a slice's end what it leaves is crossed."""
    reprice_ns: int
    """How long an order rests at least before it follows the touch."""
    cross_ppm: int
    """How far beyond the touch a crossing may execute, in millionths of the price."""
    is_passive: bool = True
    """Rest first; otherwise each slice is crossed at its beginning."""
    is_complete: bool = True
    """What is left at the end is crossed; otherwise it is left undone."""
    finish_ns: int = 60_000_000_000
    """How long after the end it is tried to cross the rest."""


class ParentOrder(Saved):
    """What every parent order has: an amount, what is done of it, when it began and how it ended."""

    saved: ClassVar[tuple[str, ...]] = (
        "instrument", "side", "total", "limit", "child_min", "child_max", "begun_ns", "ended_ns", "maker", "taker",
        "tally",
    )  # fmt: skip

    def __init__(self, side: int) -> None:
        self.instrument = 0
        self.side = side
        self.total = 0
        self.limit = 0
        """Ticks; 0: at any price."""
        self.child_min = 1
        self.child_max = 0
        """Lots of one child order; 0: any."""
        self.begun_ns = self.ended_ns = 0
        self.maker, self.taker = Leg(side), Leg(side)
        self.tally = Tally()

    def begin(self, ctx: Context, instrument: int, total: int, *, at_ns: int, limit: int = 0) -> None:
        """Begin at an instant; nothing happens before."""
        self.instrument = self.maker.instrument = self.taker.instrument = instrument
        self.total, self.limit, self.begun_ns = total, limit, at_ns
        if at_ns > ctx.now_ns:
            ctx.timer(at_ns, TIMER_TAG)

    @property
    def done(self) -> int:
        """Lots filled."""
        return self.maker.done + self.taker.done

    @property
    def is_done(self) -> bool:
        """Nothing will come any more: all is filled, or it was given up with nothing open."""
        return self.ended_ns != 0

    def advance(self, ctx: Context) -> None:
        """Do what is to be done now: call it on books, fills, reports, timers and trades."""
        if self.is_done or not self.begun_ns or ctx.now_ns < self.begun_ns:
            return
        book = ctx.book(self.instrument)
        self.tally.look(book)
        self.compare(ctx)
        if ctx.halted:
            return
        if self.done >= self.total or ctx.stopping or self.is_over(ctx):
            if self.withdraw(ctx):
                self.ended_ns = ctx.now_ns
            return
        if not book.is_valid:
            self.withdraw(ctx)
            return
        self.act(ctx, book)

    def act(self, ctx: Context, book: BookView) -> None:
        """Decide on a valid book, with something left to do."""
        raise NotImplementedError

    def is_over(self, ctx: Context) -> bool:
        """Whether what is left is given up."""
        return False

    def withdraw(self, ctx: Context) -> bool:
        """Cancel everything; return whether nothing is open."""
        return all([self.maker.withdraw(ctx), self.taker.withdraw(ctx)])

    def on_fill(self, ctx: Context, event: EventView) -> None:
        """Count a trade; others' are ignored."""
        self.compare(ctx)
        if self.maker.on_fill(event) or self.taker.on_fill(event):
            self.tally.add(event)
            self.compare(ctx)
            self.advance(ctx)

    def on_trades(self, ctx: Context, trades: Trades) -> None:
        """See the market's trades."""
        if self.begun_ns and not self.is_done and ctx.now_ns >= self.begun_ns:
            ours = trades["instrument"] == self.instrument
            self.follow(ctx, trades[ours & (trades["time_local_ns"] >= self.begun_ns)])

    def follow(self, ctx: Context, trades: Trades) -> None:
        """Count what the market traded in the instrument since the beginning."""
        self.tally.see(trades)

    def compare(self, ctx: Context) -> None:
        """Note how far what is done is from what should be."""

    def sized(self, wanted: int) -> int:
        """Return what an order may be of what is wanted: no more than a child, no less, and no dust left behind."""
        left = self.total - self.done
        lots = min(wanted, left)
        if self.child_max:
            lots = min(lots, self.child_max)
        if left - lots < self.child_min:
            lots = left if not self.child_max or left <= self.child_max + self.child_min else lots
        return lots if lots >= self.child_min or lots == left else 0

    def own_touch(self, book: BookView) -> int:
        """Where it may rest: the best of its own side, within the limit."""
        if self.side == BUY:
            return min(book.bid, self.limit) if self.limit else book.bid
        return max(book.ask, self.limit) if self.limit else book.ask

    def crossing(self, book: BookView, ppm: int) -> int:
        """The worst price it takes at: beyond the other touch, within the limit; 0 when the limit forbids the touch."""
        if self.side == BUY:
            far = book.ask + book.ask * ppm // 1_000_000
            return 0 if self.limit and self.limit < book.ask else min(far, self.limit or far)
        far = max(1, book.bid - book.bid * ppm // 1_000_000)
        return 0 if self.limit and self.limit > book.bid else max(far, self.limit)

    def rest(self, ctx: Context, price: int, wanted: int, *, reprice_ns: int) -> None:
        """Rest up to what is wanted; what rests well keeps its place in the queue."""
        order = self.maker.open(ctx)
        if order is None:
            self.maker.place(ctx, price, self.sized(wanted), order_type="limit_maker")
            return
        is_behind = order.price < price if self.side == BUY else order.price > price
        is_due = ctx.now_ns - self.maker.placed_ns >= reprice_ns
        is_too_much = order.size - order.filled > max(wanted, self.sized(wanted))
        if not order.is_cancelling and ((is_behind and is_due) or is_too_much):
            ctx.cancel(order.client_id)


class Paced(ParentOrder):
    """A parent order on a schedule of time. See the module."""

    saved: ClassVar[tuple[str, ...]] = (*ParentOrder.saved, "wake_ns")

    def __init__(self, side: int, schedule: Schedule, pace: Pace) -> None:
        super().__init__(side)
        self.schedule, self.pace = schedule, pace
        self.wake_ns = 0

    def bounds(self, ctx: Context) -> tuple[int, int]:
        """Return the lots that must be done by now, and those that may be."""
        after, every = ctx.now_ns - self.begun_ns, self.pace.every_ns
        must = self.schedule.by(self.total, (after + self.pace.lead_ns) // every * every)
        may = self.schedule.by(self.total, (after // every + 1) * every)
        return (must if self.pace.is_passive else may), may

    def slice_max(self) -> int:
        """Return the lots of the largest slice, by which deviations are bounded."""
        every, end = self.pace.every_ns, self.schedule.duration_ns
        by = [self.schedule.by(self.total, at) for at in range(0, end + every, every)]
        return max(after - before for before, after in pairwise(by))

    def compare(self, ctx: Context) -> None:
        if ctx.now_ns >= self.begun_ns:
            self.tally.deviate(self.done - self.schedule.by(self.total, ctx.now_ns - self.begun_ns))

    def is_over(self, ctx: Context) -> bool:
        end_ns = self.begun_ns + self.schedule.duration_ns
        return ctx.now_ns >= end_ns + (self.pace.finish_ns if self.pace.is_complete else 0)

    def act(self, ctx: Context, book: BookView) -> None:
        self._wake(ctx)
        must, may = self.bounds(ctx)
        if self.taker.open(ctx) is not None:
            return
        cross = self.crossing(book, self.pace.cross_ppm)
        if must > self.done and cross and self.sized(must - self.done):
            # What rests goes first: both together could do more than may be done.
            if self.maker.withdraw(ctx):
                self.taker.place(ctx, cross, self.sized(must - self.done), order_type="limit", time_in_force="ioc")
            return
        if self.pace.is_passive:
            self.rest(ctx, self.own_touch(book), may - self.done, reprice_ns=self.pace.reprice_ns)

    def _wake(self, ctx: Context) -> None:
        """Be called at the end of this slice, and before it when what it leaves is to be crossed."""
        if ctx.now_ns < self.wake_ns:
            return
        after, every, lead = ctx.now_ns - self.begun_ns, self.pace.every_ns, self.pace.lead_ns
        bounds = ((after // every + 1) * every, (after + lead) // every * every + every - lead)
        self.wake_ns = self.begun_ns + min(at for at in bounds if at > after)
        ctx.timer(self.wake_ns, TIMER_TAG)
