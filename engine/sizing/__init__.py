"""How large a position should be: fixed fractional, Kelly with a cap, volatility target, ATR.

Rules are pure functions of floats (`fixed.py`, `kelly.py`, `volatility.py`), in base units, never more than their
bounds allow, zero when an input is not known yet. `lots.py` makes whole lots of them, down. `rules.py` is the same as
settings with a `kind`, for strategies to embed. Nothing here replaces the risk gate (docs/risk.md).
"""

from engine.sizing.fixed import fixed_fraction, fixed_fractional
from engine.sizing.kelly import kelly_binary, kelly_capped, kelly_continuous, kelly_of_returns
from engine.sizing.lots import lots_down
from engine.sizing.rules import (
    AtrSizing,
    FixedFractionalSizing,
    FixedFractionSizing,
    KellySizing,
    Sizing,
    SizingInputs,
    SizingRule,
    VolatilityTargetSizing,
)
from engine.sizing.volatility import atr_units, volatility_target, volatility_target_exposure

__all__ = [
    "AtrSizing",
    "FixedFractionSizing",
    "FixedFractionalSizing",
    "KellySizing",
    "Sizing",
    "SizingInputs",
    "SizingRule",
    "VolatilityTargetSizing",
    "atr_units",
    "fixed_fraction",
    "fixed_fractional",
    "kelly_binary",
    "kelly_capped",
    "kelly_continuous",
    "kelly_of_returns",
    "lots_down",
    "volatility_target",
    "volatility_target_exposure",
]
