"""The sandbox exchange under load: a process of its own, clients in another, on the same two cores.

Run it on a quiet machine, or ahead of everybody else with `chrt --rr 5`: others on the cores are what p99 shows first.
Orders come over the WebSocket API, signed (HMAC-SHA256), on four connections of four accounts; every second one trades.
At a given rate latencies count from when an order was due. The matching engine alone is measured without any of that.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import capstan_native as native
import uvloop

from bench.load import Outcome, place
from bench.rows import Row, bound_row, notes, ratio_row
from bench.spine_matching import history_batch, traded
from cex.sandbox import AccountSpec

RATE = 3_000
P99_MS = 10.0
MATCHED = 100_000
_SECONDS = 5
_ACCOUNTS = [
    AccountSpec(f"load{n}", f"load-key-{n}", f"load-secret-{n}", None, {"ETH": "100000", "USDC": "300000000"})
    for n in range(4)
]


def run() -> list[Row]:
    """Measure; takes about forty seconds."""
    rows = [_engine()]
    for journal in (False, True):
        with tempfile.TemporaryDirectory(prefix="capstan-bench-") as scratch, sandbox(Path(scratch), journal) as port:
            uvloop.run(place(port, _ACCOUNTS, 3_000, window=32))
            most = uvloop.run(place(port, _ACCOUNTS, RATE * _SECONDS, window=64))
            paced = uvloop.run(place(port, _ACCOUNTS, RATE * _SECONDS, rate=RATE))
            # Half of what it can do: the latency of a server that is not kept busy.
            calm = uvloop.run(place(port, _ACCOUNTS, 2_500, rate=500))
        rows += _rows(most, paced, calm, "with a journal" if journal else "no journal")
    return rows


def _rows(most: Outcome, paced: Outcome, calm: Outcome, how: str) -> list[Row]:
    def told(name: str, outcome: Outcome) -> str:
        p50, p99 = outcome.percentile(0.5) * 1e3, outcome.percentile(0.99) * 1e3
        worst = max(outcome.latencies) * 1e3
        return f"{name}: {outcome.rate:,.0f}/s, p50 {p50:.2f} p99 {p99:.2f} max {worst:.1f} ms"

    figures = "; ".join((told("64 under way", most), told(f"{RATE}/s", paced), told("500/s", calm)))
    notes.append(f"sandbox, WebSocket API, {how}: {figures}")
    topic = "cex"
    return [
        ratio_row(
            topic=topic,
            name=f"sandbox, orders over the WebSocket API, {how}",
            ours=most.rate,
            unit="orders/s",
            peer_name=f"{RATE} orders/s",
            ratio=most.rate / RATE,
            target=1.0,
        ),
        bound_row(
            topic=topic,
            name=f"sandbox, p99 at {RATE} orders/s, {how}",
            ours=paced.percentile(0.99) * 1e3,
            unit="ms",
            most=P99_MS,
        ),
    ]


def _engine() -> Row:
    batch, count = history_batch()
    times = []
    for _ in range(7):
        engine = native.MatchingEngine()
        began = time.perf_counter()
        events = engine.run(batch)
        times.append(time.perf_counter() - began)
    matched = traded(events) / sorted(times)[3]
    notes.append(f"matching engine: {count / sorted(times)[3]:,.0f} commands/s, {matched:,.0f} trades/s")
    return ratio_row(
        topic="cex",
        name="sandbox, matching engine",
        ours=matched,
        unit="matched orders/s",
        peer_name=f"{MATCHED} orders/s",
        ratio=matched / MATCHED,
        target=1.0,
    )


@contextlib.contextmanager
def sandbox(folder: Path, journal: bool) -> Iterator[int]:
    """A sandbox process with empty books; gives its port."""
    accounts = folder / "accounts.json"
    rows = [{"name": a.name, "api_key": a.api_key, "secret": a.secret, "balances": dict(a.balances)} for a in _ACCOUNTS]
    accounts.write_text(json.dumps({"accounts": rows}))
    command = [sys.executable, "-m", "cli", "sandbox", "serve", "--port", "0", "--json", "--flow", "none"]
    command += ["--symbols", "ETHUSDC", "--accounts", str(accounts)]
    command += ["--journal", str(folder / "journal")] if journal else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{") and '"port"' in line:
                    yield int(json.loads(line)["port"])
                    break
        finally:
            child.terminate()


if __name__ == "__main__":
    for row in run():
        print(row["name"], row["value"], row["unit"], row["ok"])
    print("\n".join(notes))
