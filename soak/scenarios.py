"""Which strikes hit a demo, and when. Every scenario is seeded, bounded in time, and ends with a clean stop."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from soak.demo import Demo, DemoFailed
from soak.strikes import REORG_DEPTH_MAX, calm_exchange, kill, reorganise, strike_exchange
from soak.truth import problems_of


@dataclass
class Run:
    """A demo under fire."""

    demo: Demo
    rng: random.Random
    end: float
    """Monotonic instant after which nothing strikes any more."""
    strikes: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    """From a kill to trading again."""
    restarts_due: int = 0

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    def pause(self, shortest_s: float, longest_s: float) -> None:
        """Let it trade for a random while, not past the end."""
        time.sleep(max(0.0, min(self.rng.uniform(shortest_s, longest_s), self.end - time.monotonic())))


Fire = Callable[[Run], None]


@dataclass(frozen=True)
class Scenario:
    """What happens to a demo. `at_start` strikes while it starts, `at_stop` after it was asked to end."""

    name: str
    fire: Fire
    at_start: Fire = lambda _run: None
    at_stop: Fire = lambda _run: None
    with_faults: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    fills_min: int = 1
    swaps_min: int = 0
    """How much must have been traded, whatever struck: a demo that survives by doing nothing has not."""


@dataclass
class Outcome:
    """How a run ended. `data` is its directory where that was kept."""

    scenario: str
    seed: int
    problems: list[str]
    strikes: Counter[str]
    recoveries_s: list[float]
    fills: int = 0
    swaps: int = 0
    data: Path | None = None


def run_scenario(scenario: Scenario, *, seed: int, seconds: float, root: Path, keep: bool) -> Outcome:
    """Run one scenario to its end; keep the data directory when something does not hold, or always."""
    rng = random.Random(seed)
    data = root / f"{scenario.name}-{seed}"
    demo = Demo(data, seed=seed, with_faults=scenario.with_faults, environment=scenario.environment)
    run = Run(demo, rng, 0.0)
    outcome = Outcome(scenario.name, seed, [], run.strikes, run.recoveries_s)
    try:
        demo.start()
        scenario.at_start(run)
        demo.until_trading()
        run.end = time.monotonic() + seconds
        scenario.fire(run)
        demo.stop()
        scenario.at_stop(run)
        result = demo.result()
        if scenario.with_faults:
            calm_exchange(demo)
        outcome.fills, outcome.swaps = result["fills"], result["swaps"]
        outcome.problems += problems_of(demo, result)
        for name, least in (("fills", scenario.fills_min), ("swaps", scenario.swaps_min)):
            if result[name] < least:
                outcome.problems.append(f"{result[name]} {name}, at least {least} expected")
        if result["restarts"] < run.restarts_due:
            outcome.problems.append(f"{run.restarts_due} engines were killed, {result['restarts']} restarts counted")
    except Exception as exc:  # Whatever it was: the run failed, the next one is still worth doing.
        outcome.problems.append(f"{type(exc).__name__}: {exc}")
    finally:
        if left := demo.close():
            outcome.problems.append(f"processes left behind: {left}")
    if outcome.problems or keep:
        outcome.data = data
    else:
        shutil.rmtree(data, ignore_errors=True)
    return outcome


# --- what strikes


def kill_engine(run: Run) -> None:
    """Kill the engine at a random instant or at a chosen one, sometimes again while it recovers."""
    moments: dict[str, Callable[[dict[str, Any]], bool]] = {
        "any": lambda _status: True,
        "orders_open": lambda status: status.get("open_orders", 0) > 0,
        "swap_in_flight": lambda status: status.get("swaps_in_flight", 0) > 0,
    }
    name = run.rng.choice(list(moments))
    if not run.demo.wait_for(moments[name], timeout_s=5):
        name = "any"
    pid = run.demo.engine_pid()
    began = time.monotonic()
    if not kill(pid):
        return
    run.strikes[f"engine_{name}"] += 1
    run.restarts_due += 1
    if run.rng.random() < 0.3:
        run.demo.wait_for(lambda _status: run.demo.engine_pid() not in (0, pid), timeout_s=20)
        pid, began = run.demo.engine_pid(), time.monotonic()
        time.sleep(run.rng.uniform(0, 3))
        if kill(pid):
            run.strikes["engine_starting"] += 1
    run.demo.until_trading(not_pid=pid)
    run.recoveries_s.append(time.monotonic() - began)


def watch(run: Run) -> None:
    """Let it trade."""
    while not run.is_over:
        run.demo.wait_for(lambda _status: run.is_over, timeout_s=1)


def kill_engines(run: Run) -> None:
    while not run.is_over:
        run.pause(2, 6)
        kill_engine(run)


def kill_while_stopping(run: Run) -> None:
    """Up to twice: while it winds down, and while it compares the books."""
    for _ in range(run.rng.randint(1, 2)):
        time.sleep(run.rng.uniform(0, 2.5))
        if kill(run.demo.engine_pid()):
            run.strikes["engine_stopping"] += 1


def kill_first_starts(run: Run) -> None:
    """Kill a demo that nothing is known of yet: keys, settings and world may be half there."""
    for _ in range(run.rng.randint(0, 2)):
        time.sleep(run.rng.uniform(0.5, 5))
        run.demo.kill()
        run.strikes["demo_first_start"] += 1
        run.demo.start()


def kill_demo(run: Run) -> None:
    while not run.is_over:
        run.pause(4, 9)
        began = time.monotonic()
        run.demo.kill()
        run.strikes["demo"] += 1
        run.restarts_due += 1
        time.sleep(run.rng.uniform(0, 2))
        run.demo.start()
        if run.rng.random() < 0.3:
            # Once more while it starts.
            time.sleep(run.rng.uniform(0.5, 6))
            run.demo.kill()
            run.strikes["demo_starting"] += 1
            run.demo.start()
        run.demo.until_trading()
        run.recoveries_s.append(time.monotonic() - began)


def kill_signer(run: Run) -> None:
    while not run.is_over:
        run.pause(1, 4)
        if run.rng.random() < 0.6:
            run.demo.wait_for(lambda status: status.get("swaps_in_flight", 0) > 0, timeout_s=5)
        if kill(run.demo.signer_pid()):
            run.strikes["signer"] += 1


def break_exchange(run: Run) -> None:
    while not run.is_over:
        run.pause(0.3, 2.5)
        run.strikes[strike_exchange(run.demo, run.rng)] += 1


def shake_chain(run: Run) -> None:
    while not run.is_over:
        run.pause(1, 4)
        if run.rng.random() < 0.6:
            run.demo.wait_for(lambda status: status.get("swaps_in_flight", 0) > 0, timeout_s=5)
            time.sleep(run.rng.uniform(0, 2))
        run.strikes[reorganise(run.demo, run.rng)] += 1


def everything(run: Run) -> None:
    while not run.is_over:
        run.pause(0.5, 2)
        match run.rng.randrange(8):
            case 0:
                kill_engine(run)
            case 1:
                if kill(run.demo.signer_pid()):
                    run.strikes["signer"] += 1
            case 2 | 3:
                run.strikes[reorganise(run.demo, run.rng)] += 1
            case _:
                run.strikes[strike_exchange(run.demo, run.rng)] += 1


def last_faults(run: Run) -> None:
    """Faults also strike on the way out; then the exchange is well again, as a stop needs it to be in the end."""
    for _ in range(3):
        with contextlib.suppress(OSError, DemoFailed):
            run.strikes[strike_exchange(run.demo, run.rng)] += 1
        time.sleep(run.rng.uniform(0.1, 0.6))
    with contextlib.suppress(OSError, DemoFailed):
        calm_exchange(run.demo)


DEEP = MappingProxyType({"CAPSTAN__CHAIN__CONFIRMATIONS": str(REORG_DEPTH_MAX + 1)})
"""A reorganisation as deep as the confirmations undoes what is booked: a known limit, hence one more than that."""

SCENARIOS = (
    Scenario("undisturbed", watch, fills_min=21, swaps_min=6),
    Scenario("engine-killed", kill_engines, at_stop=kill_while_stopping),
    Scenario("demo-killed", kill_demo, at_start=kill_first_starts),
    Scenario("signer-killed", kill_signer),
    Scenario("exchange-faults", break_exchange, at_stop=last_faults, with_faults=True),
    Scenario("chain-reorganised", shake_chain, environment=DEEP),
    Scenario("everything", everything, at_stop=last_faults, with_faults=True, environment=DEEP),
)


def tell(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
