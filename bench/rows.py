"""One measured figure and how medians are taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypedDict


class Row(TypedDict):
    """A figure. `ratio` is how many times better than `peer` it is; `ok` compares it with `target`.

    `ok` is nothing where there was nobody to compare with (`peer` says why) or no target.
    """

    topic: str
    name: str
    value: float
    unit: str
    peer: str
    ratio: float
    target: float
    ok: bool | None


notes: list[str] = []
"""What is printed below the table: the sides' fills, versions, and profiles of what missed its target."""


def interleaved(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Time both by turns (ours, peer, peer, ours, …); return the medians in seconds. One round of each warms up.

    With `time.process_time` as the clock, what else runs on the machine does not count.
    """
    times: dict[Callable[[], object], list[float]] = {ours: [], peer: []}
    for number in range(rounds + 1):
        for work in (ours, peer) if number % 2 else (peer, ours):
            began = clock()
            work()
            if number:
                times[work].append(clock() - began)
    return statistics.median(times[ours]), statistics.median(times[peer])


def ratio_row(*, topic: str, name: str, ours: float, unit: str, peer_name: str, ratio: float, target: float) -> Row:
    """Make a row whose goal is a ratio of at least `target`."""
    return Row(
        topic=topic,
        name=name,
        value=round(ours, 6),
        unit=unit,
        peer=peer_name,
        ratio=round(ratio, 2),
        target=target,
        ok=ratio >= target,
    )


def bound_row(*, topic: str, name: str, ours: float, unit: str, most: float) -> Row:
    """Make a row whose goal is a figure of at most `most`; its ratio is how many times below that it is."""
    return Row(
        topic=topic,
        name=name,
        value=round(ours, 6),
        unit=unit,
        peer=f"at most {most:g} {unit}",
        ratio=round(most / ours, 2),
        target=1.0,
        ok=ours <= most,
    )


def figure_row(*, topic: str, name: str, ours: float, unit: str, peer_name: str, ratio: float = 0.0) -> Row:
    """Make a row without a target: told, not judged."""
    return Row(
        topic=topic,
        name=name,
        value=round(ours, 6),
        unit=unit,
        peer=peer_name,
        ratio=round(ratio, 2),
        target=0.0,
        ok=None,
    )
