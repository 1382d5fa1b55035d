"""`capstan chain`: a local chain with the genuine contracts, and the chains known as data."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.chain_networks import networks
from domain import InputError, VenueUnavailable

if TYPE_CHECKING:
    from chain.devnet import DevnetConfig, DevnetWorld

app = typer.Typer(no_args_is_help=True, help="Chains: a local one with the genuine contracts, and those known as data.")
app.command("networks")(networks)


@app.command()
def devnet(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8545,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    chain_id: Annotated[int, typer.Option(help="1 for tools that hard-code mainnet.")] = 1337,
    block_time: Annotated[int, typer.Option(min=0, help="Seconds per block; 0 mines every transaction at once.")] = 0,
    addresses: Annotated[
        Path | None, typer.Option("--addresses", "--state-file", help="Write the addresses there, as JSON.")
    ] = None,
    eth_price: Annotated[int, typer.Option(min=1, help="Starting price of WETH in USDC.")] = 3_000,
    btc_price: Annotated[int, typer.Option(min=1, help="Starting price of WBTC in USDC.")] = 60_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Run anvil with tokens and genuine DeFi contracts at mainnet's addresses until SIGTERM or SIGINT.

    Its accounts come from the public test mnemonic: use them here and nowhere else.
    """
    from chain.devnet import DevnetConfig, Market
    from runtime import configure_logging

    configure_logging(level="WARNING", json=False)
    config = DevnetConfig(
        port=port,
        host=host,
        chain_id=chain_id,
        block_time_s=block_time,
        market=Market(prices_usd={"WETH": eth_price, "WBTC": btc_price}),
    )
    asyncio.run(_serve(config, addresses, as_json=as_json))


async def _serve(config: DevnetConfig, addresses: Path | None, *, as_json: bool) -> None:
    from chain.devnet import Devnet

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait(), name="devnet.stop")
    starting = asyncio.create_task(Devnet.start(config), name="devnet.start")
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # Told to stop while starting.
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return
    async with await starting as running:
        if addresses is not None:
            _write(addresses, running.world)
        if as_json:
            output.emit(running.world)
        else:
            _describe(running.world)
        ended = asyncio.create_task(running.wait(), name="devnet.node")
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            raise VenueUnavailable(f"anvil ended by itself with status {ended.result()}")
        ended.cancel()


def _write(path: Path, world: DevnetWorld) -> None:
    """Replace the file in one step, so that nobody reads half of it."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(world.to_json())
        partial.replace(path)
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc


def _describe(world: DevnetWorld) -> None:
    from chain.devnet import NATIVE_COIN

    typer.echo(f"devnet on {world.rpc_url}, chain id {world.chain_id}, genesis {world.genesis_hash}")
    symbols = {NATIVE_COIN: "ETH"} | {token.address: symbol for symbol, token in world.tokens.items()}
    for name, address in world.contracts.items():
        typer.echo(f"  {name:<28} {address}")
    for pool in world.pools:
        pair = f"{symbols[pool.token0]}/{symbols[pool.token1]}"
        typer.echo(f"  pool {pool.kind} {pair:<10} {pool.fee / 10_000:>5.2f} %  {pool.address}")
    typer.echo(f"  TEST ONLY accounts of the public mnemonic: {', '.join(world.test_accounts[:3])}, …")
