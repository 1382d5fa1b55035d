"""Keep a portfolio at its target weights: trade when one has drifted out of its band, and only as far as it pays.

    weight  w = (held · mid) / value         value = cash + the sum of all that is held, at their mids
    out     |w - target| > band, or > band_relative · target, or a calendar's time has come
    back    to the target, or with `to = "edge"` to the band's edge, which trades less and sooner again

Sales go first, purchases when they are through and by what they left, so that cash never is short. What is held is what
the strategy began with (`cash`, `holdings`) and what it traded since: other strategies' trades are none of its own.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from engine.records import EventFlag
from engine.sdk import BookView, Context, EventView
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.reaching import BUY, Legs, is_busy, reach
from engine.strategies.rounding import lots_down

Weight = Annotated[Decimal, Field(ge=0, le=1)]


class PortfolioRebalancingSettings(CatalogSettings):
    """See the module."""

    kind: Literal["portfolio-rebalancing"] = "portfolio-rebalancing"
    weights: Annotated[dict[str, Weight], Field(min_length=1, max_length=32)]
    """Target share of each instrument's base, by instrument; what they leave of 1 is cash. All quoted in one asset."""
    cash: NotNegative
    """Quote units it begins with."""
    holdings: dict[str, NotNegative] = Field(default_factory=dict)
    """Base units it begins with, by instrument."""
    band: Weight = Decimal("0.05")
    band_relative: Weight = Decimal(0)
    """Of the target; 0: only `band` counts."""
    to: Literal["target", "edge"] = "target"
    every_s: int = Field(default=0, ge=0)
    """Back to the targets at each multiple of this time, whatever the drift; 0: never."""
    look_s: Positive = Decimal(60)
    cost_max_bps: Positive = Decimal(50)
    """Fee and half spread of a trade above which it waits."""
    trade_min: NotNegative = Decimal(10)
    """Quote units; smaller trades are left out."""
    slippage_bps: Positive = Decimal(10)
    patience_s: Positive = Decimal(60)
    """After this long a rebalancing is given up where it stands, and looked at anew."""

    fixed: ClassVar[tuple[str, ...]] = ("cash", "holdings", "look_s")

    @model_validator(mode="after")
    def _adds_up(self) -> PortfolioRebalancingSettings:
        if sum(self.weights.values()) > 1:
            raise ValueError(f"the weights add up to {sum(self.weights.values())}, more than 1")
        if unknown := sorted(set(self.holdings) - set(self.weights)):
            raise ValueError(f"holdings: {unknown[0]} has no weight (0 sells it)")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return tuple(self.weights)


class PortfolioRebalancing(CatalogStrategy[PortfolioRebalancingSettings]):
    """See the module."""

    saved = ("_cash_raw", "_fees_raw", "_looked", "_period", "_targets", "_deadline_ns", "_legs")

    def __init__(self, settings: PortfolioRebalancingSettings) -> None:
        super().__init__(settings)
        self._cash_raw = 0
        """What trades and their fees brought (+) or cost (-), in the quote asset's smallest unit."""
        self._fees_raw: dict[str, int] = {}
        """By instrument, fees that were taken in its base."""
        self._looked = self._period = -1
        self._targets: list[int] = []
        """Positions wanted, by instrument in order of their names; empty while nothing is under way."""
        self._deadline_ns = 0
        self._legs: Legs = {}

    @property
    def is_idle(self) -> bool:
        return not self._targets

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        # In an order of its own: changed weights may come in another.
        self._places = [ctx.instrument(name) for name in sorted(self.settings.weights)]
        self._terms = [ctx.terms(at) for at in self._places]
        self._look_ns = int(self.settings.look_s * 1_000_000_000)

    def on_book(self, ctx: Context, book: BookView) -> None:
        look = ctx.now_ns // self._look_ns
        if look > self._looked and not self._targets and not ctx.stopping and not ctx.halted:
            books = [ctx.book(at) for at in self._places]
            if all(one.is_valid for one in books):
                self._looked = look
                self._look(ctx, [(one.bid + one.ask) / 2 * ctx.tick(one.instrument) for one in books])
        self._reach(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        terms = self._terms[self._places.index(event.instrument)]
        notional = terms.notional(event.price, event.size)
        bought = event.side == BUY
        self._cash_raw += math.floor((-notional if bought else notional) * terms.quote.unit)
        if event.flags & EventFlag.FEE_BASE:
            self._fees_raw[terms.id] = self._fees_raw.get(terms.id, 0) + event.aux1
        else:
            # Whatever it is paid in, it is worth so much: a fee in a third coin is a cost of this portfolio too.
            self._cash_raw -= math.ceil(notional * terms.taker_fee_bps / 10_000 * terms.quote.unit)
        self._reach(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_stop(self, ctx: Context) -> None:
        self._targets = []

    # --- decisions

    def held(self, ctx: Context, at: int) -> float:
        """Base units of one instrument (by order of names), by its own reckoning."""
        terms = self._terms[at]
        first = float(self.settings.holdings.get(terms.id, 0)) - self._fees_raw.get(terms.id, 0) / terms.base.unit
        return first + ctx.position(self._places[at]) * ctx.lot(self._places[at])

    def cash(self) -> float:
        return float(self.settings.cash) + self._cash_raw / self._terms[0].quote.unit

    def _look(self, ctx: Context, mids: list[float]) -> None:
        """Decide whether to trade, and how much of each."""
        settings = self.settings
        worth = [self.held(ctx, at) * mid for at, mid in enumerate(mids)]
        value = self.cash() + math.fsum(worth)
        if value <= 0.0:
            return
        targets = [float(settings.weights[terms.id]) for terms in self._terms]
        drifts = [one / value - target for one, target in zip(worth, targets, strict=True)]
        bands = [self._band(target) for target in targets]
        worst = max(drifts, key=abs)
        ctx.signal("drift", worst, value=value, cash=self.cash())
        period = ctx.now_ns // (settings.every_s * 1_000_000_000) if settings.every_s else self._period
        is_due, self._period = period != self._period, period
        if not is_due and not any(abs(drift) > band for drift, band in zip(drifts, bands, strict=True)):
            return
        wanted = [
            self._change(ctx, at, drift, 0.0 if is_due or settings.to == "target" else band, value)
            for at, (drift, band) in enumerate(zip(drifts, bands, strict=True))
        ]
        spent = math.fsum(one for one in wanted if one > 0.0)
        # Purchases are held to the cash that there will be, fees and slippage paid.
        have = self.cash() - math.fsum(one for one in wanted if one < 0.0) * (1.0 - self._reserve())
        share = min(1.0, max(0.0, have) / (spent * (1.0 + self._reserve()))) if spent > 0.0 else 1.0
        lots = [
            math.copysign(lots_down(abs(one) * (share if one > 0.0 else 1.0) / mid, ctx.lot(place)), one)
            for one, mid, place in zip(wanted, mids, self._places, strict=True)
        ]
        if any(lots):
            self._targets = [ctx.position(at) + int(change) for at, change in zip(self._places, lots, strict=True)]
            self._deadline_ns = ctx.now_ns + int(settings.patience_s * 1_000_000_000)

    def _band(self, target: float) -> float:
        relative = float(self.settings.band_relative) * target
        return min(float(self.settings.band), relative) if relative else float(self.settings.band)

    def _change(self, ctx: Context, at: int, drift: float, edge: float, value: float) -> float:
        """What to buy (+) or sell (-) of one, in quote units."""
        book = ctx.book(self._places[at])
        cost = float(self._terms[at].taker_fee_bps) + (book.ask - book.bid) / (book.ask + book.bid) * 1e4
        change = -math.copysign(max(0.0, abs(drift) - edge), drift) * value
        if abs(change) < float(self.settings.trade_min) or cost > float(self.settings.cost_max_bps):
            return 0.0
        return change

    def _reserve(self) -> float:
        return (max(float(terms.taker_fee_bps) for terms in self._terms) + float(self.settings.slippage_bps)) / 1e4

    def _reach(self, ctx: Context) -> None:
        """Sell what is too much, then buy what is too little."""
        if not self._targets:
            return
        slippage = float(self.settings.slippage_bps)
        pairs = list(zip(self._places, self._targets, strict=True))
        sales = [pair for pair in pairs if pair[1] < ctx.position(pair[0])]
        there = all([reach(ctx, self._legs, at, wanted, slippage_bps=slippage) for at, wanted in sales])  # noqa: C419
        if there and not is_busy(ctx, self._legs):
            # Prices may have moved since the amounts were decided: no more is bought than there is cash for now.
            cash = self.cash() / (1.0 + self._reserve())
            for at, target in pairs:
                book, lot = ctx.book(at), ctx.lot(at)
                price = book.ask * ctx.tick(at) * lot
                lots = min(target - ctx.position(at), int(max(0.0, cash) / price)) if price else 0
                if lots > 0:
                    cash -= lots * price
                    there = reach(ctx, self._legs, at, ctx.position(at) + lots, slippage_bps=slippage) and there
        else:
            there = False
        if there or ctx.now_ns >= self._deadline_ns:
            self._targets = []
