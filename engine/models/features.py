"""Features of bars: one definition for research and for a running strategy.

Everything is computed from windows of whole bars, in ticks and lots, by the same functions: research hands them a
window per bar (shape (n, WINDOW)), a running strategy its last one (shape (1, WINDOW)). Features are ratios, so prices
of any size compare; they are made of + - * / and square roots alone, which IEEE 754 fixes to the last bit, and of
reductions along a window, whose order does not depend on how many windows there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from domain import InputError

if TYPE_CHECKING:
    from engine.data.captures import Events

Floats: TypeAlias = npt.NDArray[np.float64]
Vectors: TypeAlias = npt.NDArray[np.float32]
"""Feature values as models take them: one row a bar."""

WINDOW: Final = 73
"""Bars that features look back over, the last one included."""
_CHUNK: Final = 8_192
"""Windows that are laid out at once: 24 MB of each field."""
_HOUR_NS: Final = 3_600_000_000_000


class Windows:
    """Bars as arrays (n, WINDOW), oldest first, and what several features need of them."""

    def __init__(self, times_ns: npt.NDArray[np.int64], fields: Sequence[Floats]) -> None:
        self.times_ns = times_ns
        """When the last bar of each window closed."""
        self.open, self.high, self.low, self.close, self.volume = fields
        self.returns: Floats = np.ascontiguousarray(self.close[:, 1:] / self.close[:, :-1] - 1.0)

    def past_return(self, bars: int) -> Floats:
        return np.asarray(self.close[:, -1] / self.close[:, -1 - bars] - 1.0)

    def volatility(self, bars: int) -> Floats:
        recent = self.returns[:, -bars:]
        return np.asarray(np.sqrt(np.add.reduce(recent * recent, axis=1) / bars))

    def place_in_range(self, bars: int) -> Floats:
        low, high = self.low[:, -bars:].min(axis=1), self.high[:, -bars:].max(axis=1)
        return _ratio(self.close[:, -1] - low, high - low, 0.5)

    def over_mean(self, bars: int) -> Floats:
        return np.asarray(self.close[:, -1] / (np.add.reduce(self.close[:, -bars:], axis=1) / bars) - 1.0)

    def mean_volume(self, bars: int) -> Floats:
        return np.asarray(np.add.reduce(self.volume[:, -bars:], axis=1) / bars)


def _ratio(numerator: Floats, denominator: Floats, otherwise: float) -> Floats:
    """Divide; where the denominator is zero there is nothing to compare, and the value is the neutral one."""
    is_zero = denominator == 0.0
    return np.asarray(np.where(is_zero, otherwise, numerator / np.where(is_zero, 1.0, denominator)))


def _autocorrelation(windows: Windows) -> Floats:
    recent = windows.returns[:, -25:]
    products = np.add.reduce(recent[:, 1:] * recent[:, :-1], axis=1)
    return _ratio(products, np.add.reduce(recent * recent, axis=1), 0.0)


FEATURES: Final[tuple[tuple[str, Callable[[Windows], Any]], ...]] = (
    ("return_1", lambda w: w.past_return(1)),
    ("return_4", lambda w: w.past_return(4)),
    ("return_12", lambda w: w.past_return(12)),
    ("return_24", lambda w: w.past_return(24)),
    ("return_72", lambda w: w.past_return(72)),
    ("volatility_24", lambda w: w.volatility(24)),
    ("volatility_ratio", lambda w: _ratio(w.volatility(24), w.volatility(72), 1.0)),
    ("trend_24", lambda w: _ratio(w.past_return(24), w.volatility(24) * np.sqrt(24.0), 0.0)),
    ("trend_72", lambda w: _ratio(w.past_return(72), w.volatility(72) * np.sqrt(72.0), 0.0)),
    ("autocorrelation_24", _autocorrelation),
    ("up_share_24", lambda w: np.add.reduce((w.returns[:, -24:] > 0.0).astype(np.float64), axis=1) / 24),
    ("range_1", lambda w: (w.high[:, -1] - w.low[:, -1]) / w.close[:, -1]),
    ("place_in_bar", lambda w: w.place_in_range(1)),
    ("place_in_24", lambda w: w.place_in_range(24)),
    ("place_in_72", lambda w: w.place_in_range(72)),
    ("over_mean_24", lambda w: w.over_mean(24)),
    ("over_mean_72", lambda w: w.over_mean(72)),
    ("volume_1", lambda w: _ratio(w.volume[:, -1], w.mean_volume(24), 1.0)),
    ("volume_24", lambda w: _ratio(w.mean_volume(24), w.mean_volume(72), 1.0)),
    ("hour", lambda w: (w.times_ns // _HOUR_NS % 24).astype(np.float64)),
)
NAMES: Final = tuple(name for name, _ in FEATURES)
VERSION: Final = 1
"""Raised when a definition above changes and its name does not: models of other definitions are refused then."""
DIGEST: Final = hashlib.sha256(f"{VERSION}:{WINDOW}:{','.join(NAMES)}".encode()).hexdigest()[:16]


def compute(windows: Windows) -> Vectors:
    """Compute every feature of every window: shape (n, len(NAMES))."""
    return np.stack([function(windows) for _, function in FEATURES], axis=1).astype(np.float32)


def of_history(bars: Events) -> Vectors:
    """Compute the features of a history of BAR records.

    Returns:
        One row a bar from the WINDOW-th on: row `i` is of bar `i + WINDOW - 1` and of nothing later.

    Raises:
        InputError: Too few bars, or one without a price.
    """
    if len(bars) < WINDOW:
        raise InputError(f"features need {WINDOW} bars, there are {len(bars)}")
    fields = np.stack(
        [bars["aux"][:, 0], bars["aux"][:, 1], bars["sequence"].astype(np.int64), bars["price"], bars["size"]]
    ).astype(np.float64)
    if (fields[:4] <= 0).any():
        raise InputError("a bar has a price of zero or below")
    times = np.ascontiguousarray(bars["time_exchange_ns"][WINDOW - 1 :])
    views = [np.lib.stride_tricks.sliding_window_view(field, WINDOW) for field in fields]
    made = [
        compute(
            Windows(times[at : at + _CHUNK], [np.ascontiguousarray(view[at : at + _CHUNK]) for view in views]),
        )
        for at in range(0, len(times), _CHUNK)
    ]
    return np.concatenate(made)


class FeatureStream:
    """The same features bar by bar. `rows` is all its state: plain lists, so that a strategy can save it."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    def update(self, time_ns: int, prices: tuple[int, int, int, int], volume: int) -> Vectors | None:
        """Take a finished bar (open, high, low, close in ticks, volume in lots).

        Returns:
            The features, shape (len(NAMES),), or None while there are fewer than WINDOW bars, or when the bar has no
            price: it is left out then.
        """
        if min(prices) <= 0:
            return None
        self.rows.append([*prices, volume])
        del self.rows[:-WINDOW]
        if len(self.rows) < WINDOW:
            return None
        table = np.array(self.rows, dtype=np.float64)
        fields = [np.ascontiguousarray(table[:, at])[None, :] for at in range(5)]
        return np.asarray(compute(Windows(np.array([time_ns]), fields))[0])
