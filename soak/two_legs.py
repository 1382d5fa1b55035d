"""`python -m soak.two_legs`: rounds of arbitrage between an exchange and a chain, half of whose answers are faults.

Plays each way of sending the legs; exits 1 when a round left a position or took too long to close it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.progress import track

from tests.engine.two_legs import DUST, UNWIND_BOUND_S, World

LEGS: Final = ("exchange-first", "at-once")
PER_WORLD: Final = 50


def main() -> int:
    """Play, tell, and say by the exit code whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m soak.two_legs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=500, help="with each way of sending the legs (default 500)")
    parser.add_argument("--seed", type=int, default=None, help="of the first world; the next ones count up")
    parser.add_argument("--faults", type=float, default=0.5, help="share of answers that are faults (default 0.5)")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    results = [play_many(legs, given.rounds, seed, given.faults) for legs in LEGS]
    if given.json:
        print(json.dumps(results, indent=1))
    else:
        for found in results:
            print(
                f"{found['legs']}: {found['rounds']} rounds from seed {seed}, {found['traded']} traded, "
                f"{found['reversed']} reversed; open at most {found['open_raw_max']} of {DUST}, "
                f"flat after at most {found['flat_s_max']:.1f} s of {UNWIND_BOUND_S}"
            )
            for problem in found["problems"]:
                print(f"  - {problem}")
    return 1 if any(found["problems"] for found in results) else 0


def play_many(legs: str, rounds: int, seed: int, faults: float) -> dict[str, Any]:
    """Play rounds in worlds of fifty, each with a seed of its own."""
    problems: list[str] = []
    fates: Counter[str] = Counter()
    traded = reversed_ = open_max = 0
    flat_max = 0.0
    world = World(seed, legs=legs, faults=faults)
    for number in track(range(rounds), description=legs, console=Console(file=sys.stderr), transient=True):
        if number and number % PER_WORLD == 0:
            fates += world.fates
            world = World(seed + number // PER_WORLD, legs=legs, faults=faults)
        found = world.play()
        traded += bool(found.fates)
        reversed_ += len(found.fates) > 2
        open_max, flat_max = max(open_max, abs(found.open_raw)), max(flat_max, found.flat_after_s)
        if abs(found.open_raw) > DUST or found.flat_after_s > UNWIND_BOUND_S:
            problems.append(f"seed {seed + number // PER_WORLD}, round {number % PER_WORLD}: {found}")
    return {
        "legs": legs,
        "rounds": rounds,
        "seed": seed,
        "traded": traded,
        "reversed": reversed_,
        "open_raw_max": open_max,
        "flat_s_max": flat_max,
        "fates": dict(sorted((fates + world.fates).items())),
        "problems": problems,
    }


if __name__ == "__main__":
    sys.exit(main())
