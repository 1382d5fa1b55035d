"""`capstan sandbox serve` as a process, and the accounts file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cex.sandbox import load_accounts
from cli.sandbox import app
from domain import InputError

ACCOUNTS = """
[[accounts]]
name = "desk"
api_key = "desk-key"
secret = "desk-secret"
[accounts.balances]
USDC = "1000.5"
"""


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(ACCOUNTS)
    return path


@pytest.fixture
def server(accounts_file: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from cli.sandbox import app; app()", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--accounts", str(accounts_file), "--symbols", "ETHUSDC"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_ends_in_time_with_zero(server: subprocess.Popen[str], number: int) -> None:
    assert server.stdout is not None
    ready = {}
    for line in server.stdout:
        if line.startswith("{") and "url" in line:
            ready = json.loads(line)
            break
    assert ready["api_keys"] == {"desk": "desk-key"}
    assert ready["symbols"] == ["ETHUSDC"]
    with urllib.request.urlopen(f"{ready['url']}/_sandbox/health", timeout=60) as response:
        assert json.load(response)["status"] == "ok"
    # A client that upgraded and then says nothing more, not even goodbye, must not hold it up.
    silent = socket.create_connection(("127.0.0.1", ready["port"]))
    silent.sendall(
        b"GET /ws/ethusdc@depth@100ms HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    assert silent.recv(64).startswith(b"HTTP/1.1 101")
    os.kill(server.pid, number)
    assert server.wait(timeout=30) == 0  # Half a second; without a bound of ours aiohttp would wait for a minute.
    silent.close()


def test_bad_options_are_input_errors() -> None:
    for arguments, text in (
        (["serve", "--flow", "nope"], "unknown flow"),
        (["serve", "--symbols", "NOPE"], "unknown symbols NOPE"),
        (["serve", "--accounts", "/nonexistent.toml"], "accounts file"),
        (["serve", "--fees", "/nonexistent.toml"], "fees file"),
        (["serve", "--tls-cert", "cert.pem"], "belong together"),
        (["serve", "--replay", "/nonexistent", "--replay-symbol", "ETHUSDC"], "recording"),
        (["serve", "--replay", "/nonexistent", "--replay-symbol", "XRPUSDT"], "not among"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, InputError), arguments
        assert text in str(result.exception)


def test_accounts_are_read_from_toml_and_json(accounts_file: Path, tmp_path: Path) -> None:
    (desk,) = load_accounts(accounts_file)
    assert (desk.name, desk.api_key, desk.secret, desk.balances) == (
        "desk",
        "desk-key",
        "desk-secret",
        {"USDC": "1000.5"},
    )
    assert "desk-secret" not in repr(desk)
    as_json = tmp_path / "accounts.json"
    as_json.write_text(json.dumps({"accounts": [{"name": "a", "api_key": "k", "ed25519_public_key": "PEM"}]}))
    assert load_accounts(as_json)[0].ed25519_public_key == "PEM"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accounts = 3",
        "[[accounts]]\nname = 'a'",
        "[[accounts]]\nname = 'a'\napi_key = 'k'",
        "[[accounts]]\nname = 'a'\napi_key = 'k'\nsecret = 's3cret'\ned25519_public_key = 'p'",
        "[[accounts]]\nname = 'a'\napi_key = 'k'\nsecret = 's3cret'\ncolour = 'red'",
        "[[accounts]]\nname = 'a'\napi_key = 'k'\nsecret = 's3cret'\nbalances = {ETH = 1.5}",
        "[[accounts]]\nname = 'a'\napi_key = 'k'\nsecret = 's3cret'\nbalances = {ETH = '-1'}",
        "not toml",
    ],
)
def test_a_bad_accounts_file_is_refused_without_telling_secrets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        load_accounts(path)
    assert "s3cret" not in str(refused.value)
