"""`capstan chain devnet` as a process of its own."""

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
from contextlib import contextmanager
from pathlib import Path

import pytest

from chain.devnet import DEVNET_GENESIS_HASH, DevnetWorld
from runtime.processes import free_port

pytestmark = pytest.mark.anvil

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "chain", "devnet", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _ask(url: str, method: str) -> str:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["result"])


def _is_alive(url: str) -> bool:
    try:
        _ask(url, "eth_chainId")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def test_runs_until_sigterm_exits_zero_and_takes_the_node_along(tmp_path: Path) -> None:
    file, port = tmp_path / "deep" / "world.json", free_port("127.0.0.1")
    with _command("--port", str(port), "--chain-id", "1", "--addresses", str(file), "--json") as process:
        assert process.stdout is not None
        world = DevnetWorld.from_json(process.stdout.readline().encode())
        assert world.rpc_url == f"http://127.0.0.1:{port}"
        assert world.genesis_hash == DEVNET_GENESIS_HASH
        assert DevnetWorld.from_json(file.read_bytes()) == world
        assert _ask(world.rpc_url, "eth_chainId") == "0x1"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
        assert not _is_alive(world.rpc_url)


def test_the_node_dies_with_a_command_that_was_killed() -> None:
    with _command("--port", "0", "--json") as process:
        assert process.stdout is not None
        world = DevnetWorld.from_json(process.stdout.readline().encode())
        assert _is_alive(world.rpc_url)
        process.kill()
        process.wait(60)
        deadline = time.monotonic() + 60
        while _is_alive(world.rpc_url):
            assert time.monotonic() < deadline, "anvil outlived its parent"


def test_an_end_of_the_node_ends_the_command_with_an_error() -> None:
    with _command("--port", "0") as process:
        assert process.stdout is not None
        assert "devnet on http" in process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "anvil ended by itself" in err


def test_a_port_in_use_is_one_readable_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with _command("--port", str(taken.getsockname()[1])) as process:
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("error: cannot listen on 127.0.0.1")
    assert "hint: Choose another port" in err
    assert "Traceback" not in err


def test_sigterm_while_starting_also_exits_zero() -> None:
    with _command("--port", "0") as process:
        # The node's appearance says that the command is past its imports and in the middle of starting.
        deadline = time.monotonic() + 60
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text().split():
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_noise_trades_by_itself_and_a_dump_goes_on_where_it_ended(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with _command("--port", "0", "--json", "--noise-seed", "7", "--noise-per-second", "200", "--dump", str(state)) as p:
        assert p.stdout is not None
        world = DevnetWorld.from_json(p.stdout.readline().encode())
        built, deadline = int(_ask(world.rpc_url, "eth_blockNumber"), 16), time.monotonic() + 60
        while int(_ask(world.rpc_url, "eth_blockNumber"), 16) < built + 20:
            assert time.monotonic() < deadline
        p.send_signal(signal.SIGTERM)
        _, err = p.communicate(timeout=60)
        assert (p.returncode, err) == (0, "")
    with _command("--port", "0", "--json", "--load", str(state)) as again:
        assert again.stdout is not None
        loaded = DevnetWorld.from_json(again.stdout.readline().encode())
        assert loaded.pools == world.pools
        assert int(_ask(loaded.rpc_url, "eth_blockNumber"), 16) >= built + 20
    with _command("--port", "0", "--load", str(tmp_path / "none.json")) as missing:
        _, err = missing.communicate(timeout=60)
        assert missing.returncode == 1
        assert err.startswith("error: cannot read")


def test_a_relay_listens_beside_the_node() -> None:
    with _command("--port", "0", "--json", "--relay") as process:
        assert process.stdout is not None
        world = DevnetWorld.from_json(process.stdout.readline().encode())
        assert world.relay_url != world.rpc_url
        assert _ask(world.relay_url, "eth_chainId") == "0x539"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert not _is_alive(world.relay_url)
    with _command("--port", "0") as process:
        assert process.stdout is not None
        assert "relay" not in "".join(process.stdout.readline() for _ in range(5))


async def test_the_event_loop_of_a_stopped_devnet_has_no_tasks_left() -> None:
    from chain.devnet import Devnet

    async with await Devnet.start():
        pass
    assert asyncio.all_tasks() == {asyncio.current_task()}
