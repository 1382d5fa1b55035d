"""`kill -9` at two hundred random instants: a run that goes on from its journal ends where an unbroken one does."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from domain import events as e
from engine.journal import Journal, read_journal
from engine.native import NativeKernel
from engine.replay import backtest, replay
from engine.strategies.avellaneda_stoikov import AvellanedaStoikov, AvellanedaStoikovSettings
from tests.engine.markets import ETHUSDC, V3, block, kernel_opening, native_kernel

HEADER = {"version": 1, "run": "kill-nine"}
KILLS = 200
EVENTS = 250
LOOSE = {"order_notional_max": 10**6, "swap_notional_max": 10**6, "position_notional_max": 10**6,
         "exposure_notional_max": 10**7, "drawdown_max": 10**6}  # fmt: skip


def kernel() -> NativeKernel:
    settings = AvellanedaStoikovSettings(
        instrument=ETHUSDC.id, hedge_pools=(V3,), order_qty=Decimal("0.5"), inventory_max=Decimal(2),
        hedge_above=Decimal("0.6"), risk_aversion=Decimal("0.05"), spread_min_bps=Decimal(1), arrival_decay=Decimal(3),
        hedge_cost_max_bps=Decimal(500), hedge_slippage_bps=Decimal(500),
    )  # fmt: skip
    return native_kernel(AvellanedaStoikov(settings), pools=(V3,), **LOOSE)


def market(seed: int) -> Iterator[e.Event]:
    """A recorded market: the same at every asking."""
    chance, mid = random.Random(seed), 300_000
    yield from kernel_opening((V3,))
    for number in range(EVENTS):
        now = 2 * 10**9 + number * 50_000_000
        mid += chance.randint(-12, 12)
        levels = [[(mid + sign * (5 + 5 * at), chance.randint(500, 9_000)) for at in range(4)] for sign in (-1, 1)]
        bids, asks = (tuple(side) for side in levels)
        yield e.BookChanged(time_ns=now, instrument=ETHUSDC.id, bids=bids, asks=asks, update_id=number + 1)
        if chance.random() < 0.5:
            is_buyer_maker = chance.random() < 0.5
            price = mid + (-150 if is_buyer_maker else 150)
            yield e.TradePrinted(
                time_ns=now, instrument=ETHUSDC.id, price_ticks=price, qty_lots=chance.randint(1_000, 9_000),
                is_buyer_maker=is_buyer_maker,
            )  # fmt: skip
        if number % 5 == 0:
            yield e.TimerFired(time_ns=now)
        if number % 40 == 0:
            yield block(number + 2, now)


def drive(path: Path, seed: int) -> NativeKernel:
    """Go on from the journal, to the end of the market."""
    run, journal = kernel(), Journal.open(path, HEADER)
    before = journal.recovered
    for number, event in enumerate(backtest(run, market(seed))):
        if number < len(before):
            # What the simulated venue answered to the same decisions is what it answered then.
            if event != before[number]:
                raise AssertionError(f"event {number}: {event} instead of {before[number]}")
        else:
            journal.append(event)
    journal.close()
    return run


def state(run: NativeKernel) -> str:
    """A digest of everything."""
    native = run.native
    held = [native.balance(at) for at in range(len(run.numbers.assets))]
    seen = [run.digest, native.orders(), native.swaps(), native.trades, native.result(), native.events, held]
    seen += [sorted(run.portfolio.balances.items()), run.trades_booked, run.strategies[0].state()]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def killed_after(path: Path, seed: int, seconds: float) -> bool:
    """Run it in a process of its own and kill that after a while; whether it died of it."""
    child = os.fork()
    if child == 0:
        try:
            drive(path, seed)
        except BaseException as exc:
            os.write(2, f"{type(exc).__name__}: {exc}\n".encode())
            os._exit(1)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the driver failed; see standard error"
    return os.WIFSIGNALED(status)


@pytest.mark.timeout(300)
def test_a_run_killed_at_two_hundred_random_instants_ends_as_one_that_was_not(tmp_path):
    chance = random.Random(os.environ.get("CAPSTAN_SEED", "9"))
    kills = runs = 0
    counts: set[int] = set()
    while kills < KILLS:
        runs += 1
        whole = tmp_path / f"whole-{runs}"
        began = time.perf_counter()
        expected = state(drive(whole, runs))
        took = time.perf_counter() - began
        path = tmp_path / f"killed-{runs}"
        for _ in range(40):
            # The later the kill, the more there is to replay first: leave time for that.
            if not killed_after(path, runs, chance.uniform(0.0, 1.5 * took)):
                break
            kills += 1
            if path.exists():
                counts.add(path.stat().st_size)
                if chance.random() < 0.3 and path.stat().st_size > 200:
                    os.truncate(path, path.stat().st_size - chance.randint(1, 9))  # A power cut tore the last record.
        resumed = drive(path, runs)
        assert state(resumed) == expected, f"run {runs}"
        assert path.read_bytes() == whole.read_bytes()
        assert resumed.trades_booked > 5
        assert resumed.settled
        assert replay(kernel(), read_journal(path)[1]).count > 50
    print(f"{kills} kills in {runs} runs, at {len(counts)} different places of the journals")
    assert len(counts) > 20
