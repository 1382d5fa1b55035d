"""`capstan dex perps` on a devnet with the double: through custody, and the ledger is the chain to the unit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet
from cli.main import main
from tests.dex.perps.gmx_world import GmxWorld

ACCOUNT = 5
VAULT = TEST_ADDRESSES[ACCOUNT]
Command = Callable[..., Any]


@pytest.fixture
async def gmx(devnet: Devnet, chain_client: ChainClient) -> GmxWorld:
    world = await GmxWorld.open(devnet, chain_client)
    await devnet.fund(VAULT, 0, {"USDC": 20_000 * 10**6})
    return world


@pytest.fixture
def command(gmx: GmxWorld, devnet: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    book = tmp_path / "gmx.toml"
    b = gmx.book
    names = ("exchange_router", "router", "order_vault", "data_store", "event_emitter", "router_code_hash")
    lines = [
        "[[deployment]]",
        f"chain_id = {b.chain_id}",
        'version = "double"',
        *(f'{name} = "{getattr(b, name)}"' for name in names),
        'wrapped = "WETH"',
        f'tokens = {{ WETH = ["{gmx.weth}", 18], USDC = ["{gmx.usdc}", 6] }}',
        f'[[deployment.markets]]\nname = "ETH/USD"\naddress = "{gmx.market.address}"\nindex_decimals = 18',
        'long = "WETH"\nshort = "USDC"',
    ]
    book.write_text("\n".join(lines))
    place = ("--rpc-url", devnet.world.rpc_url, "--book", str(book), "--json")

    async def run(verb: str, *arguments: str, code: int = 0) -> Any:
        desk = () if verb == "book" else ("--data", str(tmp_path / "desk"), "--account", str(ACCOUNT))
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, ["dex", "perps", verb, *arguments, *place, *desk])
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        # In this process the log shares standard output; the answer is the last line.
        return json.loads(captured.out.splitlines()[-1]) if code == 0 else captured.err

    return run


ORDER = ("--market", "ETH/USD", "--size-usd", "30000", "--collateral", "USDC")
OPEN = (*ORDER, "--kind", "market-increase", "--collateral-raw", "5000000000", "--worst-price", "3100")
CLOSE = (*ORDER, "--kind", "market-decrease", "--collateral-raw", "0", "--worst-price", "2000")


@pytest.mark.anvil
async def test_a_position_is_opened_and_closed_and_the_books_equal_the_chain(gmx: GmxWorld, command: Command) -> None:
    assert (await command("book"))["usable"] is True
    planned = await command("order", *OPEN)
    assert (planned["sent"], planned["transactions"]) == (False, 2)
    opened = await command("order", *OPEN, "--send", "--yes")
    assert opened["status"] == "created"
    key = bytes.fromhex(opened["key"][2:])
    assert (await command("orders"))["orders"] == [
        {"key": opened["key"], "state": "open", "reason": "", "tx_hash": opened["tx_hash"]}
    ]
    await gmx.keep(key, 3_000)
    listed = await command("orders")
    assert [row["state"] for row in listed["orders"]] == ["executed"]
    # Nothing but the unused half of the keeper's fee came back, in a transaction that is not ours.
    assert (listed["booked"], listed["books_equal_chain"]) == ([f"gmx/1337/{opened['key']}"], True)
    held = await command("position", "--market", "ETH/USD", "--collateral", "USDC")
    assert held == {
        "market": "ETH/USD",
        "direction": "long",
        "size_usd": "30000.000000000000000000000000000000",
        "size_tokens": "10.000000000000000000",
        "collateral_raw": "5000000000",
    }
    closed = await command("order", *CLOSE, "--send", "--yes")
    assert closed["transactions"] == 1
    await gmx.keep(bytes.fromhex(closed["key"][2:]), 3_100)
    listed = await command("orders")
    assert (len(listed["booked"]), listed["books_equal_chain"]) == (1, True)
    assert await gmx.usdc_of(VAULT) == 21_000 * 10**6
    assert (await command("orders"))["booked"] == []


@pytest.mark.anvil
async def test_an_order_taken_back_is_booked_once(gmx: GmxWorld, command: Command) -> None:
    limit = ("--kind", "limit-increase", "--collateral-raw", "5000000000", "--worst-price", "2950")
    created = await command("order", *ORDER, *limit, "--trigger-price", "2900", "--send", "--yes")
    assert (await command("cancel", created["key"], "--yes"))["status"] == "mined"
    listed = await command("orders")
    assert [(row["state"], row["reason"]) for row in listed["orders"]] == [("cancelled", "USER_INITIATED_CANCEL")]
    assert listed["books_equal_chain"] is True
    assert await gmx.usdc_of(VAULT) == 20_000 * 10**6


@pytest.mark.anvil
async def test_bad_input_is_named_and_sends_nothing(gmx: GmxWorld, command: Command) -> None:
    before = await gmx.client.nonce(VAULT)
    for arguments, words in (
        ((*OPEN[:6], *OPEN[6:-1], "cheap"), "--worst-price takes a number"),
        (("--market", "DOGE/USD", *OPEN[2:]), "no market DOGE/USD"),
        ((*ORDER, "--kind", "swap", *OPEN[8:]), "--kind is one of"),
        ((*ORDER[:-1], "DAI", *OPEN[6:]), "takes WETH and USDC, not DAI"),
    ):
        assert words in await command("order", *arguments, "--send", "--yes", code=1)
    assert "not a key" in await command("cancel", "xyz", "--yes", code=1)
    assert await gmx.client.nonce(VAULT) == before
