"""The engine's part of the settings: risk limits, economic assets, strategies."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.services.ramp_settings import RampSettings
from engine.strategies.base import Positive
from engine.strategies.catalog import CatalogUnion
from runtime import SettingsPart

StageName = Literal["reduce", "cancel", "flatten", "freeze"]
"""How far a limit drives the staged kill; see docs/risk.md."""


class KillSettings(SettingsPart):
    """How the staged kill proceeds."""

    cancel_again_s: Positive = Decimal(2)
    """A cancel that did not end its order is sent again after this long."""
    cancel_s_max: int = Field(default=30, ge=0)
    """How long cancels may take before flatten begins without their end (0: for ever)."""
    flatten_s_max: int = Field(default=120, ge=0)
    """How long closing positions may take before everything is frozen (0: for ever)."""
    flatten_collar_bps: Positive = Decimal(200)
    """How far beyond the mid a closing order may execute."""
    flatten_again_s: Positive = Decimal(1)
    """Between two closing orders of one strategy in one instrument."""
    flatten_attempts_max: int = Field(default=10, gt=0)
    """Closing orders without progress before everything is frozen."""
    freeze_when_flat: bool = False
    """Whether custody and the signer are frozen once flatten is through."""


class RiskLimits(SettingsPart):
    """What the gate before every order enforces. Values are in the unit of account (USD); defaults are small."""

    order_notional_max: Positive = Decimal(1_000)
    order_qty_max: dict[str, Positive] = Field(default_factory=dict)
    """Largest order in base units by economic asset (`ETH = 10`); what is not named is bounded by value only."""
    swap_notional_max: Positive = Decimal(1_000)
    price_collar_bps: Positive = Decimal(100)
    """How far an order's limit may lie beyond the mid in the direction that costs us."""
    position_notional_max: Positive = Decimal(5_000)
    """Per strategy and asset, as deviation from the start, with all that is under way."""
    exposure_notional_max: Positive = Decimal(10_000)
    """All strategies together, sum of absolute deviations, with all that is under way."""
    capital: Positive | None = None
    """What all strategies together may put to work; without it, `exposure_notional_max`."""
    shares: dict[str, Positive] = Field(default_factory=dict)
    """Each strategy's own part of the capital, by id. Strategies not named divide what is left in equal parts."""
    open_orders_max: int = Field(default=20, gt=0)
    """Of all strategies together."""
    open_orders_per_strategy_max: int = Field(default=20, gt=0)
    messages_per_second_max: int = Field(default=20, gt=0, le=1_000_000)
    """Per venue, a bucket that holds one second's worth. Cancels count but are never refused."""
    book_age_ms_max: int = Field(default=2_000, gt=0)
    executions_max: int = Field(default=600, gt=0, le=65_536)
    """Orders of one strategy that may be executed within the window, without a pause, before it is stopped."""
    executions_window_s: int = Field(default=60, gt=0)
    executions_pause_s: int = Field(default=2, gt=0)
    """A strategy that was not executed for this long is counted from nothing."""
    executions_stage: StageName = "cancel"
    drawdown_max: Positive = Decimal(500)
    """Fall of the total result below its peak."""
    drawdown_stage: StageName = "cancel"
    loss_max: Positive | None = None
    """Total result below its start (or below what it was when an operator resumed)."""
    loss_stage: StageName = "cancel"
    daily_loss_max: Positive | None = None
    """Loss since midnight UTC of the engine's own clock."""
    daily_loss_stage: StageName = "cancel"
    loss_velocity_max: Positive | None = None
    """Loss within the window."""
    loss_velocity_window_s: int = Field(default=60, gt=0)
    loss_velocity_stage: StageName = "cancel"
    strategy_drawdown_max: Positive | None = None
    """The same four limits for each strategy's own result; they stop that strategy alone (freeze: everything)."""
    strategy_drawdown_stage: StageName = "cancel"
    strategy_loss_max: Positive | None = None
    strategy_loss_stage: StageName = "cancel"
    strategy_daily_loss_max: Positive | None = None
    strategy_daily_loss_stage: StageName = "cancel"
    strategy_loss_velocity_max: Positive | None = None
    strategy_loss_velocity_stage: StageName = "cancel"
    kill: KillSettings = KillSettings()
    blacklist: tuple[str, ...] = ()
    """Instrument ids, pool ids or asset ids that must not be traded."""


class EconomicAssetSettings(SettingsPart):
    """Which symbols are one thing, and which instrument prices it (none for the unit of account)."""

    members: tuple[str, ...]
    mark: str | None = None


class PythonStrategySettings(SettingsPart):
    """A strategy of your own: a subclass of `engine.sdk.Strategy`, made with `parameters`."""

    kind: Literal["python"] = "python"
    id: str = Field(default="own", pattern=r"[a-z0-9]{1,8}")
    strategy: str = Field(pattern=r"[\w.]+:\w+")
    """`module:Class`. The folder of the settings is looked in first."""
    parameters: dict[str, Any] = Field(default_factory=dict)


StrategySettings = Annotated[PythonStrategySettings | CatalogUnion, Field(discriminator="kind")]
"""Strategies of the catalog, and of one's own."""


class EngineSettings(SettingsPart):
    risk: RiskLimits = RiskLimits()
    ramp: RampSettings | None = None
    """Stages of capital below `[engine.risk]`; see docs/ramp.md."""
    assets: dict[str, EconomicAssetSettings] = Field(default_factory=dict)
    strategies: tuple[StrategySettings, ...] = ()
    timer_ms: int = Field(default=250, ge=10)
    queue_max: int = Field(default=10_000, ge=100)
