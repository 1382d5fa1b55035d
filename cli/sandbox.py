"""`capstan sandbox`: an exchange of one's own that speaks the Binance spot API."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain import InputError

if TYPE_CHECKING:
    from cex.sandbox import ReplayConfig, SandboxConfig

app = typer.Typer(no_args_is_help=True, help="An exchange of one's own that speaks the Binance spot API.")


@app.callback()
def _group() -> None:
    """Keep `serve` a subcommand although it is the only one."""


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 9500,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    accounts: Annotated[Path | None, typer.Option(help="TOML or JSON: names, API keys, balances.")] = None,
    fees: Annotated[Path | None, typer.Option(help="TOML or JSON: fee tiers by thirty-day volume.")] = None,
    seed: Annotated[int, typer.Option(help="Of the order flow.")] = 1,
    symbols: Annotated[str, typer.Option(help="Comma-separated, for example ETHUSDC,BTCUSDC.")] = "",
    flow: Annotated[str, typer.Option(help="hawkes, or none for an empty book.")] = "hawkes",
    replay: Annotated[
        list[Path] | None, typer.Option(help="A recording to use as background liquidity; may be given again.")
    ] = None,
    replay_symbol: Annotated[
        str, typer.Option(help="The symbols that recordings are played into, comma-separated, in their order.")
    ] = "BTCUSDT",
    speed: Annotated[str, typer.Option(help="Of the replay: 2 is twice as fast, max as fast as it goes.")] = "1",
    forward: Annotated[
        str, typer.Option(help="A venue of this protocol whose live market is the liquidity: its REST address.")
    ] = "",
    forward_stream: Annotated[str, typer.Option(help="Its stream address, if that is another one.")] = "",
    journal: Annotated[
        str, typer.Option(help="Where a restart finds everything again: a directory, or a database's URL.")
    ] = "",
    sync: Annotated[
        bool,
        typer.Option("--sync/--no-sync", help="Wait for the disk before answering, so that a power cut loses nothing."),
    ] = True,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate (PEM) to speak https and wss with, for clients that insist on it.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
    faults: Annotated[bool, typer.Option("--faults", help="Open /_sandbox/faults.")] = False,
    admin_token: Annotated[
        str, typer.Option(help="What /_sandbox/faults wants to see, by reference; free on loopback without it.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Run the exchange until SIGTERM or SIGINT."""
    import uvloop

    from cex.sandbox import (
        TEST_ACCOUNT,
        FlowConfig,
        ForwardConfig,
        SandboxConfig,
        TlsConfig,
        load_accounts,
        load_fee_tiers,
        symbol_specs,
    )
    from runtime.secrets import resolve_secret

    if flow not in ("hawkes", "none"):
        raise InputError(f"unknown flow {flow!r}", hint="use hawkes or none")
    if (tls_cert is None) != (tls_key is None):
        raise InputError("--tls-cert and --tls-key belong together")
    config = SandboxConfig(
        host=host,
        port=port,
        tls=TlsConfig(tls_cert, tls_key) if tls_cert and tls_key else None,
        symbols=symbol_specs([name.strip() for name in symbols.split(",")]) if symbols else SandboxConfig().symbols,
        accounts=load_accounts(accounts) if accounts else (TEST_ACCOUNT,),
        fee_tiers=load_fee_tiers(fees) if fees else (),
        seed=seed,
        flow=FlowConfig() if flow == "hawkes" else None,
        replays=_replays(replay or [], replay_symbol, speed),
        forward=ForwardConfig(forward, forward_stream) if forward else None,
        faults=faults,
        admin_token=resolve_secret(admin_token).reveal() if admin_token else None,
        journal=journal or None,
        journal_sync=sync,
    )
    # The journal's thread wants its turn sooner than after the default 5 ms, and the loop wants it back.
    sys.setswitchinterval(0.000_5)
    uvloop.run(_serve(config, as_json=as_json))


async def _serve(config: SandboxConfig, *, as_json: bool) -> None:
    from cex.sandbox import serve as serve_sandbox

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready(port: int) -> None:
        _spare_the_collector()
        url = f"{'https' if config.tls else 'http'}://{config.host}:{port}"
        keys = {account.name: account.api_key for account in config.accounts}
        if as_json:
            line = {"url": url, "port": port, "symbols": [spec.name for spec in config.symbols], "api_keys": keys}
            typer.echo(json.dumps(line))
        else:
            typer.echo(f"sandbox exchange on {url}")
            for name, key in keys.items():
                typer.echo(f"  account {name}: API key {key}")

    await serve_sandbox(config, stop=stop, ready=ready)


def _replays(paths: list[Path], symbols: str, speed: str) -> tuple[ReplayConfig, ...]:
    """Match recordings with symbols.

    Raises:
        InputError: There are more of one than of the other, or the speed is no number.
    """
    from cex.sandbox import ReplayConfig

    names = [name.strip() for name in symbols.split(",")]
    if paths and len(names) != len(paths):
        raise InputError(
            f"{len(paths)} recordings for {len(names)} symbols", hint="name as many with --replay-symbol, by commas"
        )
    try:
        factor = math.inf if speed == "max" else float(speed)
    except ValueError as exc:
        raise InputError(f"speed {speed!r} is neither a number nor max") from exc
    return tuple(ReplayConfig(path, name, factor) for path, name in zip(paths, names, strict=False))


def _spare_the_collector() -> None:
    """Keep the garbage collector from walking the whole history of the exchange while orders wait.

    Orders and trades are long-lived and many: a full collection over 100,000 of them stopped the loop for 370 ms.
    What is young is still collected, in portions of a millisecond.
    """
    from runtime.processes import spare_the_collector

    spare_the_collector()
    gc.set_threshold(1_000, 3, 1_000_000)
