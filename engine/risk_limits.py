"""The risk settings as the native gate has them: whole numbers of the unit of account's smallest unit, and nanoseconds.

Whatever does not come out even is rounded to the safe side: limits and collars down, times between retries up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from domain import InputError

if TYPE_CHECKING:  # Reading settings takes pydantic, 0.4 s that a backtest from Python need not wait for.
    from engine.settings import RiskLimits, StageName

STAGES: Final = {"reduce": 1, "cancel": 2, "flatten": 3, "freeze": 4}
_SECOND: Final = 1_000_000_000
_COLLAR_PPM_MAX: Final = 999_999


def native_limits(limits: RiskLimits, *, value_decimals: int) -> dict[str, Any]:
    """Give the `limits` of a native kernel's configuration, named as in `native/engine/src/risk/limits.rs`."""

    def value(amount: Decimal) -> int:
        return int(amount.scaleb(value_decimals))

    def loss(amount: Decimal | None, stage: StageName) -> tuple[int, int] | None:
        return None if amount is None else (value(amount), STAGES[stage])

    window_ns = limits.loss_velocity_window_s * _SECOND
    kill = limits.kill
    return {
        "order_value_max": value(limits.order_notional_max),
        "swap_value_max": value(limits.swap_notional_max),
        "collar_ppm": _ppm_down(limits.price_collar_bps),
        "position_value_max": value(limits.position_notional_max),
        "exposure_value_max": value(limits.exposure_notional_max),
        "open_orders_max": limits.open_orders_per_strategy_max,
        "open_orders_total_max": limits.open_orders_max,
        "messages_per_second_max": limits.messages_per_second_max,
        "book_age_ns_max": limits.book_age_ms_max * 1_000_000,
        "capital": value(capital(limits)),
        "executions_max": limits.executions_max,
        "executions_window_ns": limits.executions_window_s * _SECOND,
        "executions_pause_ns": limits.executions_pause_s * _SECOND,
        "executions_stage": STAGES[limits.executions_stage],
        "strategy_losses": {
            "drawdown": loss(limits.strategy_drawdown_max, limits.strategy_drawdown_stage),
            "total": loss(limits.strategy_loss_max, limits.strategy_loss_stage),
            "daily": loss(limits.strategy_daily_loss_max, limits.strategy_daily_loss_stage),
            "velocity": loss(limits.strategy_loss_velocity_max, limits.strategy_loss_velocity_stage),
            "velocity_window_ns": window_ns,
        },
        "losses": {
            "drawdown": loss(limits.drawdown_max, limits.drawdown_stage),
            "total": loss(limits.loss_max, limits.loss_stage),
            "daily": loss(limits.daily_loss_max, limits.daily_loss_stage),
            "velocity": loss(limits.loss_velocity_max, limits.loss_velocity_stage),
            "velocity_window_ns": window_ns,
        },
        "kill": {
            "cancel_again_ns": _ns_up(kill.cancel_again_s),
            "cancel_ns_max": kill.cancel_s_max * _SECOND,
            "flatten_ns_max": kill.flatten_s_max * _SECOND,
            "flatten_collar_ppm": _ppm_down(kill.flatten_collar_bps),
            "flatten_again_ns": _ns_up(kill.flatten_again_s),
            "flatten_attempts_max": kill.flatten_attempts_max,
            "freeze_when_flat": kill.freeze_when_flat,
        },
    }


def capital(limits: RiskLimits) -> Decimal:
    """What all strategies together may put to work."""
    return limits.exposure_notional_max if limits.capital is None else limits.capital


def native_shares(limits: RiskLimits, strategies: Sequence[str], *, value_decimals: int) -> list[int]:
    """Give each strategy's part of the capital, in the order of the strategies; together never more than there is.

    Raises:
        InputError: A share is of no strategy, or the named ones leave less than nothing.
    """
    if unknown := sorted(limits.shares.keys() - set(strategies)):
        raise InputError(f"engine.risk.shares: there is no strategy {', '.join(unknown)}")
    whole = int(capital(limits).scaleb(value_decimals))
    named = {name: int(share.scaleb(value_decimals)) for name, share in limits.shares.items()}
    left = whole - sum(named.values())
    if left < 0:
        raise InputError(
            f"engine.risk.shares are {sum(limits.shares.values())} together, more than the capital {capital(limits)}"
        )
    others = len(strategies) - len(named)
    return [named[name] if name in named else left // others for name in strategies]


def order_lots_max(limits: RiskLimits, economic: str, lot: Decimal) -> int:
    """Give the largest order of an instrument in lots, rounded down; 0 where it is bounded by value only.

    Raises:
        InputError: Not even one lot would be allowed.
    """
    quantity = limits.order_qty_max.get(economic)
    if quantity is None:
        return 0
    lots = int(quantity // lot)
    if lots == 0:
        raise InputError(f"engine.risk.order_qty_max.{economic}: {quantity} is less than one lot of {lot}")
    return lots


def _ppm_down(bps: Decimal) -> int:
    return min(int(bps * 100), _COLLAR_PPM_MAX)


def _ns_up(seconds: Decimal) -> int:
    return math.ceil(seconds.scaleb(9))
