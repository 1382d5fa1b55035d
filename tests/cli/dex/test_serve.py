"""`capstan dex serve`: where it runs, and that it waits for nobody."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from api.swaps.door import DexDoor
from cli.data_dir import DataDir
from cli.dex.serve import run
from cli.settings import load_settings
from cli.up import parts_of
from domain import InputError, VenueUnavailable
from tests.cli.test_up import SETTINGS

CHAIN = '\n[chain]\nchain_id = 1337\nendpoints = ["http://127.0.0.1:9"]\naddress_book = "devnet.json"\n'


def written(folder, more):
    data = DataDir(folder)
    data.settings.write_text(SETTINGS.format(url="http://127.0.0.1:9") + more)
    return data


def test_it_runs_where_there_is_a_chain_and_nowhere_else(tmp_path):
    data = written(tmp_path, "")
    assert "dex" not in [part.name for part in parts_of(load_settings(data.settings), data, "127.0.0.1", 8460)]
    with pytest.raises(InputError, match=r"has no \[chain\]"):
        asyncio.run(run(tmp_path, as_json=True))
    data = written(tmp_path, CHAIN)
    assert [part.name for part in parts_of(load_settings(data.settings), data, "127.0.0.1", 8460)][-1] == "dex"


def test_swaps_want_an_account_that_nobody_else_trades_with(tmp_path):
    account, custody = "0x" + "1" * 40, '\n[custody]\naccount = "0x{}"\n[custody.policy]\nchain_id = 1337\n'
    swaps = f'\n[swaps]\naccount = "{account}"\n'
    data = written(tmp_path, CHAIN + swaps)
    with pytest.raises(InputError, match=r"swaps need \[chain\], \[custody\]"):
        load_settings(data.settings)
    for theirs, is_refused in (("1" * 40, True), ("2" * 40, False)):
        data = written(tmp_path, CHAIN + custody.format(theirs) + swaps)
        data.settings.write_text('mode = "live"\n' + data.settings.read_text())
        if not is_refused:
            assert load_settings(data.settings).swaps.account == account
            continue
        with pytest.raises(InputError, match="an account of their own"):
            load_settings(data.settings)


async def test_it_starts_before_its_node_and_ends_on_sigterm(tmp_path, monkeypatch):
    data, said, ready = written(tmp_path, CHAIN), [], asyncio.Event()

    def emit(what):
        said.append(what)
        ready.set()

    monkeypatch.setattr("cli.output.emit", emit)
    monkeypatch.setattr("runtime.configure_logging", lambda **_: None)
    serving = asyncio.create_task(run(tmp_path, as_json=True))
    await ready.wait()
    assert said == [{"ready": True, "chain_id": 1337}]
    with pytest.raises(VenueUnavailable, match="no node answers"):
        await DexDoor(data.dex_control).ask("quote", token_in="WETH", token_out="USDC", amount="1")
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert not data.dex_control.exists()
