"""`capstan doctor`: what is installed, reachable and switched on."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import output
from domain import PlatformError

app = typer.Typer()
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Check:
    """One finding. `state` is `ok`, `off` (optional and absent) or `missing` (needed); `fix` is a command."""

    name: str
    state: str
    found: str
    fix: str = ""


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Say what is installed, reachable and switched on. Exit code 1 when something needed is missing."""
    checks = [check() for check in _CHECKS]
    healthy = all(check.state != "missing" for check in checks)
    if as_json:
        output.emit({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    else:
        table = Table("", "what", "found", "how to get it", box=None, pad_edge=False)
        signs = {"ok": "[green]ok[/]", "off": "[yellow]off[/]", "missing": "[red]missing[/]"}
        for check in checks:
            table.add_row(signs[check.state], check.name, check.found, check.fix if check.state != "ok" else "")
        Console().print(table)
    raise typer.Exit(0 if healthy else 1)


def _python() -> Check:
    return Check("python", "ok", platform.python_version())


def _packages() -> Check:
    names = ("ccxt", "web3", "eth-account", "bip-utils", "coincurve", "fastapi", "sqlmodel", "celery", "python-pkcs11")
    found, absent = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    state = "missing" if absent else "ok"
    return Check(
        "python packages", state, ", ".join(found) if not absent else f"absent: {', '.join(absent)}", "make install"
    )


def _native() -> Check:
    try:
        import capstan_native
    except ImportError as exc:
        return Check("native extension", "missing", str(exc), "make install")
    return Check("native extension", "ok", f"capstan_native {capstan_native.__version__}")


def _secp256k1() -> Check:
    """eth-keys and bip-utils fall back to slow pure Python without a word when coincurve cannot be loaded."""
    from eth_keys.backends import get_backend

    backend = type(get_backend()).__name__
    return Check("secp256k1", "ok" if "CoinCurve" in backend else "missing", backend, "make install")


def _program(name: str, package: str) -> Callable[[], Check]:
    def check() -> Check:
        path = ROOT / "node_modules" / "@foundry-rs" / f"{package}-linux-amd64" / "bin" / package
        if not path.exists():
            return Check(name, "missing", "not installed", "make install")
        return Check(name, "ok", _first_line([str(path), "--version"]))

    return check


def _tool(name: str, command: list[str], fix: str, *, optional: bool) -> Callable[[], Check]:
    def check() -> Check:
        if shutil.which(command[0]) is None:
            return Check(name, "off" if optional else "missing", "not installed", fix)
        return Check(name, "ok", _first_line(command))

    return check


def _contracts() -> Check:
    built = (ROOT / "contracts" / "out").is_dir()
    return Check("contracts", "ok" if built else "missing", "compiled" if built else "not compiled", "make install")


def _postgres() -> Check:
    url = os.environ.get("CAPSTAN_TEST_POSTGRES_URL")
    if not url:
        return Check("postgresql", "off", "SQLite is used", "scripts/services start")
    from runtime.database import Database

    try:
        asyncio.run(_ping(Database(url)))
    except PlatformError as exc:
        return Check("postgresql", "off", str(exc).splitlines()[0][:80], "scripts/services start")
    return Check("postgresql", "ok", "reachable")


async def _ping(database: object) -> None:
    await asyncio.wait_for(asyncio.to_thread(database.ping), 5)  # type: ignore[attr-defined]


def _redis() -> Check:
    url = os.environ.get("CAPSTAN_TEST_REDIS_URL")
    return Check("redis", "ok" if url else "off", url or "the in-process bus is used", "scripts/services start")


def _hsm() -> Check:
    candidates = [*Path("/usr/lib").glob("softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")]
    if not candidates:
        return Check("hsm (PKCS#11)", "off", "no module found", "apt-get install softhsm2")
    return Check("hsm (PKCS#11)", "ok", str(candidates[0]))


def _first_line(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"does not run: {type(exc).__name__}"
    return (result.stdout or result.stderr).strip().splitlines()[0] if (result.stdout or result.stderr).strip() else "?"


_CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _packages,
    _native,
    _secp256k1,
    _tool("node", ["node", "--version"], "apt-get install nodejs npm", optional=False),
    _tool("rust", ["rustc", "--version"], "rustup toolchain install stable", optional=True),
    _program("anvil", "anvil"),
    _program("forge", "forge"),
    _contracts,
    _postgres,
    _redis,
    _hsm,
    _tool("chromium", ["chromium", "--version"], "apt-get install chromium", optional=True),
)
