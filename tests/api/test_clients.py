"""The generated clients: both are written from the document, have types that hold, and ask a running API, signed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.app import document
from api.auth.bootstrap import bootstrap
from api.server.serving import Server
from cli.api_services import open_services
from cli.data_dir import DataDir
from tests.api.lab import application

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "scripts/clients"
MADE = (TOOLS / ".venv/bin/openapi-python-client", TOOLS / "node_modules/.bin/openapi-typescript")
SETTINGS = """
[api]
password_memory_kib = 64

[[venues]]
id = "nobody"
exchange = "binance"
instruments = ["ETHUSDC"]
"""
IN_PYTHON = """
import base64
import sys

from capstan_client.api.portfolios import create_portfolio, list_portfolios
from capstan_client.models import MadePortfolio, NewPortfolio, Portfolios
from capstan_client.signing import signed_client


def main(url: str, key: str, secret: str) -> None:
    with signed_client(url, key, base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))) as client:
        new = NewPortfolio.from_dict({"name": "made in Python"})
        made = [create_portfolio.sync(client=client, body=new, idempotency_key="python-0001") for _ in range(2)]
        assert isinstance(made[0], MadePortfolio), made
        assert made[0] == made[1]
        seen = list_portfolios.sync(client=client)
        assert isinstance(seen, Portfolios), seen
        print(sorted(portfolio.name for portfolio in seen.data))


main(*sys.argv[1:])
"""
IN_TYPESCRIPT = """
import { hmacSecret, signedClient } from "./signing.js";

const [url, key, secret] = process.argv.slice(2);
if (url === undefined || key === undefined || secret === undefined) throw new Error("url key secret");
const client = signedClient(url, key, await hmacSecret(secret));
const made = await client.POST("/v1/portfolios", {
  params: { header: { "Idempotency-Key": "typescript-0001" } },
  body: { name: "made in TypeScript" },
});
if (made.error !== undefined) throw new Error(JSON.stringify(made.error));
const seen = await client.GET("/v1/portfolios");
if (seen.error !== undefined) throw new Error(JSON.stringify(seen.error));
console.log(JSON.stringify(seen.data.data.map((portfolio) => portfolio.name).sort()));
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = os.environ | {"PYTHON": sys.executable, "MYPY_CACHE_DIR": str(cwd / "mypy")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


@pytest.fixture(scope="module")
def clients(tmp_path_factory) -> Path:
    missing = [str(tool.relative_to(ROOT)) for tool in MADE if not tool.exists()]
    if missing and not os.environ.get("CAPSTAN_TEST_ALL_CLIENTS"):
        pytest.skip(f"make install has not made {', '.join(missing)}")
    folder: Path = tmp_path_factory.mktemp("clients")
    run(TOOLS / "generate", folder, cwd=ROOT)
    return folder


@asynccontextmanager
async def serving(folder: Path):
    """The API of a new installation on a port of its own, and its owner."""
    data = DataDir(folder)
    data.settings.write_text(SETTINGS)
    services = open_services(data)
    owner = bootstrap(services.auth, slug="acme", name="Acme", email="ann@acme.example")
    app = application(services)
    server = Server(app, "127.0.0.1", 0, grace_s=1)
    listening = asyncio.Event()
    startup = server.startup

    async def tell(sockets=None):
        await startup(sockets)
        listening.set()

    server.startup = tell
    task = asyncio.create_task(server.serve())
    try:
        await listening.wait()
        yield f"http://127.0.0.1:{server.address[1]}", owner
    finally:
        server.should_exit = True
        await task
        app.state.is_draining = False  # Others use the application after us.
        services.database.dispose()


def test_operations_are_named_once_and_readably():
    names = Counter(way["operationId"] for ways in document()["paths"].values() for way in ways.values())
    assert [name for name, count in names.items() if count > 1] == []
    assert "place_order" in names


@pytest.mark.timeout(240)
async def test_the_python_client_has_types_and_asks(clients, tmp_path):
    folder = clients / "python"
    (folder / "use.py").write_text(IN_PYTHON)
    python = TOOLS / ".venv/bin/python"
    # Of the generated code itself mypy minds a local name here and there, where a field is called as its model.
    types = ["-m", "mypy", "--strict", "--follow-imports", "silent", "--python-executable", python, "use.py"]
    await asyncio.to_thread(run, sys.executable, *types, cwd=folder)
    async with serving(tmp_path) as (url, owner):
        said = await asyncio.to_thread(run, python, "use.py", url, owner.key, owner.key_secret, cwd=folder)
    assert said.strip() == "['made in Python', 'main']"


@pytest.mark.timeout(240)
async def test_the_typescript_client_has_types_and_asks(clients, tmp_path):
    folder = clients / "typescript"
    (folder / "use.ts").write_text(IN_TYPESCRIPT)
    await asyncio.to_thread(run, "node", "node_modules/typescript/bin/tsc", "--project", ".", cwd=folder)
    async with serving(tmp_path) as (url, owner):
        said = await asyncio.to_thread(run, "node", "built/use.js", url, owner.key, owner.key_secret, cwd=folder)
    assert said.strip() == '["made in TypeScript","main"]'
