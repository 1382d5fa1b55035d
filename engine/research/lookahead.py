"""The check for look-ahead: what is decided by an instant must not change with what comes after it.

The whole is run, then prefixes of the data; a decision before a prefix's end that the whole run took otherwise saw the
future. For strategies in the kernel decisions are commands, for signals over arrays they are values. The whole is run
twice first: what is not the same then is chance, not look-ahead.

What a strategy reads past the engine by a path of its own making is the same in each run and cannot be seen here; files
that its parameters name, and that are data of the run, are cut with it (`engine.research.cut_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from domain import InputError
from engine.data.captures import Events
from engine.records import COMMAND, EventFlag

CUTS: Final = 8
_RECORD_BYTES: Final = 64

Decide = Callable[[Events], Any]
"""Runs a strategy, made anew, over events; returns its commands (records of `COMMAND`), or a `Finished`."""
Signal = Callable[[pl.DataFrame], npt.ArrayLike]
"""A value, or a row of values, for each bar."""


class Leak(NamedTuple):
    """The first decision that a prefix took otherwise than the whole."""

    cut: int
    """Nanoseconds (commands) or bars (signals) at which the prefix ended."""
    at: int
    """When it was decided, in the same unit."""
    whole: str
    prefix: str


class Checked(NamedTuple):
    """What the check found."""

    is_repeatable: bool
    """Running the whole twice decided the same."""
    cuts: int
    compared: int
    """Decisions compared, over all prefixes."""
    leaks: tuple[Leak, ...]
    """At most one for each prefix."""

    @property
    def is_clean(self) -> bool:
        return self.is_repeatable and not self.leaks


def check_prefixes(decide: Decide, events: Events, *, cuts: int = CUTS) -> Checked:
    """Check a strategy in the kernel.

    A venue acts on an event by its own time, which may be before we are told: so decisions are compared up to the
    largest feed latency before each prefix's end.

    Args:
        decide: Makes everything the strategy needs from the events it is given, and runs it.
        events: In local time.
        cuts: How many prefixes, evenly over the data.

    Raises:
        InputError: Too few instants to cut at.
    """
    headers = _headers(events)
    times = events["time_local_ns"][headers]
    late = int(np.maximum(times - events["time_exchange_ns"][headers], 0).max(initial=0))
    places = _places(times, cuts)
    whole = _commands(decide(events))
    again = _commands(decide(events))
    compared, leaks = 0, []
    for place in places:
        end = int(times[place - 1])
        found = _commands(decide(events[: headers[place]].copy()))
        expected = whole[whole["time_ns"] < end - late]
        found = found[found["time_ns"] < end - late]
        compared += len(expected)
        leak = _first_difference(expected, found, end)
        if leak is not None:
            leaks.append(leak)
    return Checked(whole.tobytes() == again.tobytes(), len(places), compared, tuple(leaks))


def check_signal(signal: Signal, bars: pl.DataFrame, *, cuts: int = CUTS, tolerance: float = 1e-9) -> Checked:
    """Check a function over arrays: the value at each bar may depend on bars until then alone.

    Args:
        signal: See `Signal`.
        bars: Of `engine.data.read_bars`.
        cuts: How many prefixes; their last bars are where most leaks show.
        tolerance: Relative and absolute: sums over arrays of different length round differently.

    Raises:
        InputError: Fewer than ten bars, or not a value for each.
    """
    n = bars.height
    if n < 10:
        raise InputError(f"{n} bars are too few to check a signal on, expected ten or more")
    whole, again = _values(signal, bars), _values(signal, bars)
    is_repeatable = bool(np.array_equal(whole, again, equal_nan=True))
    compared, leaks = 0, []
    # Not evenly: a leak that repeats every so many bars would be missed at multiples of it.
    for place in sorted({1 + (n - 1) * (2 * at + 1) // (2 * cuts) + at % 3 for at in range(cuts)}):
        end = min(place, n - 1)
        found, expected = _values(signal, bars.head(end)), whole[:end]
        compared += end
        same = np.isclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        differs = np.flatnonzero(~same.reshape(end, -1).all(axis=1))
        if len(differs):
            at = int(differs[0])
            leaks.append(Leak(end, at, str(expected[at]), str(found[at])))
    return Checked(is_repeatable, cuts, compared, tuple(leaks))


def _headers(events: Events) -> npt.NDArray[np.int64]:
    """Which rows are records: payloads that follow some are none, whatever their bytes look like."""
    is_record = np.ones(len(events), np.bool_)
    after = 0
    for at in np.flatnonzero(events["flags"] & EventFlag.PAYLOAD).tolist():
        if at < after:
            continue
        after = at + 1 + -(-int(events["aux"][at, 1]) // _RECORD_BYTES)
        is_record[at + 1 : after] = False
    return np.flatnonzero(is_record)


def _places(times: npt.NDArray[np.int64], cuts: int) -> list[int]:
    """Records, by number, before which the data may be cut: where a new instant begins."""
    begins = np.flatnonzero(np.diff(times) > 0) + 1
    if len(begins) < 2 or cuts < 1:
        raise InputError(f"{len(begins)} instants to cut at, expected two or more")
    wanted = np.linspace(0, len(begins) - 1, cuts + 1)[1:].astype(np.int64)
    return sorted({int(begins[at]) for at in wanted})


def _commands(found: Any) -> Any:
    made = found if isinstance(found, np.ndarray) else found.commands
    if made.dtype != COMMAND:
        raise InputError(f"expected command records, found {made.dtype}")
    return made


def _first_difference(whole: Any, prefix: Any, end: int) -> Leak | None:
    shared = min(len(whole), len(prefix))
    differs = np.flatnonzero(whole[:shared] != prefix[:shared])
    if not len(differs) and len(whole) == len(prefix):
        return None
    at = int(differs[0]) if len(differs) else shared
    both = [series[at] for series in (whole, prefix) if at < len(series)]
    return Leak(end, min(int(one["time_ns"]) for one in both), _words(whole, at), _words(prefix, at))


def _words(commands: Any, at: int) -> str:
    from engine.records import CommandKind

    if at >= len(commands):
        return "nothing"
    one = commands[at]
    kind = CommandKind(int(one["kind"])).name.lower()
    return f"{kind} {'buy' if one['side'] == 0 else 'sell'} {one['size']} lots at {one['price']} ticks"


def _values(signal: Signal, bars: pl.DataFrame) -> npt.NDArray[np.float64]:
    values = np.asarray(signal(bars), dtype=np.float64)
    if values.shape[:1] != (bars.height,):
        raise InputError(f"the signal gave {values.shape[:1]} values for {bars.height} bars, expected one for each")
    return values


def describe(checked: Checked) -> Sequence[str]:
    """The findings, a line each."""
    lines = [] if checked.is_repeatable else ["two runs over the same data decide differently: there is chance in it"]
    for leak in checked.leaks:
        lines.append(f"cut at {leak.cut}: at {leak.at} the whole has {leak.whole}, the prefix {leak.prefix}")
    return lines
