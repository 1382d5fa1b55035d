"""One fault run: what is armed, what strikes at which order, and how it ends."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from soak.exchange.processes import ExchangeProcess, RunFailed, TraderProcess
from soak.exchange.truth import ask_exchange, problems_of, replay

PROBABILITIES: Final = MappingProxyType(
    {
        "drop_order": 0.002,
        "delay_order": 0.002,
        "error_before_accept": 0.004,
        "drop_ack": 0.003,
        "delay_ack": 0.003,
        "error_after_accept": 0.006,
        "reject_after_ack": 0.02,
        "drop_cancel_ack": 0.01,
        "fail_query": 0.01,
        "reject_429": 0.0005,
        "gap": 0.03,
        "duplicate_depth": 0.03,
        "out_of_order_depth": 0.02,
        "delay_depth": 0.02,
        "duplicate_report": 0.05,
        "out_of_order": 0.05,
        "lose_report": 0.01,
        "delay_report": 0.01,
        "partial_snapshot": 0.2,
        "stale_snapshot": 0.2,
    }
)
"""How often each fault strikes where it can."""
SOCKETS: Final = ("kill_sockets", "abort_sockets", "stall_sockets", "terminate_streams")
SKEW_MS_MAX: Final = 2_500
DELAYS_MS: Final = (20, 60, 200, 700)
_POLL_S: Final = 0.02
STALLED_S: Final = 120.0
"""Without a further order for so long, a run has failed; and longer, the more there is to replay at a start."""
REPLAYED_PER_S: Final = 200
"""Orders whose events a starved machine replays in a second."""


@dataclass(frozen=True)
class Plan:
    """How much is traded, and how often what strikes."""

    orders: int
    seed: int
    sockets: int
    skews: int
    trader_kills: int
    exchange_kills: int = 0
    feed: str = "auto"
    """`auto` is the adapter's native path, `ccxt` the one for every other venue."""

    @classmethod
    def of(cls, orders: int, seed: int, *, exchange_kills: int | None = None, feed: str = "auto") -> Plan:
        """The usual shares of strikes for so many orders."""
        return cls(
            orders=orders,
            seed=seed,
            sockets=max(4, orders // 500),
            skews=max(2, orders // 2_000),
            trader_kills=max(1, orders // 5_000),
            exchange_kills=max(1, orders // 5_000) if exchange_kills is None else exchange_kills,
            feed=feed,
        )

    def strikes(self) -> list[tuple[int, str]]:
        """Draw what strikes, and at the how manyeth order."""
        draw = random.Random(f"{self.seed} strikes")
        kinds = [SOCKETS[at % len(SOCKETS)] for at in range(self.sockets)]
        kinds += ["clock_skew"] * self.skews
        kinds += ["kill_trader"] * self.trader_kills + ["kill_exchange"] * self.exchange_kills
        return sorted((draw.randrange(self.orders // 50, self.orders * 9 // 10), kind) for kind in kinds)


@dataclass
class Outcome:
    """How a run ended."""

    plan: Plan
    problems: list[str] = field(default_factory=list)
    strikes: Counter[str] = field(default_factory=Counter)
    placed: int = 0
    """Orders the kernel sent off."""
    reached: int = 0
    """Of those, the exchange has had."""
    fills: int = 0
    states: Counter[str] = field(default_factory=Counter)
    """How the orders ended, by the exchange's word."""
    trader_starts: int = 0
    seconds: float = 0.0
    folder: Path | None = None
    """Where the run's files are, if it did not end well."""


def play(plan: Plan, folder: Path, tell: Callable[[int], None] = lambda _reached: None) -> Outcome:
    """Trade, strike, stop, compare. `tell` hears how many orders have reached the exchange."""
    outcome = Outcome(plan)
    folder.mkdir(parents=True, exist_ok=True)
    exchange = ExchangeProcess(folder, plan.seed, journal=plan.exchange_kills > 0)
    trader = TraderProcess(folder, exchange.url, plan.seed, feed=plan.feed)
    began = time.monotonic()
    try:
        exchange.start()
        _Fire(plan, outcome, exchange, trader).burn(tell)
        outcome.strikes += Counter(exchange.struck())
        exchange.fault(fault="none")
        result = trader.stop()
        _compare(outcome, exchange, result, folder)
    except RunFailed as exc:
        outcome.problems.append(str(exc))
    finally:
        trader.kill()
        exchange.stop()
    outcome.trader_starts = trader.starts
    outcome.seconds = time.monotonic() - began
    if outcome.problems:
        outcome.folder = folder
    else:
        shutil.rmtree(folder)
    return outcome


def _compare(outcome: Outcome, exchange: ExchangeProcess, result: dict[str, Any], folder: Path) -> None:
    theirs, ours = ask_exchange(exchange.url), replay(folder / "journal.bin")
    outcome.placed, outcome.reached = len(ours.kernel.orders.orders), len(theirs.orders)
    outcome.fills = len(theirs.trades)
    outcome.states = Counter(str(row["status"]) for row in theirs.orders.values())
    outcome.problems += problems_of(theirs, ours, result)
    if outcome.reached < outcome.plan.orders:
        outcome.problems.append(f"only {outcome.reached} of {outcome.plan.orders} orders reached the exchange")


class _Fire:
    """Watches the trader and strikes when it is time."""

    def __init__(self, plan: Plan, outcome: Outcome, exchange: ExchangeProcess, trader: TraderProcess) -> None:
        self._plan, self._outcome = plan, outcome
        self._exchange, self._trader = exchange, trader
        self._draw = random.Random(f"{plan.seed} fire")

    def burn(self, tell: Callable[[int], None]) -> None:
        """Trade until enough orders have reached the exchange.

        Raises:
            RunFailed: It comes to a stand.
        """
        due = self._plan.strikes()
        self._arm()
        self._trader.start()
        reached, progressed = 0, time.monotonic()
        while reached < self._plan.orders:
            time.sleep(_POLL_S)
            if self._trader.has_ended:
                # An engine that cannot go on ends; whoever runs it starts it again.
                self._outcome.strikes["trader_ended"] += 1
                self._trader.start()
            now = self._trader.status().get("reached", reached)
            if now > reached:
                reached, progressed = now, time.monotonic()
                tell(reached)
            elif time.monotonic() - progressed > STALLED_S + reached / REPLAYED_PER_S:
                raise RunFailed(f"it came to a stand after {reached}: {self._trader.status()}")
            while due and due[0][0] <= reached:
                self._strike(due.pop(0)[1])

    def _arm(self) -> None:
        for fault, probability in PROBABILITIES.items():
            self._exchange.fault(fault=fault, probability=probability, seed=self._plan.seed, delay_ms=DELAYS_MS[0])

    def _strike(self, kind: str) -> None:
        # Delays of another length from here on, too.
        delay_ms = self._draw.choice(DELAYS_MS)
        match kind:
            case "kill_trader":
                self._trader.kill()
                self._trader.start()
                self._outcome.strikes[kind] += 1
            case "kill_exchange":
                self._outcome.strikes += Counter(self._exchange.struck())
                self._exchange.kill()
                self._exchange.start()
                self._arm()
                self._outcome.strikes[kind] += 1
            case "clock_skew":
                skew_ms = self._draw.randint(-SKEW_MS_MAX, SKEW_MS_MAX)
                self._exchange.fault(fault=kind, skew_ms=skew_ms, delay_ms=delay_ms)
            case _:
                self._exchange.fault(fault=kind, delay_ms=delay_ms)
