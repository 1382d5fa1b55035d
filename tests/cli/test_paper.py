"""Paper trading: the same engine on the same live data, books that balance, and nothing sent anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from chain.devnet import DevnetWorld
from cli.demo.installation import VAULT, settings_toml
from custody.audit import list_audit
from domain import ChainId, native_asset, token_asset
from engine.journal import read_journal
from runtime.database import Database
from runtime.processes import die_with_parent
from tests.cli.demo_run import ROOT, assert_books_are_true

pytestmark = [pytest.mark.demo, pytest.mark.anvil, pytest.mark.timeout(180)]


RAMP = """[engine.ramp.expected]
mean = 10
deviation = 5
[[engine.ramp.stages]]
capital = 240000
drawdown_max = 100
[[engine.ramp.stages]]
capital = 900000
drawdown_max = 1000
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
    )


def wait_for(path, process, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)
    return json.loads(path.read_text())


def paper_settings(book, exchange_url):
    chain = ChainId(book.chain_id)
    held = {"sandbox/USDC": 1_000_000, "sandbox/ETH": 100, "sandbox/BTC": 10, native_asset(chain).id: 5}
    for symbol, amount in (("USDC", 1_000_000), ("WETH", 100), ("WBTC", 10)):
        token = book.tokens[symbol]
        held[token_asset(chain, token.address, symbol, token.decimals).id] = amount
    balances = "".join(f'"{asset}" = "{amount}"\n' for asset, amount in held.items())
    live = settings_toml(book, exchange_url=exchange_url)
    paper = live.replace('mode = "live"', 'mode = "paper"').replace(
        "[chain]", f"[paper_balances]\n{balances}\n[chain]", 1
    )
    return f"{paper}\n{RAMP}"


def test_paper_run_balances_and_sends_nothing(tmp_path):
    lease = tmp_path / "world.lease"
    lease.touch()
    ahead = time.time() + 3600  # A world that nobody has touched for a minute ends, and this machine may be slow.
    os.utime(lease, (ahead, ahead))
    world_process = start("-m", "cli.demo.world", str(tmp_path), "7")
    try:
        world = wait_for(tmp_path / "world.json", world_process)
        book = DevnetWorld.from_json((tmp_path / "devnet.json").read_bytes())
        (tmp_path / "capstan.toml").write_text(paper_settings(book, world["exchange_url"]))
        engine = start("-m", "cli", "engine", "run", "--data-dir", str(tmp_path))
        deadline = time.monotonic() + 90
        while wait_for(tmp_path / "status.json", engine)["orders_sent"] < 20 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert reloaded(tmp_path, "spread_min_bps=3", "--reason", "wider") == {"spread_min_bps": ["1", "3"]}
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(60) == 0, engine.communicate()[1]

        result = json.loads((tmp_path / "result.json").read_text())
        assert_books_are_true(result)
        assert result["orders"]["sent"] >= 20
        assert json.loads((tmp_path / "status.json").read_text())["ramp"]["stage"] == 1
        assert ramp_result(tmp_path) == pytest.approx(result["pnl"]["total"], abs=1e-4)
        assert changes_recorded(tmp_path / "paper.db") == [("strategy/mm", "wider", "taken")]
        assert not (tmp_path / "capstan.db").exists()  # No custody, no real books.
        assert _transactions_of(VAULT, world["rpc_url"]) == 0
        assert _sandbox_orders(world["exchange_url"]) == 0
    finally:
        lease.unlink()
        world_process.wait(30)


def reloaded(folder, *changes):
    """Change parameters of the market maker while it runs; what changed, by the command's own word."""
    command = [sys.executable, "-m", "cli", "engine", "reload", "mm", *changes, "--data-dir", str(folder), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["applied"]
    return answer["changed"]


def changes_recorded(path):
    with Database.at(path).snapshot() as session:
        rows = list_audit(session, kind="strategy.reconfigured")
        details = [json.loads(row.detail) for row in rows]
        return [(row.subject, told["reason"], told["outcome"]) for row, told in zip(rows, details, strict=True)]


def ramp_result(folder):
    """What the lowest stage brought: the engine began it, under its limits."""
    header, _ = read_journal(folder / "journal.bin")
    assert header["settings"]["risk"]["capital"] == "240000"
    asked = start_reading("-m", "cli", "ramp", "status", "--data-dir", str(folder), "--json")
    told = json.loads(asked)
    assert (told["stage"], told["unknown"], told["realised"]["days"]) == (1, "", 0)
    assert "0 whole days at this stage, 7 are needed" in told["against"]
    return told["realised"]["result"]


def start_reading(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _transactions_of(address, rpc_url):
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionCount", "params": [address, "latest"]}
    request = urllib.request.Request(rpc_url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.load(answer)["result"], 16)


def _sandbox_orders(url):
    """Every order the account ever sent, asked through ccxt as anybody would."""
    import ccxt

    from cli.demo.installation import EXCHANGE_KEY, EXCHANGE_SECRET

    client = ccxt.binance({"apiKey": EXCHANGE_KEY, "secret": EXCHANGE_SECRET, "options": {"fetchCurrencies": False}})
    client.options["fetchMarkets"] = {"types": ["spot"]}
    client.urls["api"] = _rewrite(client.urls["api"], url)
    client.load_markets()
    return sum(len(client.fetch_orders(symbol)) for symbol in ("ETH/USDC", "BTC/USDC"))


def _rewrite(urls, base):
    if isinstance(urls, dict):
        return {key: _rewrite(value, base) for key, value in urls.items()}
    path = urls.split("://", 1)[1]
    return base + path[path.index("/") :] if "/" in path else base
