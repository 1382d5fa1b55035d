"""An engine's process carries withdrawals: asked for in another process, woken over the socket, paid by its custody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api.tables import open_tables
from chain import ChainClient
from chain.devnet import Devnet
from cli.data_dir import DataDir
from cli.settings import load_settings
from cli.withdrawals_carrying import Beside
from cli.withdrawals_desk import CONTROL, open_counter
from custody import Policy
from custody.counter import Counter
from custody.ledger import Entry, Posting, user_account
from custody.withdrawals import State
from domain import InputError
from domain.events import SwapSettled
from runtime.control import ask_control
from tests.custody.desk import VAULT, build_desk, swap
from tests.custody.withdrawals.house import CHAIN, COIN, ask, paying_policy

pytestmark = pytest.mark.anvil


async def test_the_engines_custody_pays_and_the_engine_hears_of_its_own_swaps_only(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    await devnet.fund(VAULT)
    policy, told = paying_policy(devnet.world), list[SwapSettled]()
    desk = build_desk(devnet.world, chain_client, tmp_path, settings=policy, database_url=_installed(devnet, tmp_path))
    open_tables(desk.database)
    await desk.open_ledger()
    settings, data = load_settings(tmp_path / "capstan.toml"), DataDir(tmp_path)
    beside = Beside(settings, data, (desk.database, desk.ledger), Policy(policy), desk.custody)
    counter = open_counter(settings, data, state="api-policy.json")  # Another process's, without a key.
    _owe(counter)
    swapped = asyncio.Event()

    def emit(settled: SwapSettled) -> None:
        told.append(settled)
        swapped.set()

    await desk.custody.start(beside.settled(emit))
    async with beside.carrying():
        made = await counter.desk.request(ask(COIN, 10**18))
        await counter.wake()
        found = await beside._desk.wait_for(made.id, [State.SENDING], timeout_s=90)
        with pytest.raises(InputError, match="wake"):
            await ask_control(tmp_path / CONTROL, {"command": "pay"})
        await desk.custody.submit(swap(devnet.world, "swap-1"))  # Refused: nothing was approved.
        async with asyncio.timeout(45):
            await swapped.wait()
    await desk.custody.stop()
    assert found.reason == ""
    assert [settled.intent_id for settled in told] == ["swap-1"]
    assert not (tmp_path / CONTROL).exists()
    await counter.wake()  # Nobody there is no error.
    counter.database.dispose()


def _owe(counter: Counter) -> None:
    legs = (Posting(user_account("ulla"), COIN.id, -(10**19)), Posting("equity/opening", COIN.id, 10**19))
    counter.ledger.post(Entry("grant", "grant", legs))


def _installed(devnet: Devnet, root: Path) -> str:
    (root / "devnet.json").write_bytes(devnet.world.to_json())
    (root / "deny-list.txt").write_text("")
    (root / "capstan.toml").write_text(
        f"""mode = "live"
[chain]
chain_id = {CHAIN}
endpoints = ["{devnet.world.rpc_url}"]
address_book = "devnet.json"
[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "http://127.0.0.1:9"
instruments = ["ETHUSDC"]
[custody]
account = "{VAULT}"
[custody.policy]
chain_id = {CHAIN}
"""
    )
    return f"sqlite:///{root / 'capstan.db'}"
