"""Prefix sums over a V3 pool's price range, in one direction of travel.

The contract swaps in steps: from the price to the next boundary, and on. Boundaries are the initialised ticks and the
edges of the 256-tick words of its bitmap, because it rounds at those too. How much a whole step takes in and gives out
does not depend on where the price stands, so both are summed once, from boundary to boundary, as far as quotes have
needed so far. A quote is then a bisection and one partial step, however many ticks it crosses; a swap only moves the
entry point; a mint or burn cuts the ladder where its range begins.

Ladders are forked with the pool they belong to: forks share the sums, which only grow, until one of them must change
what is there already; that one takes a copy.

A whole step happens exactly when the remaining input covers the step's input and fee, since
floor(r * (1e6 - f) / 1e6) >= a  <=>  r >= a + ceil(a * f / (1e6 - f)).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from dex.replicas.swap_math import amount0_down, amount0_up, amount1_down, amount1_up, with_fee_up
from dex.replicas.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, sqrt_price_at


class TickTable:
    """The initialised ticks of a pool: net liquidity (added when crossed upwards) and gross, by tick."""

    def __init__(self, spacing: int) -> None:
        self.spacing = spacing
        self.net: dict[int, int] = {}
        self.gross: dict[int, int] = {}
        self.ordered: list[int] = []

    def copy(self) -> TickTable:
        """Give a table of its own with the same ticks."""
        other = TickTable(self.spacing)
        other.net, other.gross, other.ordered = self.net.copy(), self.gross.copy(), self.ordered.copy()
        return other

    def change(self, tick: int, net_delta: int, gross_delta: int) -> bool:
        """Apply one end of a mint or burn; return False when the gross would fall below zero."""
        gross = self.gross.get(tick, 0) + gross_delta
        if gross < 0:
            return False
        if gross == 0:
            if tick in self.gross:
                del self.gross[tick], self.net[tick]
                del self.ordered[bisect_left(self.ordered, tick)]
            return True
        if tick not in self.gross:
            self.ordered.insert(bisect_left(self.ordered, tick), tick)
        self.gross[tick] = gross
        self.net[tick] = self.net.get(tick, 0) + net_delta
        return True

    def above(self, tick: int) -> int:
        """Next boundary above a tick, at most MAX_TICK."""
        word_last = ((tick // self.spacing + 1) | 255) * self.spacing
        i = bisect_right(self.ordered, tick)
        initialised = self.ordered[i] if i < len(self.ordered) else MAX_TICK
        return min(word_last, initialised, MAX_TICK)

    def at_or_below(self, tick: int) -> int:
        """Next boundary at or below a tick, at least MIN_TICK."""
        word_first = (tick // self.spacing & ~255) * self.spacing
        i = bisect_right(self.ordered, tick)
        initialised = self.ordered[i - 1] if i else MIN_TICK
        return max(word_first, initialised, MIN_TICK)

    def liquidity_at(self, tick: int) -> int:
        """Liquidity in force at a tick: the nets of all ticks up to it."""
        return sum(self.net[t] for t in self.ordered[: bisect_right(self.ordered, tick)])


class Ladder:
    """Boundaries ahead of the price with running sums of what whole steps take in (fee included) and give out.

    `keys` ascend in the direction of travel: ticks going up, negated ticks going down. Sums are relative to boundary 0.
    """

    __slots__ = (
        "_is_shared",
        "_table",
        "entry",
        "fee_pips",
        "first_in",
        "first_out",
        "is_anchored",
        "is_up",
        "keys",
        "liquidity",
        "prices",
        "sums_in",
        "sums_out",
    )

    def __init__(self, table: TickTable, fee_pips: int, *, is_up: bool) -> None:
        self._table = table
        self.fee_pips = fee_pips
        self.is_up = is_up
        self.keys: list[int] = []
        self.prices: list[int] = []
        self.liquidity: list[int] = []
        """Beyond each boundary."""
        self.sums_in: list[int] = []
        self.sums_out: list[int] = []
        self._is_shared = False
        self.is_anchored = False
        self.entry = 0
        """Index of the first boundary ahead of the price."""
        self.first_in = 0
        self.first_out = 0
        """Whole step from the price to that boundary."""

    def fork(self) -> Ladder:
        """Give a ladder over the same sums, to be anchored elsewhere. Both may go on growing them."""
        other = Ladder(self._table, self.fee_pips, is_up=self.is_up)
        other.keys, other.prices, other.liquidity = self.keys, self.prices, self.liquidity
        other.sums_in, other.sums_out = self.sums_in, self.sums_out
        self._is_shared = other._is_shared = True
        return other

    def detach(self, table: TickTable) -> None:
        """Go on with sums of its own over another table of the same ticks, which is going to change."""
        self._table = table
        self._truncate(len(self.keys))

    @property
    def is_complete(self) -> bool:
        """Whether no liquidity lies beyond the last boundary."""
        if not self.keys:
            return False
        boundary, ordered = (self.keys[-1] if self.is_up else -self.keys[-1]), self._table.ordered
        if boundary in (MIN_TICK, MAX_TICK):
            return True
        if self.liquidity[-1]:
            return False
        return not ordered or (ordered[-1] <= boundary if self.is_up else ordered[0] >= boundary)

    def release(self) -> None:
        """Forget where the price stands; the next quote anchors anew."""
        self.is_anchored = False

    def cut(self, tick_lower: int, tick_upper: int) -> None:
        """Drop what a changed range touches: everything from where travel first meets it."""
        self.is_anchored = False
        if not self.keys:
            return
        begin, end = (tick_lower, tick_upper) if self.is_up else (-tick_upper, -tick_lower)
        if end < self.keys[0]:
            return
        self._truncate(bisect_left(self.keys, begin))

    def anchor(self, sqrt_price: int, tick: int, liquidity: int) -> None:
        """Find the first boundary ahead and the step to it."""
        table = self._table
        boundary = table.above(tick) if self.is_up else table.at_or_below(tick)
        key = boundary if self.is_up else -boundary
        while self.keys and self.keys[-1] < key and not self.is_complete:
            self.extend()
        i = bisect_left(self.keys, key)
        if i == len(self.keys) or self.keys[i] != key:
            self._truncate(0)
            self._append(boundary, liquidity)
            i = 0
        self.entry = i
        self.first_in, self.first_out = self.step(liquidity, sqrt_price, self.prices[i])
        self.is_anchored = True

    def extend(self) -> bool:
        """Add one boundary; return False when there is nothing more to come."""
        if self.is_complete:
            return False
        last = self.keys[-1] if self.is_up else -self.keys[-1]
        liquidity, price = self.liquidity[-1], self.prices[-1]
        self._append(self._table.above(last) if self.is_up else self._table.at_or_below(last - 1), liquidity)
        step_in, step_out = self.step(liquidity, price, self.prices[-1])
        self.sums_in[-1] = self.sums_in[-2] + step_in
        self.sums_out[-1] = self.sums_out[-2] + step_out
        return True

    def step(self, liquidity: int, start: int, end: int) -> tuple[int, int]:
        """Input with fee, rounded up, and output, rounded down, of a whole step between two prices."""
        if not liquidity:
            return 0, 0
        if self.is_up:
            taken, given = amount1_up(liquidity, start, end), amount0_down(liquidity, start, end)
        else:
            taken, given = amount0_up(liquidity, end, start), amount1_down(liquidity, end, start)
        return with_fee_up(taken, self.fee_pips), given

    def _append(self, boundary: int, liquidity_before: int) -> None:
        net = self._table.net.get(boundary, 0)
        liquidity = liquidity_before + (net if self.is_up else -net)
        self.keys.append(boundary if self.is_up else -boundary)
        # Routers stop one unit short of the extreme prices.
        self.prices.append(min(max(sqrt_price_at(boundary), MIN_SQRT_PRICE + 1), MAX_SQRT_PRICE - 1))
        self.liquidity.append(liquidity)
        self.sums_in.append(0)
        self.sums_out.append(0)

    def _truncate(self, length: int) -> None:
        if self._is_shared:
            self.keys, self.prices, self.liquidity = self.keys[:length], self.prices[:length], self.liquidity[:length]
            self.sums_in, self.sums_out = self.sums_in[:length], self.sums_out[:length]
            self._is_shared = False
            return
        for column in (self.keys, self.prices, self.liquidity, self.sums_in, self.sums_out):
            del column[length:]
