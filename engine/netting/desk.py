"""The desk: collects members' wishes, lets opposite ones meet at the mid, groups the rest, shares out what fills.

A wish is a member's immediate-or-cancel order that has not been sent. Wishes of one event meet when the mid is within
both limits; the larger side is served in proportion. What is left of a side goes to the venue, one order a limit, so no
member pays more than it said. Fills are shared by `share_lots`, their fees by lots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from engine.netting.allocation import share_lots, share_proportionally
from engine.netting.ledger import SubLedgers

BUY, SELL = 0, 1
ENDED_KEPT = 256


class Wish(msgspec.Struct):
    """One member's order as the member sees it; the shape of `engine.sdk.context.OpenOrder`."""

    client_id: int
    member: int
    instrument: int
    side: int
    price: int
    size: int
    filled: int = 0
    is_open: bool = True
    is_cancelling: bool = False

    @property
    def left(self) -> int:
        return self.size - self.filled


class Group(msgspec.Struct):
    """One order at the venue, and for whom."""

    instrument: int
    side: int
    size: int
    wishes: list[int]
    members: list[int]
    weights: list[int]
    given: list[int]
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Share:
    """A member's part of a trade."""

    wish: Wish
    lots: int
    half_ticks: int
    fee: int = 0
    is_inside: bool = False


class NettingDesk(msgspec.Struct):
    """See the module. Everything is plain state."""

    ledgers: SubLedgers
    wishes: dict[str, Wish] = msgspec.field(default_factory=dict)
    """All that is open, by id."""
    groups: dict[str, Group] = msgspec.field(default_factory=dict)
    """By the kernel's client id; ended ones are remembered for trades that are told late."""
    past: dict[str, Wish] = msgspec.field(default_factory=dict)
    """The last wishes that ended."""
    last_id: int = 0

    @classmethod
    def of(cls, members: int) -> NettingDesk:
        return cls(SubLedgers(members))

    def open_of(self, member: int, instrument: int | None = None) -> list[Wish]:
        return [w for w in self.wishes.values() if w.member == member and instrument in (None, w.instrument)]

    def wish(self, member: int, instrument: int, side: int, price: int, size: int) -> Wish | None:
        """Take a wish; None when it would meet the member's own."""
        if size <= 0 or any(w.side != side for w in self.open_of(member, instrument)):
            return None
        self.last_id += 1
        made = Wish(self.last_id, member, instrument, side, price, size)
        self.wishes[str(made.client_id)] = made
        return made

    def unsent(self) -> list[Wish]:
        """Wishes that are in no order yet, oldest first."""
        sent = {at for group in self.groups.values() if group.is_open for at in group.wishes}
        return [w for w in self.wishes.values() if w.client_id not in sent]

    def cross(self, instrument: int, mid_half_ticks: int) -> list[Share]:
        """Let opposite wishes meet at the mid, in half ticks."""
        fresh = [w for w in self.unsent() if w.instrument == instrument and w.left > 0]
        buys = [w for w in fresh if w.side == BUY and 2 * w.price >= mid_half_ticks]
        sells = [w for w in fresh if w.side == SELL and 2 * w.price <= mid_half_ticks]
        lots = min(sum(w.left for w in buys), sum(w.left for w in sells))
        shares: list[Share] = []
        for side in (buys, sells):
            parts = share_lots(lots, [w.left for w in side], [0] * len(side)) if lots else []
            shares += [Share(w, part, mid_half_ticks, is_inside=True) for w, part in zip(side, parts, strict=False)]
        return [self._book(share) for share in shares if share.lots]

    def rest(self, instrument: int) -> list[tuple[int, int, list[Wish]]]:
        """What has to go out: side, limit and wishes of each order, those that pay most first."""
        found: dict[tuple[int, int], list[Wish]] = {}
        for wish in self.unsent():
            if wish.instrument == instrument and wish.left > 0:
                found.setdefault((wish.side, wish.price), []).append(wish)
        keys = sorted(found, key=lambda key: (key[0], -key[1] if key[0] == BUY else key[1]))
        return [(side, price, found[side, price]) for side, price in keys]

    def sent(self, order: int, wishes: list[Wish]) -> None:
        """An order went out for these wishes."""
        first = wishes[0]
        weights = [w.left for w in wishes]
        ids, members = [w.client_id for w in wishes], [w.member for w in wishes]
        self.groups[str(order)] = Group(
            first.instrument, first.side, sum(weights), ids, members, weights, [0] * len(wishes)
        )

    def filled(self, order: int, price: int, lots: int, fee: int, field: str) -> list[Share] | None:
        """Share a fill out; None when the order is not of ours, or would be filled beyond its size.

        Args:
            order: The kernel's client id.
            price: Ticks.
            lots: Executed.
            fee: Raw units, negative for a rebate.
            field: Which of a row's fees it is.
        """
        group = self.groups.get(str(order))
        if group is None or sum(group.given) + lots > group.size:
            return None
        parts = share_lots(lots, group.weights, group.given)
        fees = share_proportionally(fee, parts)
        shares = []
        for at, (part, cost) in enumerate(zip(parts, fees, strict=True)):
            if not part:
                continue
            # A trade told after the order's end still belongs to whom the order was for.
            name, member = group.wishes[at], group.members[at]
            over = Wish(name, member, group.instrument, group.side, price, group.weights[at], group.given[at], False)
            group.given[at] += part
            shares.append(self._book(Share(self.wishes.get(str(name), over), part, 2 * price, cost)))
            row = self.ledgers.row(member, group.instrument)
            setattr(row, field, getattr(row, field) + cost)
        return shares

    def unasked(self, instrument: int, signed_lots: int, price: int, fee: int, field: str) -> None:
        """Book a trade that no member asked for: the staged kill's, a person's.

        It closes members' positions in proportion as far as it can; the rest is on the desk's own row.
        """
        against = 1 if signed_lots < 0 else -1
        rows = [self.ledgers.row(member, instrument) for member in range(self.ledgers.members)]
        held = [max(row.lots * against, 0) for row in rows]
        closing = min(abs(signed_lots), sum(held))
        parts = [*share_lots(closing, held, [0] * len(held)), abs(signed_lots) - closing]
        for row, part, cost in zip(
            (*rows, self.ledgers.row(-1, instrument)), parts, share_proportionally(fee, parts), strict=True
        ):
            row.trade(-against * part, 2 * price)
            setattr(row, field, getattr(row, field) + cost)

    def ended(self, order: int) -> list[Wish]:
        """An order is over: its wishes are."""
        group = self.groups[str(order)]
        group.is_open = False
        over = [w for at in group.wishes if (w := self.wishes.get(str(at))) is not None]
        return self.close(over)

    def close(self, wishes: Iterable[Wish]) -> list[Wish]:
        """End wishes, and forget the oldest orders that ended."""
        over = list(wishes)
        for wish in over:
            wish.is_open = False
            self.past[str(wish.client_id)] = self.wishes.pop(str(wish.client_id))
        for name in list(self.past)[:-ENDED_KEPT]:
            del self.past[name]
        gone = [name for name, group in self.groups.items() if not group.is_open][:-ENDED_KEPT]
        for name in gone:
            del self.groups[name]
        return over

    def _book(self, share: Share) -> Share:
        wish = share.wish
        row = self.ledgers.row(wish.member, wish.instrument)
        row.trade(share.lots if wish.side == BUY else -share.lots, share.half_ticks)
        row.crossed += share.lots if share.is_inside else 0
        wish.filled += share.lots
        return share
