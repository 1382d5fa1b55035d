"""The settings of a routed order: what, where, how patiently. See `engine.strategies.routed_order`."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field, model_validator

from engine.strategies.base import CatalogSettings, NotNegative, Positive
from runtime import SettingsPart


class RouteSettings(SettingsPart):
    """One exchange's instrument."""

    instrument: str
    contract: Literal["spot", "linear", "inverse"] = "spot"
    face: Positive | None = None
    """Quote units a contract is worth, of an inverse contract."""
    latency_ms: NotNegative = Decimal(5)
    """From decision to matching, until answers tell."""
    impact_bps: NotNegative = Decimal(0)
    """What taking all levels that are looked at would cost beyond their prices."""

    @model_validator(mode="after")
    def _has_a_face(self) -> RouteSettings:
        if (self.contract == "inverse") != (self.face is not None):
            raise ValueError("an inverse contract has a face, others have none")
        return self


class RoutedOrderSettings(CatalogSettings):
    """One parent order, split over exchanges and pools by all-in cost."""

    kind: Literal["routed-order"] = "routed-order"
    side: Literal["buy", "sell"]
    qty: Positive
    """Base units."""
    routes: tuple[RouteSettings, ...] = Field(min_length=1, max_length=16)
    pools: tuple[str, ...] = Field(default=(), max_length=8)
    limit: Positive | None = None
    """Worst price of a unit, its fee included. Without it: `collar_bps` beyond the first mid that is seen."""
    collar_bps: Positive = Decimal(50)
    slices: int = Field(default=1, ge=1, le=1_000)
    interval_ms: int = Field(default=1_000, ge=0)
    start_after_ms: int = Field(default=0, ge=0)
    """From `start_at`, or else from the first book it sees."""
    start_at: AwareDatetime | None = None
    """With its time zone (`2024-08-08T23:55:00Z`)."""
    rounds_max: int = Field(default=20, ge=1)
    """Splits that are sent, of every slice together."""
    retry_ms: int = Field(default=200, ge=1)
    """Pause after a round, and before a place that executed nothing is asked again."""
    levels: int = Field(default=20, ge=1, le=200)
    slip_bps: NotNegative = Decimal(1)
    pool_slippage_bps: NotNegative = Decimal(10)
    pool_wait_s: NotNegative = Decimal(12)
    """How long a swap takes, for what the market may do meanwhile."""
    pool_deadline_s: int = Field(default=60, gt=0)
    gas_units: int = Field(default=180_000, gt=0)
    volatility_bps: NotNegative = Decimal(1)
    """Standard deviation of the mid after one second. 0 and `miss_bps` 0: prices, fees and gas alone decide."""
    miss_bps: NotNegative = Decimal(2)
    """What executing later and elsewhere costs, of what a place misses."""

    fixed: ClassVar[tuple[str, ...]] = ("side", "qty", "routes", "start_at", "start_after_ms")

    @model_validator(mode="after")
    def _names_each_place_once(self) -> RoutedOrderSettings:
        names = [route.instrument for route in self.routes]
        if len({*names, *self.pools}) != len(names) + len(self.pools):
            raise ValueError("an instrument or a pool is named twice")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return tuple(route.instrument for route in self.routes)

    def pool_names(self) -> tuple[str, ...]:
        return self.pools
