"""What a model learns from: features of a bar, and what the price did after it.

A decision is made when bar `i` has closed; what it trades at is the open of bar `i + 1` at the earliest. Labels begin
there, so nothing that a label knows was known to the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domain import InputError
from engine.data.captures import Events
from engine.models.features import WINDOW, Floats, Vectors, of_history
from engine.models.settings import LabelSettings


@dataclass(frozen=True, slots=True)
class Samples:
    """One row a decision, in order of time."""

    times_ns: npt.NDArray[np.int64]
    """When the decision is made: the close of its bar."""
    ends_ns: npt.NDArray[np.int64]
    """When its label is known."""
    x: npt.NDArray[np.float32]
    """(n, features), or (n, steps, features) for models that read a sequence."""
    y: npt.NDArray[np.int64]
    """1 when the price went up, 0 when not."""
    forward: Floats
    """The return behind `y`, from the next open on."""

    def __len__(self) -> int:
        return len(self.times_ns)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Samples:
        """Pick rows."""
        return Samples(self.times_ns[rows], self.ends_ns[rows], self.x[rows], self.y[rows], self.forward[rows])


def samples_of(bars: Events, label: LabelSettings, *, steps: int = 1) -> Samples:
    """Make the samples of one instrument's bars; bars whose label reaches beyond the history have none.

    Args:
        bars: BAR records, oldest first.
        label: What is to be foretold.
        steps: How many bars' features a model reads, 1 for those that read the last alone.

    Raises:
        InputError: Too few bars.
    """
    horizon = label.horizon_bars
    first, last = WINDOW - 2 + steps, len(bars) - horizon - 1  # Bars [first, last) have features and a label.
    if last <= first:
        raise InputError(f"{len(bars)} bars are too few: features take {first + 1}, labels {horizon + 1} more")
    vectors = of_history(bars)
    entry = bars["aux"][:, 0].astype(np.float64)
    at = np.arange(first, last)
    forward = entry[at + 1 + horizon] / entry[at + 1] - 1.0
    if label.kind == "triple-barrier":
        forward = _barriers(bars, at, label, forward)
    return Samples(
        times_ns=bars["time_local_ns"][at],
        ends_ns=bars["time_local_ns"][at + 1 + horizon],
        x=_sequences(vectors, steps)[: last - first],
        y=(forward > 0.0).astype(np.int64),
        forward=forward,
    )


def join(parts: Sequence[Samples]) -> Samples:
    """Put several instruments' samples into one order of time."""
    joined = Samples(
        times_ns=np.concatenate([part.times_ns for part in parts]),
        ends_ns=np.concatenate([part.ends_ns for part in parts]),
        x=np.concatenate([part.x for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        forward=np.concatenate([part.forward for part in parts]),
    )
    return joined.take(np.argsort(joined.times_ns, kind="stable"))


def _sequences(vectors: Vectors, steps: int) -> Vectors:
    """The last `steps` vectors of each bar that has so many: (n, steps, features)."""
    if steps == 1:
        return vectors
    view = np.lib.stride_tricks.sliding_window_view(vectors, steps, axis=0)
    return np.ascontiguousarray(view.transpose(0, 2, 1))


def _barriers(bars: Events, at: npt.NDArray[np.int64], label: LabelSettings, otherwise: Floats) -> Floats:
    """The return to the first of two barriers that the price touches within the horizon, else to its end.

    They stand `barrier` standard deviations of the horizon's return away, by the 24 bars before. A bar that touches
    both does not say which came first: it counts as the loss.
    """
    entry = bars["aux"][:, 0].astype(np.float64)
    high, low = bars["aux"][:, 1].astype(np.float64), bars["sequence"].astype(np.float64)
    close = bars["price"].astype(np.float64)
    squares = np.concatenate([[0.0], (close[1:] / close[:-1] - 1.0) ** 2])
    sums = np.cumsum(squares)
    width = label.barrier * np.sqrt((sums[at] - sums[at - 24]) / 24 * label.horizon_bars)
    start = entry[at + 1]
    result, is_open = otherwise.copy(), np.ones(len(at), dtype=np.bool_)
    for step in range(1, label.horizon_bars + 1):
        down = is_open & (low[at + step] <= start * (1.0 - width))
        up = is_open & ~down & (high[at + step] >= start * (1.0 + width))
        result = np.where(down, -width, np.where(up, width, result))
        is_open &= ~(down | up)
    return result
