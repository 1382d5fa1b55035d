"""The simulated venue in plain Python: docs/simulation.md read aloud, one rule after another, nothing made fast.

The oracle of `native/engine/src/sim`. Takes events and commands as tuples in the order of the fields of
`engine.records`, one at a time and without latency, and keeps the reports it would give as tuples too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, isqrt

from engine.records import CommandKind, EventFlag, EventKind, Reason, ReportState

BUY, SELL, NOBODY = 0, 1, 255
LIMIT, MAKER, MARKET = 0, 1, 2
GTC, IOC, FOK = 0, 1, 2
LIMIT_MAX = 1 << 39
UNIT = 1 << 16
DAY_NS = 86_400 * 10**9

Event = tuple[int, int, int, int, int, int, int, int, int, list[int]]
Command = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, list[int]]
Report = tuple[int, int, int, int, int, int, int, int, int]
"""Time, instrument, kind, side, flags, price, size, sequence, aux."""


@dataclass(frozen=True)
class Contract:
    """What a trade is worth: whole numbers of smallest units."""

    kind: str
    base_per_lot: int = 0
    quote_per_tick_lot: int = 0
    inverse_numerator: int = 0
    quote_per_lot: int = 0
    notional_min: int = 0
    maker_fee: int = 0
    taker_fee: int = 0

    def flow(self, side: int, lots: int, price: int) -> int:
        """What the trade moves in the settlement asset, rounded against us."""
        if self.kind == "inverse":
            exact = Fraction(lots * self.inverse_numerator, price)
            return int(exact) if side == BUY else -ceil(exact)
        value = lots * price * self.quote_per_tick_lot
        return -value if side == BUY else value

    def quote_value(self, lots: int, price: int) -> int:
        return lots * self.quote_per_lot if self.kind == "inverse" else lots * price * self.quote_per_tick_lot


@dataclass(frozen=True)
class Rules:
    """The settings the reference knows; see `SimulatedVenue` for what they mean."""

    queue: str = "power1"
    tiers: tuple[tuple[int, int, int], ...] = ()
    fee_asset: str = "settlement"
    other_price: tuple[int, int] = (1, 1)
    slippage_ticks: int = 0
    impact: int = 0
    half_life_ns: int = 0
    limit: tuple[int, int] | None = None
    """Window and maximum, places and amends counting one each."""
    open_max: int = 10_000
    liquidation: tuple[int, int, int] | None = None
    """Collateral, maintenance, fee."""


@dataclass
class Order:
    id: int
    venue_id: int
    side: int
    price: int
    size: int
    filled: int = 0
    ahead: int = 0
    traded: int = 0
    maker_only: bool = False
    reduce_only: bool = False

    @property
    def left(self) -> int:
        return self.size - self.filled


@dataclass
class Account:
    position: int = 0
    cash: int = 0
    fees: list[int] = field(default_factory=lambda: [0, 0, 0])
    funding: int = 0


class Simulator:
    """One instrument at one venue."""

    def __init__(self, contract: Contract, rules: Rules) -> None:
        self.contract, self.rules = contract, rules
        self.shown: list[dict[int, int]] = [{}, {}]
        self.used: list[dict[int, int]] = [{}, {}]
        self.own: list[list[Order]] = [[], []]
        self.known: dict[int, tuple[int, int, Order]] = {}
        """State, filled, and the order as it came."""
        self.account = Account()
        self.reports: list[Report] = []
        self.now = 0
        self.trades = self.places = 0
        self.mark = 0
        self.pressure: list[tuple[int, int]] = [(0, 0), (0, 0)]
        self.days: dict[int, int] = {}
        self.window = (-1, 0)
        self.answering = (0, 0)
        """The command that is being answered: its kind and the order it is about, 0 for all."""

    # --- the feed

    def feed(self, event: Event) -> None:
        """Take a market event."""
        self.now, _, _, kind, side, _, price, size, _, aux = event
        self.answering = (0, 0)
        if kind == EventKind.LEVEL:
            self._level(side, price, size)
        elif kind == EventKind.TRADE:
            self._trade(side ^ 1, price, size)
        elif kind == EventKind.CLEAR:
            for each in (BUY, SELL) if side == NOBODY else (side,):
                self.shown[each].clear()
                self.used[each].clear()
        elif kind == EventKind.FUNDING:
            self._fund(int(aux[0]), price)
        elif kind == EventKind.MARK:
            self.mark = price
            self._liquidate()

    def _level(self, side: int, price: int, size: int) -> None:
        before = self.shown[side].get(price, 0)
        if before != size:
            self.used[side].pop(price, None)
        for order in self.own[side]:
            if order.price == price:
                self._resize(order, before, size)
        self.shown[side].pop(price, None)
        if size > 0:
            self.shown[side][price] = size
            available = size - self.used[side].get(price, 0)
            for order in list(self._reached(side ^ 1, price)):
                available -= self._use(side, price, self._fill(order, available))
            self._settle()

    def _trade(self, side: int, price: int, size: int) -> None:
        """A trade with whoever rests on `side`; the budget is in places' units because places have fractions."""
        budget, passed = size * UNIT, 0
        for order in list(self._reached(side, price)):
            if order.price == price:
                others = min(max(order.ahead - passed, 0), budget)
                passed, budget = passed + others, budget - others
                order.ahead = max(order.ahead - passed, 0)
                order.traded += size
            budget -= UNIT * self._fill(order, budget // UNIT)
        self._settle()

    def _reached(self, side: int, price: int) -> Iterator[Order]:
        """Our orders that a taker at this price would meet, first things first."""
        return (order for order in self.own[side] if _reaches(side, order.price, price))

    def _resize(self, order: Order, before: int, after: int) -> None:
        """Move an order's place by what is gone without having traded."""
        stood = max(before - order.traded, 0) * UNIT
        order.traded = 0
        gone = stood - after * UNIT
        if gone > 0 and self.rules.queue != "risk_averse":
            behind = max(stood - order.ahead, 0)
            front, back = _weights(self.rules.queue, order.ahead, behind)
            share = gone * front // (front + back) if front + back else 0
            order.ahead -= min(max(share, gone - behind), order.ahead)
        order.ahead = min(order.ahead, after * UNIT)

    def _fund(self, rate: int, mark: int) -> None:
        if self.contract.kind == "spot" or not self.account.position:
            return
        worth = abs(self.contract.flow(SELL, abs(self.account.position), mark))
        sign = 1 if self.account.position > 0 else -1
        self.account.funding -= ceil(Fraction(worth * rate * sign, 10**12))

    def _liquidate(self) -> None:
        account, rule = self.account, self.rules.liquidation
        if rule is None or not account.position:
            return
        collateral, maintenance, fee = rule
        side = SELL if account.position > 0 else BUY
        worth = self.contract.flow(side, abs(account.position), self.mark)
        equity = collateral + account.cash + account.funding - account.fees[0] + worth
        if equity >= _up(abs(worth) * maintenance, 10**8):
            return
        self._cancel_all(Reason.LIQUIDATED)
        lots = abs(account.position)
        self._book(0, side, self.mark, lots, _up(abs(worth) * fee, 10**8), EventFlag.EXCHANGE)

    # --- commands

    def command(self, command: Command) -> None:
        """Take a command that arrives now."""
        id_, self.now, price, size, _, kind, side, type_, force, _, _, _, reduce_only, _, _ = command
        passes = self._passes(kind)
        self.answering = (kind, 0 if kind == CommandKind.CANCEL_ALL else id_)
        if kind == CommandKind.PLACE:
            self.places += 1
            order = Order(id_, self.places, side, price, size, 0, 0, 0, type_ == MAKER, bool(reduce_only))
            self._place(order, type_, force, passes)
        elif kind == CommandKind.AMEND:
            self._amend(id_, side, price, size, passes)
        elif kind == CommandKind.CANCEL:
            order_ = self._open(id_)
            if order_ is None:
                self._refuse(id_, side, kind, Reason.UNKNOWN_ORDER)
            else:
                self.own[order_.side].remove(order_)
                self._end(order_, ReportState.CANCELED, Reason.NONE)
        elif kind == CommandKind.CANCEL_ALL:
            self._cancel_all(Reason.NONE)

    def _place(self, order: Order, type_: int, force: int, passes: bool) -> None:
        why = self._objection(order, type_, force, passes)
        if why is not None:
            self._say(order, ReportState.REJECTED, why, CommandKind.PLACE)
            return
        self.known[order.id] = (ReportState.ACCEPTED, 0, order)
        self._say(order, ReportState.ACCEPTED, Reason.NONE, CommandKind.PLACE)
        self._arrive(order, is_market=type_ == MARKET, rests=type_ != MARKET and force == GTC, whole=force == FOK)

    def _objection(self, order: Order, type_: int, force: int, passes: bool) -> Reason | None:
        checks: list[tuple[Reason, Callable[[], bool]]] = [
            (Reason.THROTTLED, lambda: not passes),
            (Reason.DUPLICATE, lambda: order.id in self.known),
            (Reason.INVALID, lambda: type_ != MARKET and not 1 <= order.price <= LIMIT_MAX),
            (Reason.INVALID, lambda: not 1 <= order.size <= LIMIT_MAX),
            (Reason.INVALID, lambda: type_ == MAKER and force != GTC),
            (
                Reason.NOTIONAL_MIN,
                lambda: (
                    type_ != MARKET and self.contract.quote_value(order.size, order.price) < self.contract.notional_min
                ),
            ),
            (Reason.TOO_MANY_ORDERS, lambda: sum(map(len, self.own)) >= self.rules.open_max),
            (Reason.REDUCE_ONLY, lambda: order.reduce_only and not self._reduces(order.side)),
            (Reason.WOULD_TAKE, lambda: type_ == MAKER and self._would_take(order.side, order.price)),
        ]
        return next((reason for reason, holds in checks if holds()), None)

    def _arrive(self, order: Order, *, is_market: bool, rests: bool, whole: bool) -> None:
        other = order.side ^ 1
        levels = [
            (price, lots - self.used[other].get(price, 0))
            for price, lots in sorted(self.shown[other].items(), reverse=other == BUY)
            if is_market or _reaches(order.side, order.price, price)
        ]
        levels = [(price, lots) for price, lots in levels if lots > 0]
        if whole and (self._room(order) < order.left or sum(lots for _, lots in levels) < order.left):
            self._end(order, ReportState.EXPIRED, Reason.UNFILLED)
            return
        for price, lots in levels:
            taken = min(self._room(order), lots)
            if taken <= 0:
                break
            worse = self._worse(order.side, taken)
            paid = price + worse if order.side == BUY else max(price - worse, 1)
            if not is_market:
                paid = min(paid, order.price) if order.side == BUY else max(paid, order.price)
            self._use(other, price, taken)
            order.filled += taken
            self._trade_of(order, paid, taken, is_maker=False)
        spent = order.reduce_only and not self._reduces(order.side)
        if order.left and (not rests or spent):
            self._end(order, ReportState.EXPIRED, Reason.REDUCE_ONLY if spent else Reason.UNFILLED)
        elif order.left:
            order.ahead, order.traded = self.shown[order.side].get(order.price, 0) * UNIT, 0
            self.own[order.side].append(order)
            self.own[order.side].sort(key=lambda o: -o.price if o.side == BUY else o.price)  # Stable: older first.
        self._settle()

    def _amend(self, id_: int, side: int, price: int, size: int, passes: bool) -> None:
        kind, order = CommandKind.AMEND, self._open(id_)
        why = None
        if order is None:
            why = Reason.UNKNOWN_ORDER
        elif not passes:
            why = Reason.THROTTLED
        elif not (1 <= price <= LIMIT_MAX and 1 <= size <= LIMIT_MAX):
            why = Reason.INVALID
        if order is None or why is not None:
            self._refuse(id_, side, kind, why or Reason.OTHER)
            return
        keeps = price == order.price and size <= order.size
        if size <= order.filled:
            why = Reason.NONE
        elif order.maker_only and not keeps and self._would_take(order.side, price):
            why = Reason.WOULD_TAKE
        if why is not None:
            self.own[order.side].remove(order)
            self._end(order, ReportState.CANCELED, why)
            return
        order.price, order.size = price, size
        if not keeps:
            self.own[order.side].remove(order)
        self._say(order, _open_state(order), Reason.NONE, kind)
        if not keeps:
            self._arrive(order, is_market=False, rests=True, whole=False)

    def _cancel_all(self, reason: Reason) -> None:
        for order in [*self.own[BUY], *self.own[SELL]]:
            self.own[order.side].remove(order)
            self._end(order, ReportState.CANCELED, reason)

    # --- parts

    def _open(self, id_: int) -> Order | None:
        return next((order for side in self.own for order in side if order.id == id_), None)

    def _reduces(self, side: int) -> bool:
        return self.account.position < 0 if side == BUY else self.account.position > 0

    def _room(self, order: Order) -> int:
        if not order.reduce_only:
            return order.left
        return min(order.left, abs(self.account.position)) if self._reduces(order.side) else 0

    def _would_take(self, side: int, price: int) -> bool:
        other = side ^ 1
        return any(
            lots > self.used[other].get(level, 0)
            for level, lots in self.shown[other].items()
            if _reaches(side, price, level)
        )

    def _use(self, side: int, price: int, lots: int) -> int:
        self.used[side][price] = self.used[side].get(price, 0) + lots
        return lots

    def _fill(self, order: Order, available: int) -> int:
        lots = max(min(self._room(order), available), 0)
        if lots:
            order.filled += lots
            self._trade_of(order, order.price, lots, is_maker=True)
        return lots

    def _settle(self) -> None:
        """Take out what is filled, and reduce-only orders with nothing left to reduce."""
        for side in (BUY, SELL):
            self.own[side] = [order for order in self.own[side] if order.left]
            for order in [o for o in self.own[side] if o.reduce_only and not self._reduces(side)]:
                self.own[side].remove(order)
                self._end(order, ReportState.EXPIRED, Reason.REDUCE_ONLY)

    def _worse(self, side: int, lots: int) -> int:
        if not self.rules.impact:
            return self.rules.slippage_ticks
        taken, at = self.pressure[side]
        taken = _faded(taken, self.now - at, self.rules.half_life_ns) + lots * UNIT
        self.pressure[side] = (taken, self.now)
        return self.rules.slippage_ticks + (isqrt(taken << 16) * self.rules.impact >> 16) // 10**6

    def _passes(self, kind: int) -> bool:
        if self.rules.limit is None or kind not in (CommandKind.PLACE, CommandKind.AMEND):
            return True
        length, most = self.rules.limit
        number, used = self.window
        used = used + 1 if number == self.now // length else 1
        self.window = (self.now // length, used)
        return used <= most

    def _trade_of(self, order: Order, price: int, lots: int, *, is_maker: bool) -> None:
        rates = self._rates()
        rate, flag = rates[0] if is_maker else rates[1], EventFlag(0)
        contract, asset = self.contract, self.rules.fee_asset
        if contract.kind == "spot" and (asset == "base" or (asset == "received" and order.side == BUY)):
            fee, flag = _up(lots * contract.base_per_lot * rate, 10**8), EventFlag.FEE_BASE
        elif asset == "other":
            units, per = self.rules.other_price
            fee = _up(_up(contract.quote_value(lots, price) * units * rate, 10**8), per)
            flag = EventFlag.FEE_OTHER
        else:
            fee = _up(abs(contract.flow(order.side, lots, price)) * rate, 10**8)
        today = self.now // DAY_NS
        self.days[today] = self.days.get(today, 0) + contract.quote_value(lots, price)
        state = ReportState.FILLED if not order.left else ReportState.ACCEPTED
        self.known[order.id] = (state, order.filled, order)
        self._book(order.id, order.side, price, lots, fee, flag | (EventFlag.MAKER if is_maker else EventFlag(0)))

    def _rates(self) -> tuple[int, int]:
        today = self.now // DAY_NS
        volume = sum(lots for day, lots in self.days.items() if today - 30 <= day < today)
        reached = [tier for tier in self.rules.tiers if tier[0] <= volume]
        return reached[-1][1:] if reached else (self.contract.maker_fee, self.contract.taker_fee)

    def _book(self, id_: int, side: int, price: int, lots: int, fee: int, flags: EventFlag) -> None:
        self.trades += 1
        self.account.position += lots if side == BUY else -lots
        self.account.cash += self.contract.flow(side, lots, price)
        at = 1 if flags & EventFlag.FEE_BASE else 2 if flags & EventFlag.FEE_OTHER else 0
        self.account.fees[at] += fee
        self._tell(EventKind.FILL, side, int(flags), price, lots, self.trades, id_, fee)

    def _end(self, order: Order, state: ReportState, reason: Reason) -> None:
        kind, about = self.answering
        kind = kind if about in (0, order.id) else 0
        self.known[order.id] = (state, order.filled, order)
        self._say(order, state, reason, kind)

    def _refuse(self, id_: int, side: int, kind: int, reason: Reason) -> None:
        if id_ not in self.known:
            self._say(Order(id_, 0, side, 0, 0), ReportState.UNKNOWN, reason, kind)
            return
        state, filled, order = self.known[id_]
        as_told = replace(order, filled=filled)
        self._say(as_told, _open_state(as_told) if state == ReportState.ACCEPTED else state, reason, kind)

    def _say(self, order: Order, state: int, reason: Reason, kind: int) -> None:
        answer = state | kind << 8 | reason << 16
        self._tell(EventKind.REPORT, order.side, 0, answer, order.filled, order.venue_id, order.id, 0)

    def _tell(self, kind: int, side: int, flags: int, price: int, size: int, sequence: int, id_: int, aux: int) -> None:
        flags |= EventFlag.LAST | EventFlag.LOCAL
        self.reports.append((self.now, kind, side, int(flags), price, size, sequence, id_, aux))


def _open_state(order: Order) -> ReportState:
    return ReportState.PARTIALLY_FILLED if order.filled else ReportState.ACCEPTED


def _reaches(side: int, limit: int, price: int) -> bool:
    return price <= limit if side == BUY else price >= limit


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _weights(model: str, ahead: int, behind: int) -> tuple[int, int]:
    """How cancels fall on those ahead of us and behind us."""
    if model == "log":
        return _log2(ahead), _log2(behind)
    power, shift = int(model.removeprefix("power")), max((ahead | behind).bit_length() - 16, 0)
    return (ahead >> shift) ** power, (behind >> shift) ** power


def _log2(x: int) -> int:
    """`log2(1 + x lots)` in 1/65,536, straight between powers of two."""
    y = x // UNIT + 1
    whole = y.bit_length() - 1
    return (whole << 16) + ((y - (1 << whole)) << 16 >> whole)


def _faded(taken: int, passed_ns: int, half_life_ns: int) -> int:
    if half_life_ns == 0 or passed_ns // half_life_ns > 100:
        return 0
    left = taken >> passed_ns // half_life_ns
    return left - left * (passed_ns % half_life_ns) // (2 * half_life_ns)
