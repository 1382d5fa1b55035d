"""The kernel's numbers in words people read: rules, stages, findings."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

RULES: Final = MappingProxyType(
    {
        1: "blacklist",
        2: "order_size",
        3: "order_notional",
        4: "price_collar",
        5: "stale_book",
        6: "no_mark",
        7: "open_orders",
        8: "open_orders_total",
        9: "self_trade",
        10: "position",
        11: "exposure",
        12: "capital",
        13: "throttle",
        14: "reduce_only",
        15: "stage",
        16: "swap_notional",
        17: "overflow",
        18: "unbounded",
        19: "unknown",
        20: "not_open",
        21: "ids",
        22: "cannot_amend",
        23: "cannot_reduce",
        30: "executions",
        31: "drawdown",
        32: "loss",
        33: "daily_loss",
        34: "loss_velocity",
        35: "overdue",
        36: "operator",
    }
)
"""`Rule` of native/engine/src/risk/rule.rs, by number."""

STAGES: Final = ("running", "reduce", "cancel", "flatten", "freeze")
"""How far a run is stopped, by number."""

_FINDINGS: Final = MappingProxyType(
    {
        1: "lost order",
        2: "foreign order",
        3: "risen order",
        4: "balance",
        5: "position",
        6: "missing trades",
    }
)


def rule(code: int) -> str:
    """A rule's name; a number nobody here knows keeps it."""
    return RULES.get(code, f"rule-{code}")


def finding(code: int) -> str:
    """What a venue's answer contains that nobody here ordered, or lacks."""
    return _FINDINGS.get(code, f"finding-{code}")
