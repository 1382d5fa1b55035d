"""Whether the capital may grow by a stage, and what a stage lets the engine do: plain functions of plain values.

Stages are counted from 1. What is not known is the lowest stage, or no.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import msgspec

from domain import InputError
from engine.risk_limits import capital
from engine.services.ramp_settings import BOUNDS, RampStage

if TYPE_CHECKING:
    from engine.settings import RiskLimits

HOURS_A_DAY_MIN: Final = 20
"""A day counts as one spent at a stage when the engine traded in so many of its hours."""
STANDARD_ERRORS: Final = 2.0
_HOUR_NS: Final = 3_600 * 10**9
_SHARE_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Expected:
    """A day's result as it is expected, in the unit of account."""

    mean: float
    deviation: float

    def scaled(self, factor: float) -> Expected:
        """As it is with so many times the capital."""
        return Expected(self.mean * factor, self.deviation * factor)


@dataclass(frozen=True, slots=True)
class Realised:
    """What a stage brought so far: every hour of trading is in it, today's too."""

    days: int
    """Days with `HOURS_A_DAY_MIN` hours or more."""
    hours: int
    result: float
    drawdown: float
    """The deepest fall below the peak, by every look at the result."""


@dataclass(frozen=True, slots=True)
class Where:
    """The stage that holds. `unknown` says why nobody can tell, and then it is the lowest."""

    number: int
    unknown: str = ""


def terms_of(stages: Sequence[RampStage], number: int) -> str:
    """Give the digest of a stage and all below it, by which a step is recorded."""
    tables = [stage.model_dump(mode="json") for stage in stages[:number]]
    return hashlib.sha256(msgspec.json.encode(tables, order="sorted")).hexdigest()


def where(stages: Sequence[RampStage], recorded: int | None, terms: str = "") -> Where:
    """Tell which stage holds, from what was recorded at the last step (None: nothing was)."""
    if recorded is None:
        return Where(1, "no step is recorded")
    if not 1 <= recorded <= len(stages):
        return Where(1, f"stage {recorded} is recorded, and the settings have {len(stages)}")
    if terms != terms_of(stages, recorded):
        return Where(1, f"the settings of stage {recorded} or of one below it are not those that were agreed to")
    return Where(recorded)


def limited(limits: RiskLimits, stage: RampStage) -> RiskLimits:
    """Give the limits of a stage: field by field the smaller of the two; named shares shrink with the capital.

    Raises:
        InputError: A share would become nothing.
    """
    smaller = {
        name: min(getattr(limits, name), bound) for name in BOUNDS if (bound := getattr(stage, name)) is not None
    }
    whole = min(capital(limits), stage.capital)
    if limits.capital is None:  # It is what may be exposed, then.
        whole = min(whole, smaller.get("exposure_notional_max", whole))
    part = Fraction(whole) / Fraction(capital(limits))
    shares = {name: _part_down(share, part) for name, share in limits.shares.items()}
    if nothing := sorted(name for name, share in shares.items() if not share):
        raise InputError(f"engine.risk.shares.{nothing[0]} is nothing at a capital of {whole}")
    return limits.model_copy(update={**smaller, "capital": whole, "shares": shares})


def realised_of(runs: Iterable[Iterable[tuple[int, float]]], since_ns: int) -> Realised:
    """Put the looks (time, result) at one run after another together, from a time on.

    Raises:
        InputError: A look is no number: nothing is known then.
    """
    hours: set[int] = set()
    carried = now = peak = drawdown = 0.0
    for looks in runs:
        base = 0.0  # A run begins with nothing won or lost.
        for time_ns, value in looks:
            if not math.isfinite(value):
                raise InputError(f"the result at {time_ns} is {value}")
            if time_ns < since_ns:
                base = value
                continue
            hours.add(time_ns // _HOUR_NS)
            now = carried + value - base
            peak = max(peak, now)
            drawdown = max(drawdown, peak - now)
        carried = now
    by_day = Counter(hour // 24 for hour in hours)
    return Realised(sum(n >= HOURS_A_DAY_MIN for n in by_day.values()), len(hours), now, drawdown)


def objections(stage: RampStage, expected: Expected, realised: Realised) -> tuple[str, ...]:
    """Say what speaks against a step up from a stage; nothing does when it is empty."""
    found = []
    if realised.days < stage.days_min:
        found.append(f"{realised.days} whole days at this stage, {stage.days_min} are needed")
    numbers = (expected.mean, expected.deviation, realised.result, realised.drawdown)
    if not all(map(math.isfinite, numbers)) or expected.mean <= 0 or expected.deviation < 0 or realised.hours <= 0:
        return (*found, "nothing to compare: no hours of trading, or no gain is expected")
    days = realised.hours / 24
    least = expected.mean - STANDARD_ERRORS * expected.deviation / math.sqrt(days)
    if realised.result / days < least:
        found.append(f"{realised.result / days:.2f} a day is less than {least:.2f}, expected less 2 standard errors")
    share = float(stage.result_min) * expected.mean * days
    if realised.result < share:
        found.append(f"a result of {realised.result:.2f} is less than {share:.2f}, {stage.result_min} of the expected")
    if realised.drawdown > float(stage.drawdown_max):
        found.append(f"a drawdown of {realised.drawdown:.2f} is more than {stage.drawdown_max}")
    return tuple(found)


def _part_down(share: Decimal, part: Fraction) -> Decimal:
    if part == 1:
        return share
    return Decimal(int(Fraction(share) * part * 10**_SHARE_DIGITS)).scaleb(-_SHARE_DIGITS)
