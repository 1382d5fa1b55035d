"""Arbitrage between an exchange and a chain that fail as they like: one leg, the other, the unwind, or all of them.

The strategy and its kernel are the real ones. Around them stands a world with a truth of its own, what the exchange and
the chain really hold, and with faults drawn from a seed: orders rejected, filled in part, filled without an answer or
never arrived, trades told twice or after the order's end; swaps refused, reverted, stuck until their deadline, or
mined without anybody being told until the engine starts again. Time is the world's: nothing waits.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain import Fill, OrderState, Side
from domain import events as e
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrage, CrossVenueArbitrageSettings
from tests.engine.markets import ETH, ETHUSDC, SECOND, TOKEN_USDC, USDC, V2, WETH, book, native_pool_kernel, v2_at

UNWIND_BOUND_S: Final = 30
"""From when what became of both legs is told until nothing is open, with an exchange that fails a third of the time."""
BLOCK_S: Final = 2
FAIR: Final = 3_000
_TICK_NS: Final = SECOND // 10
_MID_TICKS: Final = 300_000
_FEE: Final = 4
"""Basis points, in what a trade brings."""
DUST: Final = 10**8 * 6 // FAIR
"""Of the base, in the exchange's units: just above what the venue takes as an order, 5 USDC."""
ORDER_FATES: Final = ("filled", "partial", "nothing", "rejected", "lost", "never arrived", "late", "twice")
SWAP_FATES: Final = ("mined", "reverted", "refused", "stuck", "unknown mined", "unknown reverted")


@dataclass
class _Order:
    asked: e.PlaceOrder
    state: OrderState
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> int:
        return sum(fill.qty_lots for fill in self.fills)


@dataclass(frozen=True)
class Round:
    """What one opportunity came to."""

    fates: tuple[str, ...]
    flat_after_s: float
    """From when the last word on the two legs was told."""
    open_raw: int
    """Of the base, in the exchange's units, at the end."""


class World:
    """One run: `play` makes an opportunity and sees it through."""

    def __init__(self, seed: int, *, legs: str, faults: float = 0.5) -> None:
        self.chance = random.Random(seed)
        self.fates: Counter[str] = Counter()
        self._faults = faults
        settings = CrossVenueArbitrageSettings(
            instrument=ETHUSDC.id, pools=(V2,), notional_max=9_000, profit_min=1, legs=legs, unwind_slippage_bps=100
        )
        self.strategy = CrossVenueArbitrage(settings)
        self.kernel = native_pool_kernel(self.strategy, pools=(V2,), book_age_ms_max=10**9)
        self.now_ns, self._block, self._sequence, self._trades, self._epoch = SECOND, 1, 0, 0, 0
        self._queue: list[tuple[int, int, e.Event]] = []
        self._orders: dict[str, _Order] = {}
        self._swaps: dict[str, e.SwapSettled | None] = {}
        """What became of each intent; none while nobody may be told."""
        self.base = {"exchange": 0, "chain": 0}
        """What the strategy moved of the base since its beginning, in truth: units of the exchange, of the chain."""
        self.gas_wei = 0
        self._round: list[str] = []
        self._legs: dict[str, int] = {}
        """Of this round: when the last word on each leg was told."""
        self._wants_restart = False

    # --- what a test asks

    @property
    def open_raw(self) -> int:
        """What is really open of the base, gas too, in the exchange's units."""
        return self.base["exchange"] + (self.base["chain"] - self.gas_wei) * ETH.unit // WETH.unit

    def play(self) -> Round:
        """Let the pool be off by one to three percent until the strategy acts; then see where it ends."""
        self._round, self._legs = [], {}
        # Pauses after failures are at most a minute; blocks go on.
        self._pass(61 * SECOND)
        off = self.chance.choice((-1, 1)) * self.chance.uniform(0.012, 0.03)
        self._block += 1
        self._tell(self._pool(round(FAIR * (1 + off))), self._head())
        for _ in range(20):
            self._tick()
            if self._round:
                break
        self._block += 1
        fair_at = self.now_ns
        limit_ns = fair_at + 600 * SECOND
        while not self._is_over():
            if self.now_ns > limit_ns:
                break
            self._tick()
        flat_ns = self.now_ns
        self._block += 1
        self._tell(self._pool(FAIR), self._head())
        self._pass(5 * SECOND)  # A trade may still be told late; what it opens is taken back.
        while not self._is_over() and self.now_ns < flat_ns + UNWIND_BOUND_S * SECOND:
            self._tick()
        known_ns = max(self._legs.values(), default=flat_ns)
        return Round(tuple(self._round), max(0, flat_ns - known_ns) / SECOND, self.open_raw)

    def _is_over(self) -> bool:
        return self.strategy.is_idle and self.kernel.is_idle and not self._queue and not self._wants_restart

    # --- time

    def _tick(self) -> None:
        self.now_ns += _TICK_NS
        while self._queue and self._queue[0][0] <= self.now_ns:
            self._tell(heapq.heappop(self._queue)[2])
        if self.now_ns // _TICK_NS % (BLOCK_S * 10) == 0:
            self._block += 1
            self._tell(self._head())
            if self._wants_restart and self.chance.random() < 0.2:
                self._restart()
        # Now and then the book is gone for a while.
        if self.chance.random() < 0.02 * self._faults:
            self._tell(e.BookInvalidated(time_ns=self.now_ns, instrument=ETHUSDC.id, reason="gap"))
        elif self.now_ns // _TICK_NS % 3 == 0:
            self._tell(self._book())
        self._tell(e.TimerFired(time_ns=self.now_ns))

    def _pass(self, span_ns: int) -> None:
        until = self.now_ns + span_ns
        while self.now_ns < until:
            # Faster where nothing can happen.
            if not self._queue and self.strategy.is_idle and self.kernel.is_idle and until - self.now_ns > SECOND:
                self.now_ns += SECOND
                self._tell(self._book(), e.TimerFired(time_ns=self.now_ns))
            else:
                self._tick()

    def _later(self, seconds: float, event_of: e.Event) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_ns + int(seconds * SECOND), self._sequence, event_of))

    def _tell(self, *events: e.Event) -> None:
        for event in events:
            for name in (getattr(event, "client_order_id", ""), getattr(event, "intent_id", "")):
                if name in self._legs:
                    self._legs[name] = self.now_ns
            for command in self.kernel.step(_at(event, self.now_ns)):
                self._do(command)

    def _restart(self) -> None:
        """The process died and starts again: only now is told what became of the swaps nobody heard of."""
        self._wants_restart = False
        self._epoch += 1
        self._tell(e.EngineRestarted(time_ns=self.now_ns, epoch=self._epoch))
        self._tell(self._pool(FAIR), self._head(), self._book())

    # --- the market

    def _pool(self, price: int) -> e.PoolSnapshotted:
        return v2_at(price, block_number=self._block, now_ns=self.now_ns)

    def _head(self) -> e.BlockSeen:
        return e.BlockSeen(
            time_ns=self.now_ns, chain_id=1337, number=self._block, block_hash="0x",
            block_time_s=1_000 + self.now_ns // SECOND, base_fee_wei=10**9,
        )  # fmt: skip

    def _book(self) -> e.BookChanged:
        mid = _MID_TICKS + self.chance.randint(-150, 150)
        return book(
            self.now_ns,
            tuple((mid - 10 - 10 * level, 40_000) for level in range(5)),
            tuple((mid + 10 + 10 * level, 40_000) for level in range(5)),
        )

    # --- the exchange

    def _do(self, command: e.Command) -> None:
        match command:
            case e.PlaceOrder():
                self._place(command)
            case e.AskOrder():
                self._answer(command.client_order_id)
            case e.CancelOrder():
                self._answer(command.client_order_id)
            case e.SubmitSwap():
                self._submit(command)
            case e.RiskRejected():
                self._round.append(f"gate: {command.rule}")

    def _fate(self, fates: Sequence[str]) -> str:
        fate = fates[0] if self.chance.random() > self._faults else self.chance.choice(fates[1:])
        self._round.append(fate)
        self.fates[fate] += 1
        return fate

    def _place(self, asked: e.PlaceOrder) -> None:
        if not self._legs or (len(self._legs) == 1 and not self._orders.keys() & self._legs.keys()):
            self._legs[asked.client_order_id] = self.now_ns
        fate, order = self._fate(ORDER_FATES), _Order(asked, OrderState.EXPIRED)
        if fate in ("rejected", "never arrived"):
            order.state = OrderState.REJECTED
        elif fate != "nothing":
            lots = asked.qty_lots if fate != "partial" else self.chance.randint(1, asked.qty_lots)
            self._fill(order, lots)
        self._orders[asked.client_order_id] = order
        if fate in ("lost", "never arrived"):
            return  # No word of it until it is asked about.
        told = [e.FillReported(time_ns=0, fill=fill) for fill in order.fills]
        end = e.OrderReported(time_ns=0, client_order_id=asked.client_order_id, state=order.state)
        delay = self.chance.uniform(0.01, 0.3)
        if fate == "late":
            self._later(delay, end)
            for fill in told:
                self._later(delay + self.chance.uniform(0.05, 4.0), fill)
            return
        for fill in told * (2 if fate == "twice" else 1):
            self._later(delay, fill)
        self._later(delay + 0.01, end)

    def _fill(self, order: _Order, lots: int) -> None:
        """In one or two trades, at the limit: the worst that may be."""
        asked = order.asked
        first = self.chance.randint(1, lots)
        for part in (first, lots - first):
            if part == 0:
                continue
            self._trades += 1
            base_raw = part * ETH.unit // 10_000
            quote_raw = int(ETHUSDC.notional(asked.price_ticks, part) * USDC.unit)
            is_buy = asked.side is Side.BUY
            fee_raw = (base_raw if is_buy else quote_raw) * _FEE // 10_000
            self.base["exchange"] += base_raw - fee_raw if is_buy else -base_raw
            order.fills.append(
                Fill(
                    venue="sandbox",
                    symbol="ETHUSDC",
                    trade_id=str(self._trades),
                    venue_order_id="v",
                    client_order_id=asked.client_order_id,
                    side=asked.side,
                    price_ticks=asked.price_ticks,
                    qty_lots=part,
                    quote_raw=quote_raw,
                    fee_asset="ETH" if is_buy else "USDC",
                    fee_raw=fee_raw,
                    is_maker=False,
                    venue_time_ns=self.now_ns,
                )
            )
        if order.filled == asked.qty_lots:
            order.state = OrderState.FILLED

    def _answer(self, client_order_id: str) -> None:
        """The venue says what it has: its trades, then the end."""
        order = self._orders[client_order_id]
        delay = self.chance.uniform(0.01, 0.5)
        for fill in order.fills:
            self._later(delay, e.FillReported(time_ns=0, fill=fill, asked=True))
        self._later(
            delay,
            e.OrderReported(
                time_ns=0, client_order_id=client_order_id, state=order.state, filled_lots=order.filled, asked=True
            ),
        )

    # --- the chain

    def _submit(self, asked: e.SubmitSwap) -> None:
        if asked.intent_id in self._swaps:  # After a restart: executed at most once.
            known = self._swaps[asked.intent_id]
            if known is not None:
                self._later(self.chance.uniform(0.05, 3.0), known)
            return
        self._legs[asked.intent_id] = self.now_ns
        fate = self._fate(SWAP_FATES)
        delay = self.chance.uniform(0.5, 3 * BLOCK_S)
        if fate == "refused":
            delay = 0.05
        elif fate == "stuck":  # Custody tells when the deadline has passed and the nonce is taken.
            delay = asked.deadline_s - 1_000 - self.now_ns // SECOND + 3 * BLOCK_S
        is_mined = fate in ("mined", "unknown mined")
        outcome = self._executed(asked) if is_mined else self._failed(asked, pays_gas=fate.endswith("reverted"))
        self._swaps[asked.intent_id] = outcome
        if fate.startswith("unknown"):
            self._wants_restart = True
        else:
            self._later(delay, outcome)

    def _executed(self, asked: e.SubmitSwap) -> e.SwapSettled:
        amount_in, least = int(asked.amount_in), int(asked.min_amount_out)
        amount_out = least * (10_000 + self.chance.randint(0, 20)) // 10_000
        is_sold = asked.token_in == WETH.id
        self.base["chain"] += -amount_in if is_sold else amount_out
        assert is_sold or asked.token_in == TOKEN_USDC.id
        return self._settled(asked, "mined", amount_in, amount_out, pays_gas=True)

    def _failed(self, asked: e.SubmitSwap, *, pays_gas: bool) -> e.SwapSettled:
        return self._settled(asked, "failed" if pays_gas else "refused", 0, 0, pays_gas=pays_gas)

    def _settled(
        self, asked: e.SubmitSwap, status: str, amount_in: int, amount_out: int, *, pays_gas: bool
    ) -> e.SwapSettled:
        gas = 150_000 * 2 * 10**9 if pays_gas else 0
        self.gas_wei += gas
        return e.SwapSettled(
            time_ns=0, intent_id=asked.intent_id, status=status, amount_in=str(amount_in), amount_out=str(amount_out),
            gas_cost_wei=str(gas), block_number=self._block + 1 if status != "refused" else 0,
            reason="" if status == "mined" else status,
        )  # fmt: skip


def _at(event: e.Event, now_ns: int) -> e.Event:
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**{**fields, "time_ns": now_ns})


def play(seed: int, rounds: int, *, legs: str, faults: float = 0.5) -> tuple[World, list[Round]]:
    """Play so many rounds in one world."""
    world = World(seed, legs=legs, faults=faults)
    return world, [world.play() for _ in range(rounds)]
