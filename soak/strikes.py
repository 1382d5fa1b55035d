"""What hits a running demo. Each strike says in one word what it did, for the report."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import urllib.error
import urllib.request
from typing import Any

from soak.demo import Demo

EXCHANGE_FAULTS = (
    "drop_ack",
    "delay_ack",
    "error_after_accept",
    "reject_429",
    "gap",
    "duplicate_report",
    "out_of_order",
    "lose_report",
)
SOCKET_FAULTS = ("kill_sockets", "abort_sockets")
REORG_DEPTH_MAX = 3


def kill(pid: int) -> bool:
    """`kill -9`; False when there is nobody."""
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def strike_exchange(demo: Demo, rng: random.Random) -> str:
    """Arm one fault for the next few orders or reports, or cut every socket."""
    fault = rng.choice((*EXCHANGE_FAULTS, *SOCKET_FAULTS))
    order = {"fault": fault, "count": rng.randint(1, 3)}
    if fault == "delay_ack":
        order["delay_ms"] = rng.choice((50, 500, 3000))
    _post(demo.world()["exchange_url"] + "/_sandbox/faults", order)
    return fault


def calm_exchange(demo: Demo) -> None:
    """Disarm what has not struck yet."""
    for fault in EXCHANGE_FAULTS:
        _post(demo.world()["exchange_url"] + "/_sandbox/faults", {"fault": fault, "count": 0})


def reorganise(demo: Demo, rng: random.Random) -> str:
    """Replace the newest blocks by as many empty ones; their transactions are gone until somebody sends them again."""
    depth = rng.randint(1, REORG_DEPTH_MAX)
    rpc(demo, "anvil_reorg", [depth, []])
    return f"reorg_{depth}"


def rpc(demo: Demo, method: str, parameters: list[Any]) -> Any:
    """Ask the demo's node.

    Raises:
        RuntimeError: It answers with an error.
    """
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    answer = _post(demo.world()["rpc_url"], request)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]


def _post(url: str, value: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, data=json.dumps(value).encode(), headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        found: dict[str, Any] = json.loads(reply.read())
        return found
