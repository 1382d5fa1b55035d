"""An installation for a bench: the sandbox exchange, and `capstan up` with a strategy that takes clients' orders."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cex.sandbox import TEST_ACCOUNT
from runtime.base64url import decode64
from runtime.processes import die_with_parent

_ROOT: Final = Path(__file__).parents[1]
_SETTINGS: Final = """
mode = "live"

[api]
password_memory_kib = 64
rate_limit = 6000000

[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "{url}"
instruments = ["ETHUSDC"]
api_key = "literal-test:{key}"
secret = "literal-test:{secret}"

[engine.assets.ETH]
members = ["ETH"]
mark = "sandbox:ETHUSDC"
[engine.assets.USD]
members = ["USDC"]

[engine.risk]
order_notional_max = "60000"
order_qty_max = {{ ETH = "20" }}
position_notional_max = "100000000"
exposure_notional_max = "100000000"
open_orders_max = 1000000
open_orders_per_strategy_max = 1000000
messages_per_second_max = 1000000
drawdown_max = "5000000"

[[engine.strategies]]
kind = "client-orders"
id = "desk"
instruments = ["sandbox:ETHUSDC"]
"""


@dataclass(frozen=True)
class Installation:
    """One that answers."""

    folder: Path
    port: int
    parts: dict[str, int]
    """Process ids."""
    key: str
    secret: bytes
    portfolio: str


@contextmanager
def installation() -> Iterator[Installation]:
    """Start all of it in a folder that is gone afterwards; the first organisation's owner has an HMAC key."""
    with tempfile.TemporaryDirectory(prefix="capstan-bench-") as scratch:
        folder = Path(scratch)
        with _running("sandbox", "serve", "--port", "0", "--symbols", "ETHUSDC") as exchange:
            account = TEST_ACCOUNT
            told = _SETTINGS.format(url=exchange["url"], key=account.api_key, secret=account.secret)
            (folder / "capstan.toml").write_text(told)
            made = _once("api", "bootstrap", "bench", "--email", "bench@bench.example", "--data-dir", str(folder))
            with _running("up", "--port", "0", "--data-dir", str(folder)) as ready:
                port = int(ready["url"].rpartition(":")[2])
                secret = decode64(made["key_secret"])
                yield Installation(folder, port, ready["parts"], made["key"], secret, made["portfolio"])


@contextmanager
def _running(*arguments: str) -> Iterator[dict[str, Any]]:
    """A command that says when it is ready."""
    with subprocess.Popen(
        _command(arguments),
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
    ) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                raise AssertionError(f"capstan {arguments[0]} ended before it was ready")
            yield json.loads(line)
        finally:
            child.terminate()


def _once(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(_command(arguments), cwd=_ROOT, capture_output=True, text=True, check=True, timeout=60)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "cli", *arguments, "--json"]
