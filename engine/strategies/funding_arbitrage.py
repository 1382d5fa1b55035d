"""Funding arbitrage: the asset bought on the spot market and sold as a perpetual, for the funding longs pay shorts.

The next rate is forecast from what the venue computes it of: the premium p of the perpetual over the spot, averaged
over `memory_s`, pulled to the interest rate as Binance's formula has it:

    rate = p + clamp(interest - p, -damp, +damp)          per funding period, within ±cap

So nothing has to be subscribed to but two books, and it is the same in a backtest, on paper and live. What carrying the
pair is expected to bring is rate · `hold_periods`, plus the premium as it is now, which is gone when the two meet, less
both legs both ways (fees, half spreads). Beyond `open_bps` it is opened. It is closed when the rate has fallen to
`close_rate_bps`, or when the perpetual is so far *below* the spot that closing earns `take_bps` by itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from engine.sdk import BookView, Context, EventView
from engine.sdk.floats import half_to_the
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.reaching import Legs, common_lot, is_busy, reach
from engine.strategies.rounding import held_to, lots_down


class FundingArbitrageSettings(CatalogSettings):
    """See the module."""

    kind: Literal["funding-arbitrage"] = "funding-arbitrage"
    spot: str
    perpetual: str
    """A linear contract on the same asset, counted in base units."""
    notional: Positive = Decimal(1_000)
    """Of each leg, in quote."""
    look_s: Positive = Decimal(60)
    memory_s: Positive = Decimal(28_800)
    """Half-life of the premium's average."""
    interest_bps: Decimal = Decimal(1)
    """The interest in a period's rate; Binance: 0.01% in eight hours."""
    damp_bps: NotNegative = Decimal(5)
    cap_bps: Positive = Decimal(75)
    hold_periods: int = Field(default=30, ge=1)
    """For how many funding periods the rate is counted on."""
    open_bps: NotNegative = Decimal(5)
    """Least expected gain after all costs, of the notional."""
    close_rate_bps: Decimal = Decimal(0)
    """Rate of a period at or below which it is closed."""
    take_bps: Positive = Decimal(30)
    slippage_bps: Positive = Decimal(10)
    legs_s: Positive = Decimal(30)

    fixed: ClassVar[tuple[str, ...]] = ("look_s",)

    @model_validator(mode="after")
    def _two_places(self) -> FundingArbitrageSettings:
        if self.spot == self.perpetual:
            raise ValueError("spot and perpetual are one instrument")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.spot, self.perpetual)


class FundingArbitrage(CatalogStrategy[FundingArbitrageSettings]):
    """See the module."""

    saved = ("_looked", "_premium", "_premium_ns", "_lots", "_deadline_ns", "_not_before_ns", "_legs")

    def __init__(self, settings: FundingArbitrageSettings) -> None:
        super().__init__(settings)
        self._looked = -1
        self._premium = 0.0
        self._premium_ns = 0
        self._lots = [0, 0]
        """Positions wanted: spot and perpetual."""
        self._deadline_ns = 0
        """Until when both legs have to be there; 0: nothing is under way."""
        self._not_before_ns = 0
        self._legs: Legs = {}

    @property
    def is_idle(self) -> bool:
        return self._deadline_ns == 0 and self._lots == [0, 0]

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._places = (ctx.instrument(self.settings.spot), ctx.instrument(self.settings.perpetual))
        terms = [ctx.terms(at) for at in self._places]
        self._fees = sum(float(one.taker_fee_bps) for one in terms)
        self._step = float(common_lot([one.lot_size for one in terms]))
        self._look_ns = int(self.settings.look_s * 1_000_000_000)

    def on_book(self, ctx: Context, book: BookView) -> None:
        spot, perpetual = (ctx.book(at) for at in self._places)
        look = ctx.now_ns // self._look_ns
        if look > self._looked and spot.is_valid and perpetual.is_valid:
            self._looked = look
            mids = [(b.bid + b.ask) / 2 * ctx.tick(b.instrument) for b in (spot, perpetual)]
            premium = (mids[1] / mids[0] - 1.0) * 1e4
            self._learn(ctx.now_ns, premium)
            self._decide(ctx, premium, mids[0], (spot, perpetual))
        self._reach(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_stop(self, ctx: Context) -> None:
        self._aim(ctx, 0)

    # --- decisions

    def rate_bps(self) -> float:
        """The forecast of a period's funding."""
        settings = self.settings
        pull = held_to(float(settings.interest_bps) - self._premium, float(settings.damp_bps))
        return held_to(self._premium + pull, float(settings.cap_bps))

    def _learn(self, now_ns: int, premium: float) -> None:
        if self._premium_ns == 0:
            self._premium = premium
        else:
            keep = half_to_the((now_ns - self._premium_ns) / 1e9 / float(self.settings.memory_s))
            self._premium = keep * self._premium + (1.0 - keep) * premium
        self._premium_ns = now_ns

    def _decide(self, ctx: Context, premium: float, price: float, books: tuple[BookView, BookView]) -> None:
        settings, rate = self.settings, self.rate_bps()
        cost = 2.0 * self._fees + sum(2.0 * (b.ask - b.bid) / (b.ask + b.bid) * 1e4 for b in books)
        expected = rate * settings.hold_periods + premium - cost
        ctx.signal("rate", rate, premium=premium, expected=expected, cost=cost)
        if self._lots != [0, 0]:
            if rate <= float(settings.close_rate_bps) or premium <= -float(settings.take_bps) - cost / 2.0:
                self._aim(ctx, 0)
        elif ctx.stopping or ctx.halted or is_busy(ctx, self._legs) or ctx.now_ns < self._not_before_ns:
            return
        elif expected >= float(settings.open_bps) and rate > float(settings.close_rate_bps):
            steps = lots_down(float(settings.notional) / price, self._step)
            self._aim(ctx, steps)

    def _aim(self, ctx: Context, steps: int) -> None:
        quantity = steps * self._step
        self._lots = [lots_down(quantity, ctx.lot(self._places[0])), -lots_down(quantity, ctx.lot(self._places[1]))]
        self._deadline_ns = ctx.now_ns + int(self.settings.legs_s * 1_000_000_000)

    def _reach(self, ctx: Context) -> None:
        """Bring both legs to where they are wanted; back to nothing when one of them does not get there."""
        if self._deadline_ns == 0:
            return
        slippage = float(self.settings.slippage_bps)
        pairs = zip(self._places, self._lots, strict=True)
        there = [reach(ctx, self._legs, at, wanted, slippage_bps=slippage) for at, wanted in pairs]
        if all(there):
            self._deadline_ns = 0
        elif ctx.now_ns >= self._deadline_ns and self._lots != [0, 0]:
            self._aim(ctx, 0)
            # What was in the way is likely to be there still.
            self._not_before_ns = ctx.now_ns + 10 * int(self.settings.legs_s * 1_000_000_000)
