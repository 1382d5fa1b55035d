"""One backtest in a process of its own: `python -m engine.backtest.job RECORDINGS OUT`, its configuration as JSON on
standard input.

Whoever started it reads progress from its standard output, a line of JSON each, and the result from files in OUT. It
has no database, no keys and no settings; its parent bounds what it may use. It ends with 2 and `{"error": …}` where the
configuration or the data cannot be.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from domain import PlatformError

EVERY_S: Final = 0.2
CURVE_MAX: Final = 2_000
RESULT, CURVE, REPORT = "result.json", "curve.json", "report.bin"
REFUSED: Final = 2


def run(config: dict[str, Any], recordings: Path, out: Path, progress: Callable[[str, int, int], None]) -> None:
    """Run a configuration that was admitted, and write what came of it.

    Raises:
        PlatformError: The configuration or the data cannot be.
    """
    from engine.backtest.config import check_config
    from engine.backtest.data import load_events
    from engine.backtest.money import curve
    from engine.backtest.packing import pack
    from engine.backtest.result import result_of
    from engine.backtest.run import run_backtest
    from engine.backtest.saved import write_whole
    from engine.backtest.tear_sheet import write_tear_sheet

    checked = check_config(config, Path("config.json"))
    events = load_events(checked, recordings, progress)
    finished = run_backtest(checked, events, recordings, lambda done, total: progress("running", done, total))
    progress("writing", 0, 1)
    result = result_of(finished)
    net, times = curve(finished)
    every = max(1, -(-len(net) // CURVE_MAX))
    places = [*range(0, len(net), every)]
    if len(net) and places[-1] != len(net) - 1:
        places.append(len(net) - 1)
    points = [[str(int(times[at])), f"{net[at]:.6f}"] for at in places]
    out.mkdir(parents=True, exist_ok=True)
    page = out / "report.html"
    write_tear_sheet(page, finished, result)
    write_whole(out / REPORT, pack(page.read_text()))
    page.unlink()
    write_whole(out / CURVE, msgspec.json.encode(points))
    write_whole(out / RESULT, msgspec.json.encode(result))


class Lines:
    """Progress as lines on standard output, a few a second; the end of each part always."""

    def __init__(self) -> None:
        self._told_s = 0.0
        self._part = ""

    def __call__(self, part: str, done: int, total: int) -> None:
        now = time.monotonic()
        if part == self._part and done < total and now - self._told_s < EVERY_S:
            return
        self._told_s, self._part = now, part
        say({"part": part, "done": done, "total": total})


def say(what: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    recordings, out = map(Path, sys.argv[1:3])
    try:
        run(msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, Any]), recordings, out, Lines())
    except PlatformError as exc:
        say({"error": str(exc), "hint": exc.hint})
        return REFUSED
    except MemoryError:
        say({"error": "it needs more memory than it may have", "hint": "less market, or fewer strategies"})
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
