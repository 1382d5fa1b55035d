"""`python -m soak`: run the scenarios in turn until the time is up, write soak/results.json, exit 1 when one failed."""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.rows import Row
from soak.scenarios import SCENARIOS, Outcome, run_scenario, tell

RESULTS = Path(__file__).with_name("results.json")
OVERHEAD_S = 30.0
"""What a run takes beside its trading, about."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="when to begin no further run (default 10)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each run is under fire (default 30)")
    parser.add_argument("--seed", type=int, default=None, help="of the first run; the next ones count up")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--keep", action="store_true", help="keep the data directories of good runs too")
    given = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if given.scenario is None or scenario.name in given.scenario]
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    root = Path(tempfile.mkdtemp(prefix="capstan-soak-"))
    end = time.monotonic() + given.minutes * 60
    outcomes: list[Outcome] = []
    while not outcomes or time.monotonic() + given.seconds + OVERHEAD_S < end:
        scenario = chosen[len(outcomes) % len(chosen)]
        tell(f"{scenario.name}: seed {seed} …")
        outcome = run_scenario(scenario, seed=seed, seconds=given.seconds, root=root, keep=given.keep)
        outcomes.append(outcome)
        _tell(outcome)
        seed += 1
    rows = [row for scenario in chosen for row in _rows(scenario.name, outcomes)]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        tell(f"{'ok ' if row['ok'] else 'BAD'} {row['name']}: {row['value']:g} {row['unit']}")
    return 0 if all(row["ok"] for row in rows) else 1


def _tell(outcome: Outcome) -> None:
    strikes = ", ".join(f"{count} {name}" for name, count in sorted(outcome.strikes.items())) or "no strikes"
    slowest = f", back after at most {max(outcome.recoveries_s):.1f} s" if outcome.recoveries_s else ""
    verdict = "FAILED" if outcome.problems else "ok"
    tell(f"  {verdict}: {outcome.fills} fills, {outcome.swaps} swaps, {strikes}{slowest}")
    for problem in outcome.problems:
        tell(f"  - {problem}")
    if outcome.data is not None:
        tell(f"  kept: {outcome.data}")


def _rows(name: str, outcomes: Sequence[Outcome]) -> list[Row]:
    mine = [outcome for outcome in outcomes if outcome.scenario == name]
    if not mine:
        return []
    good = sum(not outcome.problems for outcome in mine)
    strikes = sum((outcome.strikes for outcome in mine), Counter[str]())
    rows = [
        _row(f"{name}: runs that ended with true books", good, "runs", target=len(mine)),
    ]
    if strikes:
        rows.append(_row(f"{name}: strikes survived", strikes.total(), "strikes", target=1))
    if slowest := max((max(outcome.recoveries_s) for outcome in mine if outcome.recoveries_s), default=0.0):
        rows.append(_row(f"{name}: slowest return to trading", round(slowest, 1), "s", target=0))
    return rows


def _row(name: str, value: float, unit: str, *, target: float) -> Row:
    return Row(
        topic="soak", name=name, value=value, unit=unit, peer="none", ratio=1.0, target=target, ok=value >= target
    )


if __name__ == "__main__":
    raise SystemExit(main())
