"""The pieces as processes of their own on PostgreSQL and Redis: two APIs and a worker are one installation."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from api.auth.signing import sign_request
from cli.data_dir import DataDir
from cli.main import main
from cli.settings import load_settings
from runtime.base64url import decode64
from runtime.processes import free_port, spawn, terminate
from runtime.tasks import make_app, nudge

SETTINGS = """
mode = "live"
[api]
password_memory_kib = 64
redis = "{redis}"
[tasks]
broker = "{redis}"
namespace = "t-{name}"
[custody]
account = "0x1111111111111111111111111111111111111111"
database = "{database}"
[custody.policy]
chain_id = 1337
[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "http://127.0.0.1:1"
instruments = ["ETHUSDC"]
"""
PATIENCE_S = 100.0


@contextmanager
def part(folder: Path, *arguments: str) -> Iterator[None]:
    command = [sys.executable, "-m", "cli", *arguments, "--data-dir", str(folder)]
    process = spawn(command, log=folder / f"{arguments[0]}.log")
    try:
        yield
    finally:
        terminate(process, grace_s=60)


def ask(url: str, headers: dict[str, str] | None = None) -> tuple[int, dict]:
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def until(url: str, status: int) -> None:
    """Wait for a process of another's: there is nothing to wait on but its answer."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = ask(url)
        except (urllib.error.URLError, ConnectionError) as exc:
            found = (0, {"error": str(exc)})
        if found[0] == status:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.timeout(300)
@pytest.mark.postgres
@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_two_apis_and_a_worker_are_one_installation(
    tmp_path: Path,
    empty_database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    redis = os.environ.get("CAPSTAN_TEST_REDIS_URL")
    if not redis:
        pytest.skip("CAPSTAN_TEST_REDIS_URL is not set")
    data = DataDir(tmp_path)
    data.settings.write_text(SETTINGS.format(redis=redis, name=secrets.token_hex(6), database=empty_database_url))
    with pytest.raises(SystemExit) as ended:
        main(["api", "bootstrap", "acme", "--email", "ann@acme.example", "--data-dir", str(tmp_path), "--json"])
    assert ended.value.code == 0
    made = json.loads(capsys.readouterr().out)

    ports = [free_port() for _ in range(2)]
    with ExitStack() as running:
        for port in ports:
            running.enter_context(part(tmp_path, "api", "serve", "--port", str(port)))
        running.enter_context(part(tmp_path, "worker"))
        one, two = (f"http://127.0.0.1:{port}" for port in ports)
        for url in (one, two):
            until(f"{url}/readyz", 200)
        settings = load_settings(data.settings)
        nudge(make_app(settings.tasks, tmp_path / "tasks"), "health.pulse")
        for url in (one, two):
            until(f"{url}/readyz/worker", 200)  # By Redis to the worker, by PostgreSQL to both.
        _, told = ask(f"{two}/readyz")
        ours = ("database", "redis", "broker", "worker", "engine", "signer")
        assert [told["components"][name] for name in ours] == ["ok", "ok", "ok", "ok", "down", "down"]

        signed = sign_request(
            made["key"], decode64(made["key_secret"]), method="GET", target="/v1/keys", body=b"",
            now_ms=time.time_ns() // 1_000_000, nonce=secrets.token_hex(16), window_ms=30_000,
        )  # fmt: skip
        status, found = ask(f"{one}/v1/keys", signed)
        assert (status, [key["id"] for key in found["data"]]) == (200, [made["key"]])
        status, refused = ask(f"{two}/v1/keys", signed)
        assert (status, refused["code"]) == (401, "replayed_request"), "what passed at one passes at no other"
