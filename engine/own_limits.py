"""Limits that change while a run goes on: what may, what a single strategy has for itself, and which way a change goes.

The settings file says what a run begins with. From then on `RunLimits` is what holds: the run's limits, and for single
strategies less than those. Tighter is what refuses more; a limit of nothing is the loosest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import Field, ValidationError

from domain import InputError
from engine.risk_limits import native_limits, native_shares
from engine.settings import RiskLimits
from engine.strategies.base import Positive
from engine.strategies.changes import problems
from runtime import SettingsPart

RUN_LIMITS: Final = (
    "order_notional_max", "swap_notional_max", "price_collar_bps", "position_notional_max", "exposure_notional_max",
    "open_orders_max", "open_orders_per_strategy_max", "drawdown_max", "loss_max", "daily_loss_max",
    "loss_velocity_max", "strategy_drawdown_max", "strategy_loss_max", "strategy_daily_loss_max",
    "strategy_loss_velocity_max",
)  # fmt: skip
"""Of `RiskLimits`, what may change. Windows, stages and budgets of messages are what is counted by: they stay."""


class OwnLimits(SettingsPart):
    """What one strategy has for itself; what is left out is as for all. Never more than the run allows."""

    order_notional_max: Positive | None = None
    swap_notional_max: Positive | None = None
    position_notional_max: Positive | None = None
    open_orders_max: int | None = Field(default=None, gt=0)
    capital: Positive | None = None
    """Of its share."""
    drawdown_max: Positive | None = None
    loss_max: Positive | None = None
    daily_loss_max: Positive | None = None
    loss_velocity_max: Positive | None = None


OWN_LIMITS: Final = tuple(OwnLimits.model_fields)
_OF_ALL: Final = {
    "open_orders_max": "open_orders_per_strategy_max",
    **{name: f"strategy_{name}" for name in ("drawdown_max", "loss_max", "daily_loss_max", "loss_velocity_max")},
}
"""What the run calls its bound of a strategy's own limit, where that is another name."""


class RunLimits(SettingsPart):
    """All that holds."""

    run: RiskLimits
    own: dict[str, OwnLimits] = Field(default_factory=dict)

    def bound(self, name: str) -> Decimal | int | None:
        """What the run allows each strategy; nothing where it does not say."""
        value: Decimal | int | None = None if name == "capital" else getattr(self.run, _OF_ALL.get(name, name))
        return value

    def of(self, strategy: str, name: str) -> Decimal | int | None:
        """What holds for one strategy: its own, but never more than what the run allows."""
        own = getattr(self.own.get(strategy, OwnLimits()), name)
        known = [value for value in (own, self.bound(name)) if value is not None]
        return min(known) if known else None

    def changed(self, strategy: str, changes: Mapping[str, Any]) -> RunLimits:
        """Lay changes over what holds; of the run where no strategy is named.

        Raises:
            InputError: A limit that does not exist or cannot change, a value that cannot be, or one of a strategy that
                is more than the run allows.
        """
        names = OWN_LIMITS if strategy else RUN_LIMITS
        where = f"limits of strategy {strategy}" if strategy else "limits of the run"
        if unknown := sorted(set(changes) - set(names)):
            raise InputError(f"{where}: {', '.join(unknown)} cannot change", hint=f"these can: {', '.join(names)}")
        try:
            if not strategy:
                run = RiskLimits.model_validate(self.run.model_dump() | dict(changes))
                return RunLimits(run=run, own=self.own)
            own = OwnLimits.model_validate(self.own.get(strategy, OwnLimits()).model_dump() | dict(changes))
        except ValidationError as exc:
            raise InputError(f"{where}: {problems(exc)}") from exc
        for name in changes:
            value, bound = getattr(own, name), self.bound(name)
            if value is not None and bound is not None and value > bound:
                raise InputError(f"{where}: {name} is {value}, and the run allows {bound}")
        return RunLimits(run=self.run, own=self.own | {strategy: own})

    def wanted(self, strategy: str) -> dict[str, Any]:
        """As JSON: the limits that can change, of the run or of a strategy."""
        part = self.own.get(strategy, OwnLimits()) if strategy else self.run
        return part.model_dump(mode="json", include=set(OWN_LIMITS if strategy else RUN_LIMITS))

    def native(self, strategies: Sequence[str], *, value_decimals: int) -> tuple[Any, list[Any], list[int]]:
        """Give limits, each strategy's own and the shares as the native kernel has them.

        Raises:
            InputError: The shares are more than the capital.
        """
        own = [self._native_own(name, value_decimals) for name in strategies]
        shares = native_shares(self.run, strategies, value_decimals=value_decimals)
        for at, name in enumerate(strategies):
            if (capital := self.own.get(name, OwnLimits()).capital) is not None:
                shares[at] = min(shares[at], int(capital.scaleb(value_decimals)))
        return native_limits(self.run, value_decimals=value_decimals), own, shares

    def _native_own(self, strategy: str, value_decimals: int) -> dict[str, Any]:
        """As if the run allowed every strategy what this one may."""
        own = {_OF_ALL.get(name, name): self.of(strategy, name) for name in OWN_LIMITS if name != "capital"}
        limits = native_limits(self.run.model_copy(update=own), value_decimals=value_decimals)
        kept = ("order_value_max", "swap_value_max", "position_value_max", "open_orders_max")
        return {name: limits[name] for name in kept} | {"losses": limits["strategy_losses"]}


def difference(before: RunLimits, after: RunLimits, strategy: str) -> dict[str, list[Any]]:
    """What changes, as JSON: from, to."""
    old, new = before.wanted(strategy), after.wanted(strategy)
    return {name: [old[name], new[name]] for name in old if old[name] != new[name]}


def loosened(before: RunLimits, after: RunLimits, strategy: str) -> list[str]:
    """The limits of a scope that a change makes looser."""
    parts = [limits.own.get(strategy, OwnLimits()) if strategy else limits.run for limits in (before, after)]
    names = OWN_LIMITS if strategy else RUN_LIMITS
    return [name for name in names if _is_looser(getattr(parts[0], name), getattr(parts[1], name))]


def tightest(holds: RunLimits, strategy: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was once wanted of a scope, give as changes what is tighter than what holds."""
    try:
        known = {name: value for name, value in stored.items() if value is not None}
        part: Any = OwnLimits.model_validate(known) if strategy else RiskLimits.model_validate(known)
    except ValidationError:
        return {}  # Another release's.
    mine: Any = holds.own.get(strategy, OwnLimits()) if strategy else holds.run
    tighter = [name for name in known if _is_looser(getattr(part, name), getattr(mine, name))]
    if not strategy:
        return {name: getattr(part, name) for name in tighter}
    # What the run allows has fallen below it meanwhile: that holds anyway.
    bounds = {name: holds.bound(name) for name in tighter}
    return {
        name: getattr(part, name) for name in tighter if (bound := bounds[name]) is None or getattr(part, name) <= bound
    }


def _is_looser(before: Any, after: Any) -> bool:
    if before is None or after is None:
        return before is not None and after is None
    return bool(after > before)
