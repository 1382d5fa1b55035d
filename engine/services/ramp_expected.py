"""What a day is expected to bring: the numbers of the settings, or the days of a saved backtest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain import InputError
from engine.services.ramp import Expected
from engine.services.ramp_settings import RampExpected

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DAYS_MIN: Final = 5
"""A backtest of fewer whole days says nothing about a day."""
_DAY_NS: Final = 86_400 * 10**9


def expected_of(settings: RampExpected, folder: Path, capital: float) -> Expected:
    """Give a day's expected result with a capital; relative paths are beside the settings.

    Raises:
        InputError: The backtest cannot be read, is too short, or lost money.
    """
    if settings.mean is not None and settings.deviation is not None:
        found = Expected(float(settings.mean), float(settings.deviation))
    else:
        found = _of_backtest(folder / settings.backtest)
    return found if settings.capital is None else found.scaled(capital / float(settings.capital))


def _of_backtest(path: Path) -> Expected:
    from engine.backtest.money import curve
    from engine.backtest.saved import load_run

    try:
        return of_curve(*curve(load_run(path.parent if path.name == "result.json" else path)))
    except InputError as exc:
        raise InputError(f"engine.ramp.expected.backtest: {exc}", hint=exc.hint) from exc


def of_curve(net: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> Expected:
    """Give mean and standard deviation of a curve's days, counted from its beginning; a part of a day is left out.

    Raises:
        InputError: It is too short, or no gain.
    """
    import numpy as np

    days = int(times[-1] - times[0]) // _DAY_NS if len(times) else 0
    if days < DAYS_MIN:
        raise InputError(f"a backtest of {days} whole days, {DAYS_MIN} are needed")
    grid = times[0] + np.arange(days + 1) * _DAY_NS
    changes = np.diff(np.interp(grid, times, net))
    found = Expected(float(changes.mean()), float(changes.std(ddof=1)))
    if not found.mean > 0:
        raise InputError(f"a backtest that made {found.mean:.2f} a day: no gain is expected")
    return found
