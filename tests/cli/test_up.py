"""`capstan up` on a paper installation before a sandbox exchange: everything in one command, and a clean end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cli.data_dir import DataDir
from cli.main import main
from cli.settings import load_settings
from cli.up import _run, parts_of, url_at
from domain import VenueUnavailable
from runtime.processes import die_with_parent, free_port, is_alive

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
[paper_balances]
"sandbox/USDC" = 1000000
"sandbox/ETH" = 100

[api]
password_memory_kib = 64

[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "{url}"
instruments = ["ETHUSDC"]

[engine.assets.ETH]
members = ["ETH"]
mark = "sandbox:ETHUSDC"
[engine.assets.USD]
members = ["USDC"]

[engine.risk]
order_notional_max = "60000"
order_qty_max = {{ ETH = "20" }}
position_notional_max = "150000"
exposure_notional_max = "250000"
open_orders_max = 20
messages_per_second_max = 40
drawdown_max = "5000"

[[engine.strategies]]
kind = "avellaneda-stoikov"
id = "mm"
instrument = "sandbox:ETHUSDC"
order_qty = "0.1"
risk_aversion = "0.004"
arrival_decay = "0.3"
horizon_s = "15"
volatility_floor = "1"
spread_min_bps = "1"
requote_bps = "0.5"
inventory_max = "0.8"
"""


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A command that says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def health(url: str) -> dict[str, str]:
    return json.loads(get(f"{url}/v1/health"))


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


@pytest.mark.timeout(180)
def test_everything_answers_survives_a_kill_and_ends_with_settled_books(tmp_path: Path) -> None:
    with running("sandbox", "serve", "--port", "0", "--symbols", "ETHUSDC") as (_, exchange):
        (tmp_path / "capstan.toml").write_text(SETTINGS.format(url=exchange["url"]))
        with running("up", "--port", "0", "--data-dir", str(tmp_path)) as (process, ready):
            assert sorted(ready["parts"]) == ["api", "engine", "worker"]
            assert health(ready["url"]) == {"api": "ok", "engine": "trading"}
            assert get(f"{ready['url']}/docs").startswith(b"<!DOCTYPE html>")
            assert json.loads(get(f"{ready['url']}/openapi.json"))["openapi"].startswith("3.1")
            components = json.loads(get(f"{ready['url']}/readyz"))["components"]
            assert {name for name, state in components.items() if state == "ok"} >= {"database", "engine", "venues"}

            os.kill(ready["parts"]["api"], signal.SIGKILL)
            assert _until_back(ready["url"]) == {"api": "ok", "engine": "trading"}

            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert "stopping: engine, worker, api" in err
            assert json.loads((tmp_path / "result.json").read_text())["run"]
            assert not is_alive(ready["parts"]["engine"])


def _until_back(url: str) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while True:
        try:
            return health(url)
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline
            time.sleep(0.05)  # Another process starts meanwhile; there is nothing to wait on.


def test_a_part_that_gives_up_ends_the_whole_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DataDir(tmp_path)
    data.settings.write_text(SETTINGS.format(url="http://127.0.0.1:1"))
    port = free_port()
    parts = parts_of(load_settings(data.settings), data, "127.0.0.1", port)[:2]
    with pytest.raises(VenueUnavailable, match=r"^the engine ended with code 1: error: "):
        asyncio.run(_run(data, parts, "127.0.0.1", port, as_json=True))
    told = capsys.readouterr()
    assert told.out == ""
    assert "stopping: engine, worker" in told.err
    assert _processes_of(tmp_path) == [], "the worker has ended too"


def _processes_of(folder: Path) -> list[bytes]:
    """Command lines of what still runs over an installation."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It ended while we looked.
            command = entry.read_bytes()
            found += [command] if bytes(folder) in command.split(b"\0") else []
    return found


def test_where_it_listens_is_told_as_people_open_it() -> None:
    assert url_at("http", "127.0.0.1", 8460) == "http://127.0.0.1:8460"
    assert url_at("https", "::1", 443) == "https://[::1]:443"


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "capstan.toml").write_text(SETTINGS.format(url="http://127.0.0.1:1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert _up(tmp_path, "--port", str(taken.getsockname()[1])) == 1
    assert capsys.readouterr().err.startswith("error: 127.0.0.1:")
    assert not (tmp_path / "logs").exists()


def test_where_nothing_is_installed_it_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _up(tmp_path) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"error: there is no installation in {tmp_path}")
    assert "capstan up --demo" in told.err
    assert (told.out, list(tmp_path.iterdir())) == ("", [])


def _up(folder: Path, *arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["up", *arguments, "--data-dir", str(folder), "--json"])
    return ended.value.code


def test_the_signer_runs_where_its_key_is(tmp_path: Path) -> None:
    custody = '[custody]\naccount = "0x' + "11" * 20 + '"\n[custody.policy]\nchain_id = 1337\n'
    data = DataDir(tmp_path)
    data.settings.write_text(f'mode = "live"\n{SETTINGS.format(url="http://127.0.0.1:1")}{custody}')
    names = [part.name for part in parts_of(load_settings(data.settings), data, "127.0.0.1", 8460)]
    assert names == ["engine", "worker", "api"]  # The key is somewhere else.

    (tmp_path / "keystore.json").touch()
    names = [part.name for part in parts_of(load_settings(data.settings), data, "127.0.0.1", 8460)]
    assert names == ["engine", "worker", "api", "signer"]  # It signs until the others have ended.
