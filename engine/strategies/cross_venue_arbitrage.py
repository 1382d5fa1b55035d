"""Arbitrage between one exchange instrument and the on-chain pools of the same pair.

    IDLE ──opportunity──> EXCHANGE ──filled──> POOL ──mined──> IDLE
     │                       │                   │
     │                       └─nothing filled    └─failed or refused──> UNWIND ──> IDLE
     └─both legs at once──> BOTH ──both known──> IDLE, or UNWIND what one leg left

The size is the optimum in closed form (`dex.arbitrage`) after taker fee, pool fee and gas, with what a failed leg and
the moved inventory will cost priced in. The exchange leg goes first, immediate-or-cancel: it is known within
milliseconds and can be partial. The pool leg is then sized by what was really filled and bounded by a minimum output,
so that it executes near its quote or reverts. When it does not execute, the position from the first leg is sold back
(bought back) on the exchange. With `legs = "at-once"` both are sent together: the pool leg comes a moment earlier, and
whichever leg fails, the other is reversed on the exchange as soon as both are known.

What is open is read from the books, not from the plan: whatever a leg moved more or less than meant (a better or worse
execution, a fee in the base, gas) is in the next reversal, once it is worth an order. One trade is in flight at a time;
a pool is looked at again only when its replica contains the block of our last swap in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import msgspec
from pydantic import Field

from domain import Asset, InputError, InvariantError, Refused, Side
from engine.records import EventFlag
from engine.sdk import BookView, Context, EventView
from engine.strategies.base import CatalogSettings, CatalogStrategy, Positive

if TYPE_CHECKING:
    from dex.arbitrage.book import ArbitrageSize, LegCosts
    from engine.market import PoolMarket

UNWIND_RETRY_NS = 200_000_000
"""An unwind that did not fill whole is tried again at a fresh price after this long."""
PAUSE_S_MAX = 60
"""Longest pause after pool legs that failed one after the other; it doubles from 2 s."""
PRIORITY_FEE_WEI = 1_000_000_000
"""What is assumed for the tip; custody decides the real one."""
HEADROOM = 0.99
"""Share of a quote balance that may be committed: prices move between sizing and trading."""
PRIOR_TRADES = 20
"""How many trades the assumed share of failures counts for, against what is seen."""
MEMORY = 0.98
"""What a trade's outcome still counts for after the next one."""


LEVELS_MAX = 1_000
"""Levels a side that a size may reach through."""
MINED = 1
"""How a swap ended that was executed, see `native/engine/src/event.rs`."""
_SIDE = {Side.BUY: 0, Side.SELL: 1}


class Stage(StrEnum):
    IDLE = "idle"
    EXCHANGE = "exchange"
    POOL = "pool"
    BOTH = "both"
    UNWIND = "unwind"


@dataclass(slots=True)
class Trade:
    """One attempt. Amounts are raw units of the instrument's assets at the exchange, net of fees."""

    side: Side
    """What the exchange leg does."""
    pool: str
    order_id: int | None
    base_raw: int = 0
    """Base gained (+) or given (-) so far and not yet offset by the pool."""
    intent_id: int | None = None
    """The pool leg under way; none before it is asked for and after its end."""
    is_mined: bool = False
    unwind_lots_max: int = 0
    """How much of an unwind the risk gate lets through at once; 0 for all."""
    unwind_refusals: int = 0
    order_ids: list[int] = field(default_factory=list)
    """Every order of the attempt: a trade of any of them may be told late."""

    def follow(self, order_id: int) -> None:
        """Take the next order of the attempt."""
        self.order_id = order_id
        self.order_ids.append(order_id)


class _State(msgspec.Struct):
    stage: str
    trade: Trade | None
    not_before_ns: int
    resume_ns: int
    unwind_ns: int
    failures: int
    seen_block: dict[str, int]
    tried: float = 0.0
    failed: float = 0.0


class CrossVenueArbitrageSettings(CatalogSettings):
    """Cross-venue arbitrage between one exchange instrument and the pools of the same pair."""

    kind: Literal["cross-venue-arbitrage"] = "cross-venue-arbitrage"
    id: str = Field(default="arb", pattern=r"[a-z0-9-]{1,16}")
    instrument: str
    pools: tuple[str, ...]
    """Pool addresses or labels from the chain's address book; in a backtest their ids."""
    profit_min: Positive = Decimal(1)
    """Least expected profit of a trade after both legs' fees and gas, in the quote asset."""
    notional_max: Positive = Decimal(1_000)
    slippage_bps: Positive = Decimal(10)
    """How much worse than quoted the pool leg may execute before it reverts."""
    unwind_slippage_bps: Positive = Decimal(50)
    gas_units: int = Field(default=180_000, gt=0)
    deadline_s: int = Field(default=60, gt=0)
    cooldown_ms: int = Field(default=0, ge=0)
    legs: Literal["exchange-first", "at-once"] = "exchange-first"
    leg_failure: Decimal = Field(default=Decimal("0.02"), ge=0, lt=1)
    """Share of trades of which one leg is assumed to fail, before it is known better."""
    inventory_bps: Decimal = Field(default=Decimal(0), ge=0)
    """What moving a unit back costs, when all there is lies on the wrong side; less, the more even it is."""

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)

    def pool_names(self) -> tuple[str, ...]:
        return self.pools

    def pair(self) -> str:
        return self.instrument


class CrossVenueArbitrage(CatalogStrategy[CrossVenueArbitrageSettings]):
    """See the module."""

    def __init__(self, settings: CrossVenueArbitrageSettings) -> None:
        super().__init__(settings)
        self.stage = Stage.IDLE
        self._trade: Trade | None = None
        self._not_before_ns = 0
        self._resume_ns = 0
        self._unwind_ns = 0
        self._failures = 0
        self._seen_block: dict[str, int] = {}
        self._tried = 0.0
        self._failed = 0.0

    @property
    def is_idle(self) -> bool:
        return self.stage is Stage.IDLE

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._market = ctx.instrument(self.settings.instrument)
        self._instrument = ctx.terms(self._market)
        self._base = ctx.symbol_of(self._instrument.base.id)

    def on_book(self, ctx: Context, book: BookView) -> None:
        if self.stage is Stage.IDLE:
            self._look(ctx)
        else:
            self._go_on(ctx)

    def on_block(self, ctx: Context, event: EventView) -> None:
        self._look(ctx)
        self._go_on(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._count(event)
        self._go_on(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._go_on(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._go_on(ctx)

    def on_settled(self, ctx: Context, event: EventView) -> None:
        if self._trade is not None and event.client_id == self._trade.intent_id:
            self._on_settled(ctx, self._trade, is_mined=event.price & 0xFF == MINED, block_number=event.sequence)
        self._go_on(ctx)

    def _go_on(self, ctx: Context) -> None:
        """Take the next step of the trade in flight, if there is one and its time has come."""
        match self.stage:
            case Stage.EXCHANGE if not ctx.halted:
                self._after_exchange_leg(ctx)
            case Stage.BOTH if not ctx.halted:
                self._after_both_legs(ctx)
            case Stage.UNWIND:
                self._unwind(ctx)
            case Stage.IDLE if not ctx.halted:
                self._recover(ctx)
            case _:
                pass

    # --- snapshots

    def state(self) -> bytes:
        return msgspec.json.encode(
            _State(
                self.stage.value,
                self._trade,
                self._not_before_ns,
                self._resume_ns,
                self._unwind_ns,
                self._failures,
                self._seen_block,
                self._tried,
                self._failed,
            ),
            order="deterministic",
        )

    def restore(self, state: bytes) -> None:
        try:
            found = msgspec.json.decode(state, type=_State)
        except msgspec.DecodeError as exc:
            raise InputError(f"strategy {self.id}: the saved state is damaged: {exc}") from exc
        self.stage, self._trade = Stage(found.stage), found.trade
        self._not_before_ns, self._resume_ns, self._unwind_ns = (
            found.not_before_ns,
            found.resume_ns,
            found.unwind_ns,
        )
        self._failures, self._seen_block = found.failures, found.seen_block
        self._tried, self._failed = found.tried, found.failed

    # --- finding

    def _look(self, context: Context) -> None:
        book = context.book(self._market)
        if self.stage is not Stage.IDLE:
            return
        if context.stopping or not book.is_valid or context.now_ns < max(self._not_before_ns, self._resume_ns):
            return
        best: tuple[ArbitrageSize, Side, str] | None = None
        for pool_id in self.settings.pools:
            pool = context.pool(pool_id)
            if not pool.replica.is_valid or pool.replica.block_number < self._seen_block.get(pool_id, 0):
                continue
            for side, found in self._sizes(context, book, pool):
                if found is not None and (best is None or found.profit_quote_raw > best[0].profit_quote_raw):
                    best = (found, side, pool_id)
        if best is None or best[0].profit_quote_raw < self._profit_min(context, best[2]):
            return
        found, side, pool_id = best
        profit = found.profit_quote_raw / self._tokens(context, context.pool(pool_id))[1].unit
        context.signal("profit", profit, pool=pool_id, side=side.value, lots=found.lots)
        order_id = context.take(self._market, _SIDE[side], found.limit_ticks, found.lots)
        # Refused or not, the same book is not asked again at once.
        self._not_before_ns = context.now_ns + self.settings.cooldown_ms * 1_000_000
        if order_id is None:
            return
        self._trade = Trade(side=side, pool=pool_id, order_id=order_id, order_ids=[order_id])
        self.stage = Stage.EXCHANGE
        if self.settings.legs == "at-once":
            self._trade.intent_id = self._swap(context, pool_id, side, found.pool_in_raw, found.pool_out_raw)
            self.stage = Stage.BOTH

    def _sizes(
        self, context: Context, book: BookView, pool: PoolMarket
    ) -> tuple[tuple[Side, ArbitrageSize | None], tuple[Side, ArbitrageSize | None]]:
        """The best size in each direction, within the notional limit and what is held on either side."""
        # Not at the top: settings import this module, and every command would load the chains' libraries.
        from dex.arbitrage.book import (
            BookTerms,
            LegCosts,
            optimal_buy_on_book_sell_on_pool,
            optimal_buy_on_pool_sell_on_book,
        )

        base, quote = self._tokens(context, pool)
        terms = BookTerms.of(self._instrument, base, quote)
        gas_wei = self.settings.gas_units * (context.base_fee_wei + PRIORITY_FEE_WEI)
        gas_quote_raw = math.ceil(gas_wei / 1e18 * context.mark("ETH") * quote.unit)
        bids, asks = (tuple(map(tuple, side.tolist())) for side in book.levels(LEVELS_MAX))
        price = (book.bid + book.ask) / 2 * float(self._instrument.tick_size)
        within_notional = self._instrument.lots_down(float(self.settings.notional_max) / price)
        lots_held = self._instrument.lots_down(context.balance(self._instrument.base.id) / self._instrument.base.unit)
        lots_affordable = self._instrument.lots_down(
            context.balance(self._instrument.quote.id) / self._instrument.quote.unit / price * HEADROOM
        )
        pool_base = self._instrument.lots_down(context.balance(base.id) / base.unit)
        pool_quote = self._instrument.lots_down(context.balance(quote.id) / quote.unit / price * HEADROOM)
        replica = pool.replica

        def costs(given: int, taken: int) -> LegCosts:
            """Of a trade that takes from where `taken` lots lie and adds to where `given` lie."""
            rate = Fraction(quote.unit, base.unit)
            spread = (book.ask - book.bid) * Fraction(self._instrument.tick_size)
            fees = 2 * Fraction(price) * Fraction(self._instrument.taker_fee_bps) / 10_000
            uneven = Fraction(max(0, given - taken), max(1, given + taken))
            moving = uneven * Fraction(price) * Fraction(self.settings.inventory_bps) / 10_000
            return LegCosts(gas_quote_raw, self._leg_failure(), (spread + fees) * rate, moving * rate)

        return (
            (
                Side.SELL,
                optimal_buy_on_pool_sell_on_book(
                    replica,
                    bids,
                    terms,
                    costs=costs(pool_base, lots_held),
                    lots_max=min(within_notional, lots_held, pool_quote),
                ),
            ),
            (
                Side.BUY,
                optimal_buy_on_book_sell_on_pool(
                    replica,
                    asks,
                    terms,
                    costs=costs(lots_held, pool_base),
                    lots_max=min(within_notional, lots_affordable, pool_base),
                ),
            ),
        )

    # --- the legs

    def _after_exchange_leg(self, context: Context) -> None:
        trade = self._current()
        if trade.order_id is not None and context.is_open(trade.order_id):
            return
        if trade.base_raw == 0:
            self._end()
            return
        pool = context.pool(trade.pool)
        base, _quote = self._tokens(context, pool)
        try:
            if trade.side is Side.BUY:
                amount_in = _rescale_down(trade.base_raw, self._instrument.base, base)
                out = pool.replica.quote_exact_in_down(base.id, amount_in)
            else:
                out = -_rescale_down(trade.base_raw, self._instrument.base, base)
                amount_in = pool.replica.quote_exact_out_up(base.id, out)
        except Refused:
            self._fail(context)
            return
        trade.intent_id = self._swap(context, trade.pool, trade.side, amount_in, out)
        if trade.intent_id is None:
            self._fail(context)
        else:
            self.stage = Stage.POOL

    def _after_both_legs(self, context: Context) -> None:
        """Reverse what one leg left when both are known; until then nothing can be said of what is open."""
        trade = self._current()
        if trade.intent_id is not None or (trade.order_id is not None and context.is_open(trade.order_id)):
            return
        self._measure(context, trade)
        if trade.is_mined and self._is_small(context, trade):
            self._succeed(trade)
        else:
            self._fail(context)

    def _swap(self, context: Context, pool_id: str, side: Side, amount_in: int, out: int) -> int | None:
        """Ask for the pool leg of a trade that does `side` on the exchange; None when the gate refuses."""
        base, quote = self._tokens(context, context.pool(pool_id))
        token_in = base if side is Side.BUY else quote
        minimum = out * (10_000 - int(self.settings.slippage_bps)) // 10_000
        deadline = context.block_time_s + self.settings.deadline_s
        return context.swap(pool_id, token_in.id, amount_in, minimum, deadline)

    def _on_settled(self, context: Context, trade: Trade, *, is_mined: bool, block_number: int) -> None:
        trade.intent_id, trade.is_mined = None, is_mined
        if is_mined:
            self._seen_block[trade.pool] = block_number
        if self.stage is not Stage.POOL:
            return
        if not is_mined:
            self._fail(context)
            return
        self._measure(context, trade)
        self._succeed(trade)

    def _succeed(self, trade: Trade) -> None:
        self._failures = 0
        self._learn(is_failure=False)
        if self._open_lots(trade) == 0:
            self._end()
        else:
            # A trade of the exchange leg was told after its end, or the pool gave other than was meant.
            self.stage, trade.order_id = Stage.UNWIND, None

    def _fail(self, context: Context) -> None:
        """Go back after a leg that did not happen.

        Whatever was in the way is likely to be there still, and each attempt costs an unwind: wait ever longer.
        """
        self._failures += 1
        self._learn(is_failure=True)
        pause_s = min(2**self._failures, PAUSE_S_MAX)
        self._resume_ns = context.now_ns + pause_s * 1_000_000_000
        self.stage, self._current().order_id = Stage.UNWIND, None
        self._unwind(context)

    def _learn(self, *, is_failure: bool) -> None:
        self._tried = self._tried * MEMORY + 1
        self._failed = self._failed * MEMORY + is_failure

    def _leg_failure(self) -> Fraction:
        """How likely a trade is to be reversed: what is assumed, moved by what was seen."""
        assumed = float(self.settings.leg_failure) * PRIOR_TRADES
        return Fraction(round((assumed + self._failed) / (PRIOR_TRADES + self._tried) * 10**6), 10**6)

    def _measure(self, context: Context, trade: Trade) -> None:
        """Take what is open from the books: everything this strategy gained or owes of the base, wherever it lies."""
        trade.base_raw = round(context.units(self._base) * self._instrument.base.unit)

    def _is_small(self, context: Context, trade: Trade) -> bool:
        """Whether what is open is less than the venue takes as an order."""
        book, lots = context.book(self._market), self._open_lots(trade)
        return lots == 0 or (
            book.is_valid and self._instrument.notional(book.bid, lots) < self._instrument.min_notional
        )

    def _recover(self, context: Context) -> None:
        """Take back what is open though nothing is in flight: a trade that was told after its attempt had ended."""
        held = round(context.units(self._base) * self._instrument.base.unit)
        found = Trade(side=Side.BUY if held > 0 else Side.SELL, pool="", order_id=None, base_raw=held)
        if self._open_lots(found) and context.book(self._market).is_valid and not self._is_small(context, found):
            self._trade, self.stage = found, Stage.UNWIND
            self._unwind(context)

    def _unwind(self, context: Context) -> None:
        """Reverse the first leg on the exchange, as often as it takes, down to what is too small to trade."""
        trade = self._current()
        if context.halted or (trade.order_id is not None and context.is_open(trade.order_id)):
            return
        book = context.book(self._market)
        side = Side.SELL if trade.base_raw > 0 else Side.BUY
        lots = self._open_lots(trade)
        if not book.is_valid or context.now_ns < self._unwind_ns:
            return
        if lots == 0 or self._instrument.notional(book.bid, lots) < self._instrument.min_notional:
            self._end()
            return
        self._unwind_ns = context.now_ns + UNWIND_RETRY_NS
        # Further from the market than the gate allows, nothing would ever be reversed: come nearer with each refusal.
        slip = side.sign * float(self.settings.unwind_slippage_bps) / 1e4 / 2 ** min(trade.unwind_refusals, 6)
        limit = int((book.bid + book.ask) / 2 * (1 + slip))
        if trade.unwind_lots_max:
            lots = min(lots, trade.unwind_lots_max)
        order_id = context.take(self._market, _SIDE[side], limit, lots)
        if order_id is not None:
            trade.follow(order_id)
            trade.unwind_lots_max = 0
        else:
            # What the gate finds too large goes in halves: a price that moved must not make the position stay.
            trade.unwind_refusals += 1
            half = lots // 2
            is_tradable = self._instrument.notional(book.bid, half) >= self._instrument.min_notional
            trade.order_id, trade.unwind_lots_max = None, half if is_tradable else 0

    def _open_lots(self, trade: Trade) -> int:
        """What of the first leg is not offset yet, in whole lots."""
        return self._instrument.lots_down(Decimal(abs(trade.base_raw)) / self._instrument.base.unit)

    def _count(self, fill: EventView) -> None:
        """Follow what the exchange legs moved of the base, a fee taken in it off."""
        trade = self._trade
        if trade is None or fill.client_id not in trade.order_ids:
            return
        base_raw = int(self._instrument.qty(fill.size) * self._instrument.base.unit)
        trade.base_raw += base_raw if fill.side == _SIDE[Side.BUY] else -base_raw
        if fill.flags & EventFlag.FEE_BASE:
            trade.base_raw -= fill.aux1

    # --- small things

    def _profit_min(self, context: Context, pool_id: str) -> int:
        _, quote = self._tokens(context, context.pool(pool_id))
        return math.ceil(self.settings.profit_min * quote.unit)

    def _tokens(self, context: Context, pool: PoolMarket) -> tuple[Asset, Asset]:
        is_base0 = context.symbol_of(pool.token0.id) == self._base
        return (pool.token0, pool.token1) if is_base0 else (pool.token1, pool.token0)

    def _current(self) -> Trade:
        if self._trade is None:
            raise InvariantError(f"strategy {self.id} is at {self.stage} without a trade")
        return self._trade

    def _end(self) -> None:
        self._trade, self.stage = None, Stage.IDLE


def _rescale_down(raw: int, source: Asset, target: Asset) -> int:
    """Count the same quantity in another asset's unit, toward zero."""
    sign = 1 if raw >= 0 else -1
    return sign * (abs(raw) * target.unit // source.unit)
