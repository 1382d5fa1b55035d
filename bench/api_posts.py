"""What a signature and an idempotency key cost: the same POST with both and without, in the same server, by turns.

Both write the same row in a transaction that is durable before the answer. Processor time is of the server's process,
by the kernel's own count, over HTTP on keep-alive connections; the figure is the median of many short turns, so that a
neighbour's burst is in few of them.
"""

from __future__ import annotations

import json
import secrets
import statistics
import tempfile
import time
from typing import Final

import uvloop

from api.auth.signing import sign_request
from bench.api_stream import Server, serving
from bench.http_load import ask, request
from bench.rows import Row, bound_row, notes

SHARE: Final = 1.3
_COUNT: Final = 500
_ROUNDS: Final = 16
_BODY: Final = json.dumps(
    {"strategy": "desk", "instrument": "nobody:ETHUSDC", "side": "buy", "price": "2900", "qty": "0.01"}
).encode()


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    with tempfile.TemporaryDirectory(prefix="capstan-bench-") as folder, serving(folder) as server:
        turns = [(_cost_us(server, "/bench/whole"), _cost_us(server, "/bench/plain")) for _ in range(_ROUNDS + 2)]
    # The first ones warm up.
    ours, peer = (statistics.median(cost) for cost in zip(*turns[2:], strict=True))
    notes.append(f"api_posts: {ours:.0f} us of the server's processor signed and once, {peer:.0f} us without")
    name = "POST signed and idempotent, of the same without"
    return [bound_row(topic="api", name=name, ours=ours / peer, unit="x", most=SHARE)]


def _cost_us(server: Server, target: str) -> float:
    requests = [_request(server, target, number) for number in range(_COUNT)]
    spent = server.cpu_s()
    answers = uvloop.run(ask(server.port, requests, connections=32))
    spent = server.cpu_s() - spent
    if any(b" 201 " not in head[:20] for head in answers.heads):
        raise AssertionError(answers.bodies[0][:300])
    return spent / _COUNT * 1e6


def _request(server: Server, target: str, number: int) -> bytes:
    headers = {"content-type": "application/json"}
    if target.endswith("whole"):
        headers |= {"idempotency-key": f"{secrets.token_hex(6)}-{number}"}
        headers |= sign_request(
            server.key,
            server.secret,
            method="POST",
            target=target,
            body=_BODY,
            now_ms=time.time_ns() // 1_000_000,
            nonce=secrets.token_hex(12),
            window_ms=30_000,
        )
    return request("POST", target, headers, _BODY)
