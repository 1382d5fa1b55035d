"""Unmodified clients that nobody here wrote trade on the sandbox; what they say they saw is what the exchange did.

Each session is a process: two of the clients claim one module name, and `binance_connector` has an environment of its
own. Nothing but URLs and keys is told to them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cex.sandbox import SandboxConfig, symbol_specs
from runtime.processes import die_with_parent
from tests.cex.sandbox.conftest import ALICE, Sandbox, Start
from tests.conformance.keys import ed25519_account, rsa_account

HERE = Path(__file__).parent
CLIENTS = (
    "ccxt_pro",
    "python_binance",
    "binance_connector",
    "binance_sdk_spot",
    "npm_binance_spot",
    "npm_binance_api_node",
)
KEYS = {"hmac": (ALICE, None), "ed25519": ed25519_account(), "rsa": rsa_account()}
SESSION_S = 90
"""Ends a session that hangs; on an idle machine one takes 2 to 4 s."""


@pytest.fixture
async def sandbox(start: Start) -> Sandbox:
    accounts = tuple(account for account, _ in KEYS.values())
    return await start(SandboxConfig(accounts=accounts, symbols=symbol_specs(["ETHUSDC", "BTCUSDC"]), seed=7))


def command(client: str, script: str = "session") -> list[str]:
    """Give what runs a session; skip where the client is missing, or fail if everything must be there (`make test`)."""
    if client.startswith("npm_"):
        project = HERE / "npm"
        program, path = shutil.which("node"), project / f"{client.removeprefix('npm_')}.mjs"
        is_installed = program is not None and (project / "node_modules").is_dir()
    else:
        project = HERE / client
        is_apart = (project / "pyproject.toml").is_file()
        program, path = str(project / ".venv/bin/python") if is_apart else sys.executable, project / f"{script}.py"
        is_installed = Path(program).is_file()
    if program is None or not is_installed:
        reason = f"{client} is not installed: run `make conformance`"
        if os.environ.get("CAPSTAN_TEST_ALL_CLIENTS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return [program, str(path)]


async def session(client: str, kind: str, sandbox: Sandbox, script: str = "session") -> dict[str, Any]:
    """Run a client's session to its end and give its account of it."""
    account, private_key = KEYS[kind]
    signs_with = {"secret": account.secret} if private_key is None else {"private_key": private_key}
    where = {"http": sandbox.url, "ws": sandbox.ws_url, "api_key": account.api_key, **signs_with}
    process = await asyncio.create_subprocess_exec(
        *command(client, script),
        json.dumps(where),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": tempfile.gettempdir(), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=die_with_parent,
    )
    try:
        async with asyncio.timeout(SESSION_S):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complained.decode()[-4000:]
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize(
    ("client", "kind"),
    [*((client, "hmac") for client in CLIENTS), *(("binance_sdk_spot", k) for k in ("ed25519", "rsa"))],
)
async def test_it_trades_and_sees_what_the_exchange_did(client: str, kind: str, sandbox: Sandbox) -> None:
    seen = await session(client, kind, sandbox)

    async def ask(path: str, **params: Any) -> Any:
        account, private_key = KEYS[kind]
        status, body = await sandbox.call("GET", f"/api/v3/{path}", account, private_key, **params)
        assert status == 200, body
        return body

    assert (Decimal(seen["tick"]), Decimal(seen["lot"])) == (Decimal("0.01"), Decimal("0.0001"))
    assert min(seen["book"]) >= 20
    assert Decimal(seen["appeared"]) == Decimal("0.1")

    orders = {order["orderId"]: order for order in await ask("allOrders", symbol="ETHUSDC")}
    placed, amended = orders[int(seen["placed"])], orders[int(seen["amended"])]
    assert (placed["price"], placed["status"]) == ("2900.17000000", "CANCELED")
    assert (amended["price"], amended["status"]) == ("2900.18000000", "CANCELED")
    if "reduced_to" in seen:
        assert Decimal(seen["reduced_to"]) == Decimal(amended["origQty"]) == Decimal("0.15")
    by_stream = orders[int(seen["canceled"][1])]
    assert seen["canceled"][0] == seen["amended"]
    assert (by_stream["price"], by_stream["status"]) == ("2900.19000000", "CANCELED")
    assert seen["bought"]
    assert {orders[int(id_)]["status"] for id_ in seen["bought"]} == {"FILLED"}
    assert await ask("openOrders") == []

    trades = await ask("myTrades", symbol="ETHUSDC")
    facts = ("id", "price", "qty", "commission")
    assert [[*map(Decimal, fill[:4]), fill[4]] for fill in seen["fills"]] == [
        [*(Decimal(trade[fact]) for fact in facts), trade["commissionAsset"]] for trade in trades
    ]
    assert seen["streamed"]
    known = {trade["id"] for trade in trades if trade["orderId"] in map(int, seen["bought"])}
    assert set(map(int, seen["streamed"])) <= known
    if len(seen["bought"]) == 1:
        assert set(map(int, seen["streamed"])) == known

    assert seen["refused"] == -2010
    balances = {balance["asset"]: balance for balance in (await ask("account"))["balances"]}
    for asset in ("ETH", "USDC"):
        assert Decimal(seen["balance"][asset]) == Decimal(balances[asset]["free"])
        assert Decimal(balances[asset]["locked"]) == 0


async def test_every_answer_and_stream_fits_the_schemas_of_the_venues_own_client(sandbox: Sandbox) -> None:
    seen = await session("binance_sdk_spot", "hmac", sandbox, "methods")
    odd = {(door, method): told for door, methods in seen.items() for method, told in methods.items() if told != "ok"}
    # No symbol of ours has a reference price, and that is how the venue says so.
    doors, methods = ("rest", "websocket"), ("reference_price", "reference_price_calculation")
    assert odd == {(door, method): -2043 for door in doors for method in methods}
    assert {door: len(methods) for door, methods in seen.items()} == {"rest": 30, "websocket": 29, "streams": 13}
