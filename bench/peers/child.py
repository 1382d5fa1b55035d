"""What every peer's process does around its own part: one JSON request a line in, one JSON answer a line out.

Imports the standard library and NumPy only: it runs in the peer's environment, which has nothing of ours. The first
request describes the market; each later one names a case and its parameters, and is answered when one round of it is
done. The process stays alive between rounds, so imports, conversion and JIT are paid once and reported apart.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

type_of_event = {"level": 1, "clear": 2, "trade": 3}


@dataclass
class Feed:
    """The market as the parent gave it: records in local order, and what their integers count."""

    records: np.ndarray
    tick: float
    lot: float
    price_decimals: int
    size_decimals: int
    cache: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Give what `make` gave the first time: conversions happen outside the clock."""
        if name not in self.cache:
            self.cache[name] = make()
        return self.cache[name]


class Stopwatch:
    """Wall and processor seconds (of every thread) between `start` and `stop`."""

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu


Case = Callable[[Feed, dict[str, Any], Stopwatch], dict[str, Any]]


def serve(versions: dict[str, str], cases: dict[str, Case]) -> None:
    """Answer requests until standard input ends."""
    # What the peer prints itself goes to standard error: standard output carries answers only.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    feed = None
    for line in sys.stdin:
        request = json.loads(line)
        case = request.pop("case")
        if case == "market":
            request["records"] = np.fromfile(request.pop("path"), np.dtype([_field(*f) for f in request.pop("layout")]))
            feed, answer = Feed(**request), {"versions": versions, "cases": sorted(cases)}
        else:
            watch = Stopwatch()
            began = time.perf_counter()
            answer = cases[case](feed, request, watch)
            answer |= {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds}
            answer |= {"outside_seconds": time.perf_counter() - began - watch.seconds}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _field(name: str, kind: str, shape: list[int] | None = None) -> tuple:
    return (name, kind, tuple(shape)) if shape else (name, kind)
