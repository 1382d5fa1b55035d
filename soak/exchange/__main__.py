"""`python -m soak.exchange`: a fault run over the sandbox exchange; exits 1 when the books are not true."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from soak.exchange.run import Outcome, Plan, play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak.exchange", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000, help="that reach the exchange (default 100000)")
    parser.add_argument("--seed", type=int, default=None, help="of the strikes, the flow and the orders")
    parser.add_argument(
        "--exchange-kills", type=int, default=None, help="SIGKILLs of the exchange (default: by orders)"
    )
    parser.add_argument("--feed", choices=("auto", "ccxt"), default="auto", help="the adapter's path (default auto)")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    given = parser.parse_args()
    if given.orders < 100:
        parser.error("--orders: at least 100, so that everything has its turn")
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    plan = Plan.of(given.orders, seed, exchange_kills=given.exchange_kills, feed=given.feed)
    folder = Path(tempfile.mkdtemp(prefix=f"capstan-faults-{seed}-"))
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task(f"seed {seed}", total=plan.orders)
        outcome = play(plan, folder, lambda reached: progress.update(bar, completed=reached))
    if given.json:
        print(json.dumps(asdict(outcome), indent=1, default=str))
    else:
        _tell(outcome)
    return 1 if outcome.problems else 0


def _tell(outcome: Outcome) -> None:
    print(
        f"{'FAILED' if outcome.problems else 'ok'}: seed {outcome.plan.seed}, {outcome.reached} orders at the exchange "
        f"({outcome.placed} placed), {outcome.fills} fills, {outcome.strikes.total()} strikes, {outcome.seconds:.0f} s"
    )
    for name, counts in (("ends", outcome.states), ("strikes", outcome.strikes)):
        print(f"  {name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    for problem in outcome.problems[:20]:
        print(f"  - {problem}")
    if outcome.folder is not None:
        print(f"  kept: {outcome.folder}")


if __name__ == "__main__":
    sys.exit(main())
