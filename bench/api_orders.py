"""Order entry: HTTP request to the venue's acknowledgement in the answer, through everything that `capstan up` runs.

Signed orders with an idempotency key each, over keep-alive connections: API process, SQLite, the engine's socket,
journal, kernel, gate, the sandbox exchange's WebSocket API and back, the client on the same two cores. The orders are
immediate-or-cancel far from the touch: the venue takes each and says how it ended. Run it on a quiet machine, or ahead
of everybody else with `chrt --rr 5`. At a given rate latencies count from when an order was due. The p99 is the median
of several turns: each order is on the disk before it is answered, and a disk that others use stands still for 0.1 s
every few seconds, which is 50 orders of that turn.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Final

import uvloop

from api.auth.signing import sign_request
from bench.http_load import Answers, ask, request
from bench.installation import Installation, installation
from bench.rows import Row, bound_row, notes, ratio_row

RATE: Final = 500
P99_MS: Final = 50.0
_SECONDS: Final = 4
_TURNS: Final = 5
_TARGET: Final = "/v1/orders?wait_ms=5000"
_ORDER: Final = {
    "strategy": "desk", "instrument": "sandbox:ETHUSDC", "side": "buy", "type": "limit", "time_in_force": "ioc",
    "price": "2900", "qty": "0.01",
}  # fmt: skip


def run() -> list[Row]:
    """Measure; takes about a minute."""
    with installation() as found:
        uvloop.run(ask(found.port, orders(found, 500), connections=16))
        began = _cpu_s(found)
        most = uvloop.run(ask(found.port, orders(found, RATE * _SECONDS), connections=32))
        spent = {name: (after - began[name]) / len(most.bodies) for name, after in _cpu_s(found).items()}
        paced = [
            uvloop.run(ask(found.port, orders(found, RATE * _SECONDS), connections=64, rate=RATE))
            for _ in range(_TURNS)
        ]
    for answers in (most, *paced):
        _check(answers)
    paced.sort(key=lambda answers: answers.percentile_ms(0.99))
    notes.append(f"api_orders, 32 under way: {most.told()}")
    notes.extend(f"api_orders, {RATE}/s: {answers.told()}" for answers in paced)
    notes.append("processor time an order: " + ", ".join(f"{name} {s * 1e3:.2f} ms" for name, s in spent.items()))
    return [
        ratio_row(
            topic="api",
            name="orders over HTTP to the sandbox's acknowledgement",
            ours=most.rate,
            unit="orders/s",
            peer_name=f"{RATE} orders/s",
            ratio=most.rate / RATE,
            target=1.0,
        ),
        bound_row(
            topic="api",
            name=f"orders over HTTP, p99 at {RATE}/s",
            ours=paced[_TURNS // 2].percentile_ms(0.99),
            unit="ms",
            most=P99_MS,
        ),
    ]


def orders(found: Installation, count: int) -> list[bytes]:
    """Write and sign requests; they are good for half a minute."""
    body, batch = json.dumps(_ORDER).encode(), secrets.token_hex(4)
    written = []
    for number in range(count):
        signed = sign_request(
            found.key,
            found.secret,
            method="POST",
            target=_TARGET,
            body=body,
            now_ms=time.time_ns() // 1_000_000,
            nonce=secrets.token_hex(12),
            window_ms=30_000,
        )
        headers = signed | {"content-type": "application/json", "idempotency-key": f"bench-{batch}-{number}"}
        written.append(request("POST", _TARGET, headers, body))
    return written


def _check(answers: Answers) -> None:
    """Every order was taken by the venue, and is its own."""
    told = [json.loads(body) for body in answers.bodies]
    states = Counter(order.get("state", order.get("code")) for order in told)
    ids = {order["venue_order_id"] for order in told if order.get("venue_order_id")}
    if set(states) - {"accepted", "expired"} or len(ids) != len(told):
        raise AssertionError(f"not all orders were taken: {dict(states)}, {len(ids)} of {len(told)} at the venue")


def _cpu_s(found: Installation) -> dict[str, float]:
    """Processor seconds of each process so far."""
    spent = {}
    for name, pid in found.parts.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent[name] = (int(fields[11]) + int(fields[12])) / 100
    return spent
