"""`capstan up`: everything an installation runs, in one command."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.data_dir import DataDir
from domain import InputError, PlatformError, VenueUnavailable

if TYPE_CHECKING:
    from cli.children import Child
    from cli.settings import Settings

app = typer.Typer()

READY_TIMEOUT_S = 60.0
CHECK_S = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    """One process of an installation."""

    name: str
    arguments: tuple[str, ...]
    grace_s: float
    """How long it may take to end before it is killed."""


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option(help="The installation: capstan.toml and what it names.")] = Path(),
    host: Annotated[str, typer.Option(help="Where the API listens; beyond loopback with [api.tls].")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The API's port; 0 is any that is free.")] = 8460,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="In an empty DATA_DIR: a local chain, an exchange, and people, to try the API."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Run API, engine and workers of an installation until SIGTERM; with a [chain] what quotes on it, and the signer
    where [custody] names a keystore.

    Says when all of it answers, and where. Each part is a process of its own: one that is killed is started again, one
    that gives up ends the whole with its reason. SIGTERM or Ctrl-C ends them in order: the engine withdraws and settles
    while the signer still signs. What they write to standard error is in DATA_DIR/logs.
    """
    from cli.settings import load_settings
    from runtime.processes import free_port

    data, port = DataDir(data_dir.resolve()), port or free_port()
    if not demo and not data.settings.exists():
        raise InputError(
            f"there is no installation in {data.root}: no {data.settings.name}",
            hint=f"capstan up --demo --data-dir {data.root} makes one to try; `capstan settings` lists every key",
        )
    with _world(data, port) if demo else nullcontext():
        settings = load_settings(data.settings)
        parts, scheme = parts_of(settings, data, host, port), "http" if settings.api.tls is None else "https"
        asyncio.run(_run(data, parts, host, port, scheme=scheme, as_json=as_json))


def _world(data: DataDir, port: int) -> AbstractContextManager[None]:
    from cli.demo.tryout import tryout

    return tryout(data, port)


def parts_of(settings: Settings, data: DataDir, host: str, port: int) -> list[Part]:
    """What an installation needs to run, in the order in which it ends."""
    parts = [
        Part("engine", ("engine", "run"), 120.0),
        Part("worker", ("worker", "--beat"), 30.0),
        Part("api", ("api", "serve", "--host", host, "--port", str(port)), 20.0),
    ]
    if settings.chain is not None:
        parts.append(Part("dex", ("dex", "serve"), 20.0))
    custody = settings.custody
    # A key in an HSM or with a committee has a signer that is started with their own options, not from here.
    if custody is not None and settings.mode == "live" and (data.root / custody.keystore).exists():
        parts.append(Part("signer", ("signer", "serve"), 5.0))
    return parts


async def _run(
    data: DataDir, parts: Sequence[Part], host: str, port: int, *, scheme: str = "http", as_json: bool
) -> None:
    from cli.children import Child
    from runtime.processes import stop_on_signals

    _check_free(host, port)
    stop = asyncio.Event()
    stop_on_signals(stop)
    began = time.monotonic()
    data.status.unlink(missing_ok=True)
    children = [(part, Child(data, part.name, part.arguments)) for part in parts]

    def check() -> None:
        for _, child in children:
            child.check()

    try:
        # The signer first: the engine asks for it as soon as it starts.
        for _, child in reversed(children):
            child.start()
        if not await _until_ready(data, host, port, stop, check):
            return
        _say_ready(url_at(scheme, host, port), [child for _, child in children], began, as_json=as_json)
        while not stop.is_set():
            check()
            await _wait(stop)
    finally:
        output.say("stopping: " + ", ".join(part.name for part, _ in children))
        for part, child in children:
            # In a thread: a second Ctrl-C must not be lost in a wait of two minutes.
            await asyncio.to_thread(child.end, grace_s=part.grace_s)


def url_at(scheme: str, host: str, port: int) -> str:
    """Where people find what listens there."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _say_ready(url: str, children: Sequence[Child], began: float, *, as_json: bool) -> None:
    pids = {child.name: child.process.pid for child in children if child.process is not None}
    if as_json:
        output.emit({"ready": True, "url": url, "parts": pids})
    else:
        output.say(f"ready at {url} after {time.monotonic() - began:.1f} s: {', '.join(pids)}")


async def _until_ready(data: DataDir, host: str, port: int, stop: asyncio.Event, check: Callable[[], None]) -> bool:
    """Wait until the API listens and the engine trades; False when told to stop before.

    Raises:
        VenueUnavailable: A part ended, or it takes too long.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not stop.is_set():
        check()
        if await _listens(host, port) and await _engine_is_there(data):
            return True
        if time.monotonic() > deadline:
            raise VenueUnavailable(f"not ready after {READY_TIMEOUT_S:.0f} s", hint=f"see {data.logs}")
        await _wait(stop)
    return False


async def _engine_is_there(data: DataDir) -> bool:
    from runtime.control import ask_control

    try:
        status = await ask_control(data.control, {"command": "status"}, timeout_s=2)
    except PlatformError:
        return False
    return bool(status["state"] != "starting")


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _wait(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(CHECK_S):
            await stop.wait()
    except TimeoutError:
        return


def _check_free(host: str, port: int) -> None:
    """Refuse a port on which somebody else would answer for us.

    Raises:
        InputError: It is taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise InputError(f"{host}:{port} cannot be listened on: {exc.strerror}", hint="--port another") from exc
