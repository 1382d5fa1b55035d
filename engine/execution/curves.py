"""Volume curves of recorded markets: how volume was spread over the time, or over the day."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from domain import InputError

DAY_NS: Final = 86_400_000_000_000


def volume_curve(
    times_ns: npt.NDArray[np.int64], lots: npt.NDArray[np.int64], parts: int, *, by_day: bool = False
) -> tuple[Decimal, ...]:
    """Return the share of volume in each of `parts` equal parts, rounded to six places.

    Args:
        times_ns: When it traded, ascending.
        lots: How much.
        parts: Of the whole time from the first trade to the last; with `by_day` of the UTC day, all days together.
        by_day: See `parts`.

    Raises:
        InputError: Nothing was traded.
    """
    total = int(lots.sum()) if len(lots) else 0
    if total <= 0 or parts < 1:
        raise InputError("no volume to make a curve of")
    begin, span = (0, DAY_NS) if by_day else (int(times_ns[0]), int(times_ns[-1] - times_ns[0]) + 1)
    after = times_ns % DAY_NS if by_day else times_ns - begin
    at = after // -(-span // parts)
    sums = np.bincount(np.minimum(at, parts - 1), weights=lots.astype(np.float64), minlength=parts)
    return tuple(Decimal(f"{share:.6f}") for share in (sums / total).tolist())
